"""``harness init``: look at what runs, write a first scenario."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from harness.errors import HarnessError, UsageError

if TYPE_CHECKING:
    from harness.targets.detect import Detection

_CONTAINER = "container:"
_SHORTEST_TEXT = 3  # as in a scenario


@click.command(
    name="init",
    short_help="Look at a URL, pid, container or command, write a scenario.",
)
@click.argument("target", nargs=-1, required=True, metavar="TARGET", type=click.UNPROCESSED)
@click.option("-o", "--output", type=click.Path(path_type=Path, allow_dash=True), default=Path("scenario.yaml"),
              show_default=True, help="File to write; - for standard output.")  # fmt: skip
@click.option("--force", is_flag=True, help="Overwrite the file.")
@click.option("--each-round", is_flag=True, help="The command is a job that ends: run it once a round.")
@click.option("--host", "hosts", multiple=True, metavar="ADDRESS",
              help="TARGET is on this other host: ssh://user@host, or kubectl://namespace/pod. May be given again.")  # fmt: skip
@click.option("--php-fpm-config", "config", type=click.Path(path_type=Path, file_okay=False),
              help="Also write the files of a second php-fpm master with Xdebug, for a php-fpm of your own.")  # fmt: skip
def command(
    target: tuple[str, ...], output: Path, force: bool, each_round: bool, hosts: tuple[str, ...], config: Path | None
) -> None:
    """Look at TARGET and write a scenario for it: a URL, a pid, a container, or a command (in quotes, or after --).

    Nothing is started, sent or changed: processes are looked up in /proc. With --host it is looked for there: by the port of a
    URL, a pid, container:NAME, or a text of its command line.

    \b
    Examples:
      harness init http://127.0.0.1:8000/        attach to what listens there
      harness init 4711 -o worker.yaml           attach to a process
      harness init container:shop-web-1          a running container of docker or podman
      harness init 'gunicorn shop.wsgi -w 4'     let the harness start it
      harness init --each-round 'php import.php' a script, run to completion once a round
      harness init http://web-1:8000/ --host ssh://deploy@web-1     attach to what listens on that port there
      harness init 'gunicorn: master' --host ssh://deploy@web-1 --host ssh://deploy@web-2
      harness init http://127.0.0.1/ --php-fpm-config xdebug-pool     a php-fpm of yours, and its Xdebug
    """
    from harness.scenario.reader import parse_scenario
    from harness.scenario.starter import starter_text

    if hosts and (each_round or config is not None):
        raise UsageError("--each-round and --php-fpm-config are for this machine", hint="run harness init there")
    detection, path = _detect_there(target, hosts) if hosts else _detect(target, each_round)
    text = starter_text(
        name=detection.name,
        runtime=detection.runtime,
        launch=detection.launch,
        attach=detection.attach,
        url=detection.url,
        path=path,
        each_round=each_round,
        cwd=_working_directory(output),
        container=detection.container,
        hosts=detection.hosts,
    )
    parse_scenario(text, output)  # what is written is valid, whatever the target is called
    for sentence in detection.found:
        click.echo(f"found: {sentence}", err=True)
    if str(output) == "-":
        click.echo(text, nl=False)
        return
    if config is not None and not force and config.is_dir() and any(config.iterdir()):
        raise UsageError(
            f"{config} is not empty", hint="choose another directory, or overwrite what is in it with --force"
        )
    _write(output, text, force=force)
    click.echo(f"wrote {output}")
    if config is not None:
        _write_companion(config, detection, force=force)
    for step in _next_steps(detection, output):
        click.echo(f"next: {step}")


def _working_directory(output: Path) -> str | None:
    """The current directory as seen from the scenario file, whose directory is where its commands run; None: the same, or not
    known because the text goes to standard output."""
    if str(output) == "-":
        return None
    seen = os.path.relpath(Path.cwd().resolve(), output.resolve().parent)
    return None if seen == os.curdir else seen


def _detect(target: tuple[str, ...], each_round: bool) -> tuple[Detection, str]:
    """What TARGET is, and the path of the first request."""
    from harness.cli.recognising import recognise
    from harness.scenario.fields import split_command
    from harness.targets.detect import detect_command, detect_pid, detect_url

    text = target[0]
    container = text.removeprefix(_CONTAINER) if len(target) == 1 and text.startswith(_CONTAINER) else None
    address = _address(text) if len(target) == 1 and container is None else None
    if each_round and (address is not None or container is not None or text.isdigit()):
        raise UsageError("--each-round needs a command", hint="harness init --each-round 'php import.php'")
    if container is not None:
        return _in_container(container), "/"
    if address is not None:
        host, port, origin, path = address
        return _named(detect_url(host, port, origin, recognise)), path
    if len(target) == 1 and text.isascii() and text.isdigit():
        return _named(detect_pid(int(text), recognise)), "/"
    try:
        argv = split_command(text) if len(target) == 1 else target
    except ValueError as error:
        raise UsageError(str(error), hint="TARGET is a URL, a pid, container:NAME or a command") from None
    return detect_command(argv, recognise), "/"


def _detect_there(target: tuple[str, ...], hosts: tuple[str, ...]) -> tuple[Detection, str]:
    """As `_detect`, on other hosts."""
    from contextlib import ExitStack, closing

    from harness.cli.recognising import recognise
    from harness.scenario.addresses import called
    from harness.targets.connectors.choose import connector_to
    from harness.targets.containers import checked_name
    from harness.targets.detect_there import detect_there

    if len(target) > 1:
        raise UsageError("--host takes one TARGET", hint="a URL, a pid, container:NAME, or a text in quotes")
    text = target[0]
    if len(set(hosts)) < len(hosts):
        raise UsageError("a host is named twice", hint="give each --host once")
    if len(set(map(called, hosts))) < len(hosts):
        text = "two of the hosts would be called the same"
        raise UsageError(
            text, hint="write the scenario with one of them, and add the other with a name (docs/remote.md)"
        )
    container = checked_name(text.removeprefix(_CONTAINER)) if text.startswith(_CONTAINER) else None
    address = _address(text) if container is None else None
    attach: tuple[str, str | int] | None = None
    if address is not None:
        attach = ("port", address[1])
    elif container is None and text.isascii() and text.isdigit():
        attach = ("pid", int(text))
        if len(hosts) > 1:
            raise UsageError(
                "a pid is one of one host", hint="name what runs by a URL or by a text of its command line"
            )
    elif container is None:
        if len(text) < _SHORTEST_TEXT:
            raise UsageError(
                f"{text!r} is too short to find a process by", hint="give more of its command line (ps -ef there)"
            )
        attach = ("match", text)
    with ExitStack() as opened:
        connectors = {host: opened.enter_context(closing(connector_to(host))) for host in hosts}
        url, path = (None, "/") if address is None else address[2:]
        return detect_there(connectors, attach, container, url, recognise), path


def _in_container(name: str) -> Detection:
    """Raises UsageError, TargetError."""
    from harness.cli.recognising import recognise
    from harness.targets.containers import checked_name, find
    from harness.targets.detect_container import detect_container
    from harness.targets.engines.choose import engines

    _, state = find(checked_name(name), engines(os.environ))
    return detect_container(state, recognise)


def _named(detection: Detection) -> Detection:
    """A container by its name, which outlives it, where an engine can be asked; else by its id."""
    if detection.container is None:
        return detection
    try:
        found = _in_container(detection.container)
    except HarnessError:
        return replace(detection, container=detection.container[:12])
    return replace(found, url=detection.url or found.url, found=(*detection.found, *found.found))


def _address(text: str) -> tuple[str, int, str, str] | None:
    """(host, port, origin, path with query) of a URL or of HOST:PORT; None for anything else."""
    if "://" not in text:
        if not re.fullmatch(r"(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9_.-]*):[0-9]{1,5}(/\S*)?", text):
            return None
        text = f"http://{'127.0.0.1' if text.startswith(':') else ''}{text}"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme in ("ssh", "kubectl"):
        hint = f"say what of it: harness init http://HOST:PORT/ --host {text}"
        raise UsageError(f"{text!r} is a host, and a scenario needs to know what on it", hint=hint)
    if parts.scheme not in ("http", "https") or host is None or port == 0:
        raise UsageError(f"{text!r} is not an address", hint="write it as http://127.0.0.1:8000/")
    if parts.username is not None:
        raise UsageError(
            "the address holds a user name",
            hint="leave it out and add to the request: headers: {Authorization: '${AUTHORIZATION}'}",
        )
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return host, port or (443 if parts.scheme == "https" else 80), f"{parts.scheme}://{parts.netloc}", path


def _write(output: Path, text: str, *, force: bool) -> None:
    try:
        with output.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{output} exists", hint="choose another name with -o, or overwrite it with --force") from None
    except OSError as error:
        raise UsageError(f"{output} cannot be written: {error.strerror}", hint="choose another place with -o") from None


def _write_companion(directory: Path, detection: Detection, *, force: bool) -> None:
    """Files for a php-fpm that runs here (the target if it is one), so that single requests can be profiled. Nothing of it is
    put into service."""
    import secrets

    from harness.plugins.registry import load_adapter
    from harness.plugins.spec import Site
    from harness.targets.detect import fpm_pools, fpm_upstream

    pools = fpm_pools()
    if not pools:
        raise UsageError("no php-fpm pool is running here", hint="start php-fpm, then run this again")
    match = "" if detection.attach is None else str(detection.attach[1])
    name = next((name for name in pools if match.endswith(f"pool {name}")), next(iter(pools)))
    pid = pools[name]
    upstream = fpm_upstream(pid)
    if upstream is None:
        raise UsageError(f"cannot see where the php-fpm pool {name} listens", hint="run as root")
    site = Site(pid, upstream, directory.absolute(), secrets.token_hex(16))
    for file, text in load_adapter("php").deployment(site).items():
        path = directory / file
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(path, text, force=force)
        path.chmod(0o600)
    click.echo(f"wrote {directory}/: masters with Xdebug for the pool {name} ({upstream}); read {directory}/README.txt")


def _next_steps(detection: Detection, output: Path) -> Iterator[str]:
    file = shlex.quote(str(output))
    if detection.url is None and detection.launch is None:
        yield f"if it answers HTTP, add target.url and requests to {file}; else it is only watched"
    elif detection.url is None:
        yield f"if it answers HTTP, add target.ready and requests to {file}"
    elif detection.hosts:
        yield f"add the requests that matter to {file}; they go from this machine to target.url"
    else:
        yield f"add the requests that matter to {file}, and the path of a page that needs the whole application to ready"
    yield from _profilers(detection, file)
    yield f"harness doctor {file}"
    yield f"harness run {file}"


def _profilers(detection: Detection, file: str) -> Iterator[str]:
    """What they need."""
    if detection.runtime == "python" and detection.hosts:
        inside = "" if detection.container is None else " --inside PATH"
        yield f"records and profilers need the agent there: harness agent ssh://HOST/DIRECTORY{inside}, docs/remote.md"
    elif detection.runtime == "python" and detection.attach is not None:
        yield "profilers need an application that the harness starts (harness init -- COMMAND), or python: {inject: true}"
    elif detection.runtime == "python" and detection.container is not None:
        yield "records and profilers need the agent in the container: harness agent, docs/containers.md"
    if detection.runtime == "php" and detection.attach is not None:
        yield f"profilers need a second php-fpm master with Xdebug, named under target.php.xdebug in {file}"
