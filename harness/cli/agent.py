"""``harness agent``: a directory with the agent, to mount into a container."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import click

from harness.errors import UsageError


@click.command(name="agent", short_help="Write a directory with the agent, to mount into a container.")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option("--inside", required=True, metavar="PATH", help="Where the container will see the directory.")
@click.option("--runtime", default="python", show_default=True, help="Language of the program in the container.")
def command(directory: Path, inside: str, runtime: str) -> None:
    """Write the agent into DIRECTORY, and agent.env with the variables that switch it on. Nothing is started or changed.

    \b
    Examples:
      harness agent ./harness-agent --inside /harness
      docker run -v ./harness-agent:/harness --env-file ./harness-agent/agent.env ... shop-web
    """
    import secrets

    from harness.plugins.registry import load_adapter

    seen = PurePosixPath(inside)
    if not seen.is_absolute() or ".." in seen.parts or seen == PurePosixPath("/") or not inside.isprintable():
        raise UsageError(f"--inside {inside!r} is no place in a container", hint="an absolute path such as /harness")
    if directory.exists() and any(directory.iterdir()):
        raise UsageError(f"{directory} is not empty", hint="choose another directory")
    adapter = load_adapter(runtime)
    try:
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        directory.chmod(0o755)
        variables = adapter.deploy_agent(directory, str(seen), secrets.token_hex(16))
        path = directory / "agent.env"
        path.touch(0o600, exist_ok=False)
        path.write_text("".join(f"{name}={value}\n" for name, value in variables.items()), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{directory} cannot be written: {error.strerror}", hint="choose another place") from error
    click.echo(f"wrote {directory}")
    click.echo(
        f"next: mount it as {seen}, and give the container the variables of {path}: docker run -v ... --env-file ..."
    )
    click.echo(f"next: in the scenario: target: {{container: {{name: NAME, agent: {directory}}}}}")
