"""``harness doctor``: which signals this machine and user will get, and what a scenario needs. Looks, changes nothing."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.errors import EXIT_OK, EXIT_TARGET, UsageError

if TYPE_CHECKING:
    from harness.doctor.model import Group, Machine, Subject
    from harness.doctor.setups import Setups
    from harness.doctor.text import Paper
    from harness.plugins.spec import Check
    from harness.scenario.schema import Scenario


@click.command(name="doctor", short_help="Which signals this machine gets, and what a scenario needs.")
@click.argument("scenario", type=click.Path(path_type=Path), required=False)
@click.option("--pid", type=click.IntRange(min=1), help="Check this running process and its children.")
@click.option("--port", type=click.IntRange(1, 65535), help="Check whoever listens on this TCP port.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("runs"), show_default=True,
              help="Where runs would be written.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(scenario: Path | None, pid: int | None, port: int | None, out: Path, as_json: bool) -> int:
    """Say which signals this machine and user will get, what each missing one costs the verdict, and what gets it back.

    With SCENARIO also what it needs: programs, extensions, ports, profilers. The sampler takes one real sweep: of the
    target if it runs, else of programs of its own that do nothing. Nothing is changed, and nothing in the target is
    touched.

    Then mistakes in how PHP is set up for profiling, with the corrected lines: of the target, or of every PHP that is
    installed here or runs.

    Exit code 3 when a run would not start, 0 otherwise, whatever is missing.

    \b
    Examples:
      harness doctor                     this machine and user
      harness doctor shop.yaml           and what the scenario needs
      harness doctor --port 8000         a target that runs
      sudo harness doctor --pid 4711     what root would get
      harness doctor --json | jq '.signals[] | select(.state == "missing") | .fix'
    """
    if sum(given is not None for given in (scenario, pid, port)) > 1:
        raise UsageError("SCENARIO, --pid and --port are three ways to name one target", hint="give one of them")
    checked = _without_scenario(pid, port) if scenario is None else _with_scenario(scenario, out)
    machine, subject, groups, setups = _check_up(checked, out)
    checks = checked.checks
    failed = [] if checks is None else [check for check in checks if check.level == "error"]
    if as_json:
        from harness.doctor.json_ import document

        click.echo(document(machine, subject, groups, checks, None if checks is None else not failed, setups))
    else:
        _show(machine, subject, groups, setups, checked, len(failed))
    return EXIT_TARGET if failed else EXIT_OK


@dataclass(frozen=True, slots=True)
class _Checked:
    """What was found out before the sweep: whom it is of, and what the scenario's checks say (None: no scenario)."""

    subject: AbstractContextManager[Subject]
    checks: Sequence[Check] | None = None
    heaps: bool = True
    least_free_bytes: int | None = None
    ready: str = ""
    runtime: str = "any"  # whose set-up is looked at; any: everybody's
    shown: bool = True  # else signals of this machine say nothing of what is judged


def _without_scenario(pid: int | None, port: int | None) -> _Checked:
    from harness.doctor.subject import running_target, this_machine
    from harness.errors import TargetError
    from harness.scenario.schema import GuardSpec
    from harness.targets.resolve import resolve

    least = GuardSpec().disk_free_bytes
    if pid is None and port is None:
        return _Checked(this_machine(_again("run", "SCENARIO")), least_free_bytes=least)
    name = f"port:{port}" if pid is None else f"pid:{pid}"
    found = resolve(name)
    subject = running_target(found.attachments, found.found, _again("watch", name))
    if subject is None:
        raise TargetError(f"{name} has just ended", hint="is the service restarting? try again")
    return _Checked(nullcontext(subject), least_free_bytes=least)


def _with_scenario(path: Path, out: Path) -> _Checked:
    from harness.cli.reading import read_for_run
    from harness.cli.recognising import recognise
    from harness.doctor.elsewhere import checks_of
    from harness.doctor.here import look_here, of_whom
    from harness.doctor.subject import launched, this_machine
    from harness.plugins.registry import load_adapter
    from harness.session import compiling
    from harness.session.options import check_names, check_options, reaches_out
    from harness.session.target import JOB

    read = read_for_run(path)
    target = read.target
    check_names(target, JOB)
    check_options(target)
    elsewhere = () if target is None else target.elsewhere
    if target is not None and elsewhere and not target.in_containers:
        checks, ready = _preflight(read, there=True) if reaches_out(target) else ([], _ready_elsewhere(read))
    else:
        checks, ready = _preflight(read)
    announces = read.runtime != "any" and load_adapter(read.runtime).announces
    checks += checks_of(target, announces=announces)
    again = _again("run", str(path), *([] if out == Path("runs") else ["--out", str(out)]))
    here = look_here(read, again, announces=announces)
    checks += [*here.checks, *of_whom(target, here), *_directory(out)]
    if any(check.level == "warning" and ", agent" in check.name for check in checks):
        ready = "ready, but for what the warnings above cost"
    subject: AbstractContextManager[Subject]
    if here.subject is not None:
        subject = nullcontext(here.subject)
    elif elsewhere or here.measured or here.watched:
        subject = this_machine(again)
    else:
        plans = compiling.launch_plans(read, read.scenario_dir, os.environ)
        subject = launched(plans, read.runtime, recognise, again)
    shown = here.shows(target)
    return _Checked(subject, checks, read.sample.heaps, read.guard.disk_free_bytes, ready, read.runtime, shown)


def _ready_elsewhere(read: Scenario) -> str:
    """In words, of a target on other hosts."""
    if read.runtime != "any" and read.target is not None and read.target.takes_agents:
        return "ready: with the agent there" if read.target.launch else "ready: with the agents that were placed there"
    return "ready: watched from outside, no profiler runs on other hosts without an agent"


def _preflight(read: Scenario, *, there: bool = False) -> tuple[list[Check], str]:
    """The adapter's checks, and what is ready if none of them fails. ``there``: on other hosts, so what is launched is none of
    this machine's programs."""
    from harness.plugins.registry import load_adapter
    from harness.plugins.spec import AdapterContext, CheckLevel
    from harness.scenario.variables import resolve
    from harness.session import compiling
    from harness.session.options import options_for
    from harness.session.profiling.tools import chosen_tools, watched_functions
    from harness.targets.shells import shell_to

    if read.runtime == "any":
        return [], "runtime: any - no profilers; processes and the kernel are watched from outside"
    adapter = load_adapter(read.runtime)
    tools = chosen_tools(read, adapter)
    target = read.target
    assert target is not None
    with tempfile.TemporaryDirectory(prefix="harness-doctor-") as directory:
        Path(directory).chmod(0o711)  # as in a run
        options = options_for(resolve(target.adapter_options, os.environ), target).of_adapter
        functions = watched_functions(read)
        context = AdapterContext(
            Path(directory), "0" * 32, options, tools, functions, target.base_url, read.scenario_dir,
            automatic=bool(tools) and read.profile.automatic, shell=shell_to,
        )  # fmt: skip
        plans = () if there else compiling.launch_plans(read, read.scenario_dir, os.environ)
        checks = list(adapter.preflight(context, plans))
    if target.takes_agents:
        return checks, _ready_elsewhere(read)
    if target.in_containers and not any(spec.agent for spec in target.in_containers) and adapter.name == "python":
        return checks, "no profiler is ready: the container was started without the agent (harness agent)"
    if target.attach is not None and adapter.name == "python" and not options.get("inject"):
        return checks, "no profiler is ready: none runs in a process that was started without the harness"
    started = bool(target.launch or options.get("serve"))
    if adapter.name == "php" and tools and not started and not options.get("xdebug") and _of_xdebug(tools):
        return checks, "no profiler is ready: target.php.xdebug does not say where a deployed Xdebug is"
    if any(check.level is CheckLevel.WARNING and check.costs for check in checks):
        return checks, "ready, but for what the warnings above cost"
    return checks, f"ready: {', '.join(tools) or 'no profiler asked for'}"


def _of_xdebug(tools: Sequence[str]) -> bool:
    return all(tool.startswith("xdebug") for tool in tools)


def _directory(out: Path) -> list[Check]:
    """Whether a run's directory could be made."""
    from harness.doctor.machine import place
    from harness.plugins.spec import Check, CheckLevel

    where = place(out, None)
    if where.writable:
        return []
    message = f"a run cannot be made in {out}: {where.directory} may not be written to"
    return [Check("run.directory", CheckLevel.ERROR, message, "choose another directory with --out")]


def _check_up(checked: _Checked, out: Path) -> tuple[Machine, Subject, tuple[Group, ...], tuple[Setups, ...]]:
    from harness.doctor.machine import look_at_machine
    from harness.doctor.model import Kind
    from harness.doctor.observe import observe
    from harness.doctor.signals import table
    from harness.targets.detect import pids
    from harness.top.selection import user_names

    with checked.subject as subject:
        looked = {process.pid for process in subject.processes}
        seen = observe(subject.processes, [pid for pid in pids() if pid not in looked], heaps=checked.heaps)
        of = subject.processes[0].pid if subject.kind is Kind.TARGET else None
        machine = look_at_machine(out, checked.least_free_bytes, of)
        lines = table(seen, subject, machine, user_names())
        looked_at = [process.pid for process in subject.processes] if subject.kind is Kind.TARGET else None
    return machine, subject, lines, _setups(checked, looked_at)


def _setups(checked: _Checked, target: list[int] | None) -> tuple[Setups, ...]:
    """Of the target if it runs; else of what is installed, and without a scenario of all that runs here."""
    from harness.doctor.setups import inspect
    from harness.plugins.registry import adapter_names
    from harness.targets.detect import pids

    runtimes = adapter_names() if checked.runtime == "any" else (checked.runtime,)
    if target is not None:
        return inspect(runtimes, target)
    if checked.checks is None:
        return inspect(runtimes, (), sorted(pids()))
    return inspect(runtimes, ()) if checked.runtime != "any" else ()


def _again(*words: str) -> str:
    """This program with other words: what a fix puts ``sudo`` before. Its path, because sudo has a path of its own."""
    program = Path(sys.argv[0])
    start = [str(program.absolute())] if program.name == "harness" else [sys.executable, "-m", "harness"]
    return shlex.join([*start, *words])


def _show(
    machine: Machine,
    subject: Subject,
    groups: Sequence[Group],
    setups: Sequence[Setups],
    checked: _Checked,
    failed: int,
) -> None:
    from harness.doctor.text import Paper, render_check

    unicode = (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
    paper = Paper(sys.stdout.isatty() and not os.environ.get("NO_COLOR"), unicode)
    for check in checked.checks or ():
        click.echo("\n".join(render_check(check, paper)))
    if checked.shown:
        _show_signals(machine, subject, groups, setups, paper)
    if failed:
        click.echo(f"{failed} of {len(checked.checks or ())} checks would stop the run")
    elif checked.ready:
        click.echo(checked.ready)


def _show_signals(
    machine: Machine, subject: Subject, groups: Sequence[Group], setups: Sequence[Setups], paper: Paper
) -> None:
    from harness.doctor.model import Kind
    from harness.doctor.text import render, render_setups, safe, totals

    some = f"{len(subject.processes)} of {subject.total} processes" if subject.total > len(subject.processes) else ""
    click.echo(
        f"looked at: {safe(subject.text)}{f', {some}' if some else ''}; as user {safe(machine.user)}; nothing was changed"
    )
    click.echo(render(groups, paper), nl=False)
    click.echo(render_setups(setups, paper, notes=subject.kind is Kind.TARGET), nl=False)
    click.echo(f"signals: {totals(groups)}")
