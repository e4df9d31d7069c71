"""``harness agent``: a directory with the agent, to mount into a container or for an application on another host."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

import click

from harness.errors import TargetError, UsageError

_ENVIRONMENT = "agent.env"
_PLAIN = re.compile(r"[A-Za-z0-9._/+@-]{1,400}")  # a shell reads it in agent.env


@click.command(name="agent", short_help="Write a directory with the agent, for a container or another host.")
@click.argument("directory", metavar="DIRECTORY")
@click.option("--inside", metavar="PATH", help="Where the container will see the directory.")
@click.option("--runtime", default="python", show_default=True, help="python or php: the language of the program.")
def command(directory: str, inside: str | None, runtime: str) -> None:
    """Write the agent into DIRECTORY, and agent.env with the variables that switch it on. Nothing is started or changed.

    DIRECTORY is one of this machine, to mount into a container, or ssh://HOST/PATH, for an application on that host, or to mount
    into a container there (--inside).

    \b
    Examples:
      harness agent ./harness-agent --inside /harness
      docker run -v ./harness-agent:/harness --env-file ./harness-agent/agent.env ... shop-web
      harness agent ssh://deploy@web-1/opt/harness-agent
      harness agent ssh://deploy@web-1/opt/harness-agent --inside /harness
      harness agent ./harness-agent --inside /harness --runtime php
    """
    if inside is not None and not _is_place(inside):
        raise UsageError(f"--inside {inside!r} is no place in a container", hint="an absolute path such as /harness")
    if directory.startswith("ssh://"):
        _there(directory, inside, runtime)
    elif inside is None:
        raise UsageError("where will the container see the directory?", hint="add --inside /harness")
    else:
        _here(Path(directory), inside, runtime)


def _here(directory: Path, inside: str, runtime: str) -> None:
    if directory.is_file():
        raise UsageError(f"{directory} is a file", hint="choose another directory")
    if directory.exists() and any(directory.iterdir()):
        raise UsageError(f"{directory} is not empty", hint="choose another directory")
    try:
        _write(directory, inside, runtime)
    except OSError as error:
        raise UsageError(f"{directory} cannot be written: {error.strerror}", hint="choose another place") from error
    click.echo(f"wrote {directory}")
    click.echo(_mounted(inside, str(directory / _ENVIRONMENT)))
    click.echo(f"next: in the scenario: target: {{runtime: {runtime}, container: {{name: NAME, agent: {directory}}}}}")


def _mounted(inside: str, environment: str) -> str:
    return (
        f"next: mount it as {PurePosixPath(inside)}, and give the container the variables of {environment}: docker run -v ... "
        "--env-file ..."
    )


def _there(url: str, inside: str | None, runtime: str) -> None:
    import io
    import tarfile
    import tempfile

    from harness.targets.connectors.deploy import finds_python
    from harness.targets.connectors.ssh import SshConnector, parse_place

    address, slash, rest = url.removeprefix("ssh://").partition("/")
    path = f"/{rest.rstrip('/')}"
    if not slash or not _is_place(path) or not _PLAIN.fullmatch(path):
        hint = "write ssh://HOST/opt/harness-agent: the whole path, in letters, digits and ._/+@-"
        raise UsageError(f"{url!r} names no directory that can be used", hint=hint)
    connector = SshConnector(parse_place(f"ssh://{address}"))
    data = io.BytesIO()
    with tempfile.TemporaryDirectory() as made, tarfile.open(fileobj=data, mode="w") as archive:
        stage = Path(made) / "agent"
        _write(stage, inside or path, runtime)
        archive.add(stage, arcname=".")
    try:
        done = connector.run(["sh", "-c", _UNPACK, "sh", path], stdin=data.getvalue())
        usable = done.code != 0 or finds_python(connector)
    finally:
        connector.close()
    if done.code == _NOT_EMPTY:
        raise UsageError(f"{path} on {connector.name} is not empty", hint="choose another directory")
    if done.code:
        raise TargetError(
            f"{path} on {connector.name} cannot be written: {done.last_words}", hint="choose another place"
        )
    environment = f"{path}/{_ENVIRONMENT}"
    click.echo(f"wrote {path} on {connector.name}")
    if not usable:
        click.echo(f"warning: {connector.name} {_UNUSED}", err=True)
    host = f"host: 'ssh://{address}'"
    if inside is not None:
        click.echo(_mounted(inside, environment))
        container = f"container: {{name: NAME, agent: {path}}}"
        click.echo(f"next: in the scenario: target: {{runtime: {runtime}, {host}, {container}}}")
        return
    click.echo(
        f"next: start the application there with the variables of {environment}: EnvironmentFile={environment} in its unit, or "
        f"`set -a; . {environment}; set +a` before the command"
    )
    click.echo(f"next: in the scenario: target: {{runtime: {runtime}, host: {{{host}, agent: {path}}}}}")


_UNUSED = (
    "has no python3 (3.8 or newer) on its PATH, and without one no run can use this directory, for the host or for a container "
    "on it: the agent works, but nobody reads what it writes. Install python3 there (the harness itself is not needed), or "
    "leave `agent` out of the scenario: then the processes are watched from outside"
)
_NOT_EMPTY = 45
_UNPACK = 'mkdir -p -- "$1" && cd -- "$1" || exit 1; [ -z "$(ls -A)" ] || exit 45; exec tar -xpof -'


def _is_place(path: str) -> bool:
    seen = PurePosixPath(path)
    return seen.is_absolute() and ".." not in seen.parts and seen != PurePosixPath("/") and path.isprintable()


def _write(directory: Path, inside: str, runtime: str) -> None:
    """The agent and its variables. Raises OSError."""
    import secrets

    from harness.plugins.registry import load_adapter
    from harness.session.agents.deployed import environment

    adapter = load_adapter(runtime)
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    directory.chmod(0o755)
    variables = adapter.deploy_agent(directory, str(PurePosixPath(inside)), secrets.token_hex(16))
    path = directory / _ENVIRONMENT
    path.touch(0o600, exist_ok=False)
    path.write_text(environment(variables, runtime), encoding="utf-8")
