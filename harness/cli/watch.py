"""``harness watch``: look at what is running, without traffic of ours, and record it as a run."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from harness.errors import UsageError
from harness.units import format_duration, parse_duration_ns, parse_share

if TYPE_CHECKING:
    from harness.scenario.schema import Scenario
    from harness.targets.resolve import Resolution

T = TypeVar("T")
_SECOND = 1_000_000_000
_CONTAINER = "container:"
_SHORTEST_NAME = 3  # as in scenario files: two letters match half of what runs


@click.command(name="watch", short_help="Watch running processes: live view, recorded as a run, no traffic.")
@click.argument("target")
@click.option(
    "--host", metavar="ADDRESS", help="Watch TARGET on another host: ssh://user@host, or kubectl://namespace/pod."
)
@click.option("--for", "length", metavar="DURATION", help="How long, as 90s, 10m or 48h; until Ctrl-C when left out.")
@click.option(
    "--interval", metavar="DURATION", default="1s", show_default=True, help="Time between samples, 100ms to 60s."
)
@click.option("--budget", metavar="SHARE", default="1%", show_default=True, help="Share of one CPU for regular sweeps.")
@click.option(
    "--fast", metavar="DURATION", help="Read the counters of PHP heaps this often, from 0.5ms; beyond the budget."
)
@click.option(
    "--freeze",
    is_flag=True,
    help="Stop a process for some ms while its heap is walked, each time reported. Off: nothing is ever stopped.",
)
@click.option(
    "--no-heaps", is_flag=True, help="Do not look into the processes' memory, only at what the kernel says of it."
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("runs"), show_default=True,
              help="Directory in which the run's own directory is made.")  # fmt: skip
@click.option("--no-record", is_flag=True, help="Only look: write nothing, judge nothing.")
@click.option("--all", "everything", is_flag=True, help="Watch all families of processes that the name matches.")
@click.option("--plain", is_flag=True, help="Lines instead of the live view, as where stderr is no terminal.")
@click.option("-q", "--quiet", is_flag=True, help="Nothing on stderr but errors.")
def command(
    target: str,
    host: str | None,
    length: str | None,
    interval: str,
    budget: str,
    fast: str | None,
    freeze: bool,
    no_heaps: bool,
    out: Path,
    no_record: bool,
    everything: bool,
    plain: bool,
    quiet: bool,
) -> int:
    """Watch TARGET: a pid, a TCP port, a part of a command line, or a container. Nothing is sent to it, nothing in it is changed,
    and it is not stopped unless --freeze asks for that.

    A number is a pid if there is such a process and nothing listens on that port, and a port the other way round; say pid:4711
    or port:8000 where it could be both. Children are watched too. A live view goes to stderr, a summary to stdout; the last
    line of stdout is the run's directory, which every other command can read.

    Ctrl-C is how a watch without --for ends. What was recorded is kept and judged, and the exit code is 130, as for
    everything that is interrupted; with --for it is 0. If the target ends first, the run is kept and the exit code is 3.

    \b
    Examples:
      harness watch 8000                          whoever listens on port 8000, and its workers
      harness watch 4711 --for 10m
      harness watch "php-fpm: pool www"
      harness watch container:shop-web-1          of docker or podman
      harness watch 8000 --host ssh://deploy@web-1     on another host; nothing is installed there
      harness watch gunicorn --no-record --interval 500ms
      harness watch pid:8000 --plain --out /var/tmp/runs
    """
    from harness.cli.reporting import judge
    from harness.model.run import RunStatus
    from harness.session.live.display import display_on
    from harness.session.record import record
    from harness.session.request import Request
    from harness.targets.resolve import resolve

    if length is not None:
        _duration("--for", length, _SECOND, None)
    interval_ns = _duration("--interval", interval, _SECOND // 10, 60 * _SECOND)
    _parsed("--budget", budget, parse_share)
    if fast is not None:
        _duration("--fast", fast, _SECOND // 2000, _SECOND)
    container = target.removeprefix(_CONTAINER) if target.startswith(_CONTAINER) else None
    if host is not None:
        if everything:
            raise UsageError("--all is for this machine", hint="on another host a text means all that it matches")
        found = None
        watched = _there(host, target, container)
    else:
        found = resolve(target, everything=everything) if container is None else _in_container(container)
        watched = _here(found, target, container, recorded=not no_record)
    sample: dict[str, object] = {
        "interval": interval,
        "budget": budget,
        "fast": fast,
        "freeze": freeze,
        "heaps": not no_heaps,
    }
    scenario = _scenario(watched, length=length, sample=sample)
    display = display_on(sys.stderr, os.environ, title=watched.name, interval_ns=interval_ns, plain=plain, quiet=quiet)
    display.step(watched.found)
    request = Request(
        scenario=scenario,
        scenario_path=Path("harness watch"),
        output=None if no_record else out,
        environ=dict(os.environ),
        attachments=() if found is None else found.attachments,
        observers=(display.on_tick,),
    )
    outcome = record(request, display)
    interrupted = outcome.status is RunStatus.INTERRUPTED
    if outcome.error is not None and not interrupted:
        click.echo(f"error: {outcome.error}", err=True)
    judge(outcome)
    if interrupted:
        kept = "" if outcome.run_directory is None else "; what was recorded is kept"
        click.echo(f"stopped{kept}", err=True)
    return outcome.exit_code


def _in_container(name: str) -> Resolution:
    """A container by its name or id. Raises UsageError, TargetError."""
    from harness.errors import TargetError
    from harness.targets.containers import checked_name, find, life_of
    from harness.targets.detect import look
    from harness.targets.engines.choose import engines
    from harness.targets.resolve import Resolution

    engine, state = find(checked_name(name), engines(os.environ))
    life = life_of(state)
    first = None if life is None else look(life.pid)
    if first is None:
        raise TargetError(f"the container {name} does not run on this machine", hint=f"docker start {name}")
    return Resolution(name, (), f"the container {name}, by {engine.label}", first)


@dataclass(frozen=True, slots=True)
class _Watched:
    """``name``: of the run; ``found``: a sentence for people; ``section``: what a scenario says of it under ``target``."""

    name: str
    found: str
    section: dict[str, object]


def _here(found: Resolution, target: str, container: str | None, *, recorded: bool) -> _Watched:
    """On this machine. An adapter only names the runtime; without a run there is no place for its files."""
    from harness.cli.recognising import recognise

    seen = found.example
    runtime = recognise(seen.comm, seen.cmdline, seen.exe) if recorded else None
    only = found.attachments[0] if len(found.attachments) == 1 else None
    attach: dict[str, object] = {"match": target}
    if found.port is not None:
        attach = {"port": found.port}
    elif only is not None:
        attach = {"match": only.match} if only.pid is None else {"pid": only.pid}
    where: dict[str, object] = {"attach": attach} if container is None else {"container": container}
    return _Watched(found.name, found.found, {"runtime": runtime or "any", **where})


def _there(host: str, target: str, container: str | None) -> _Watched:
    """On another host, where it is looked for when the run begins. A number is a port. Raises UsageError."""
    from harness.targets.connectors.choose import connector_to
    from harness.targets.containers import checked_name
    from harness.targets.detect import name_of, printable

    place = connector_to(host).name
    shown = f"{printable(target)} on {place}"
    if container is not None:
        return _Watched(name_of(place), shown, {"host": {"host": host, "container": checked_name(container)}})
    kind, _, rest = target.partition(":")
    number = rest if kind in ("pid", "port") else target
    attach: dict[str, object] = {"match": target}
    if number.isascii() and number.isdigit():
        attach = {"pid" if kind == "pid" else "port": int(number[:10])}
    elif len(target) < _SHORTEST_NAME:
        raise UsageError(
            f"{printable(target)!r} is too short for a name", hint=f"give at least {_SHORTEST_NAME} letters"
        )
    return _Watched(name_of(place), shown, {"host": host, "attach": attach})


def _scenario(watched: _Watched, *, length: str | None, sample: dict[str, object]) -> Scenario:
    """The watch as a scenario. It has no guard on the machine's memory: when that gets scarce is when watching matters."""
    from pydantic import ValidationError

    from harness.scenario.schema import Scenario

    try:
        return Scenario.model_validate(
            {
                "name": f"watch-{watched.name}"[:64],
                "target": watched.section,
                "load": {"observe": length},
                "profile": "none",
                "sample": sample,
                "guard": {"mem_available": None},
            }
        )
    except ValidationError as error:
        what = error.errors(include_url=False, include_context=False)[0]
        raise UsageError(f"{watched.found}: {what['msg']}", hint="say pid:4711, port:8000 or a text") from None


def _duration(option: str, text: str, least_ns: int, most_ns: int | None) -> int:
    value = _parsed(option, text, parse_duration_ns)
    if value < least_ns or (most_ns is not None and value > most_ns):
        limits = f"at least {format_duration(least_ns)}"
        if most_ns is not None:
            limits += f" and at most {format_duration(most_ns)}"
        raise UsageError(f"{option} {text!r}: must be {limits}")
    return value


def _parsed(option: str, text: str, parse: Callable[[str], T]) -> T:
    try:
        return parse(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None
