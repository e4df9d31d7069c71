"""What ``run`` and ``gate`` share: further expectations, baselines, where lines are written, and results for CI systems.

Heavy imports happen inside.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from harness.errors import HarnessError, UsageError

if TYPE_CHECKING:
    from harness.analysis.baseline import Baseline
    from harness.model.report import ExpectationResult, Report

_F = TypeVar("_F", bound=Callable[..., Any])
_MOST_JSON_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Gate:
    """What is expected beside the scenario's own lines, and who is told.

    ``baselines``: run directories, bundles or JSON reports. ``without_diff``: lines with ``diff(...)`` are left out.
    """

    lines: tuple[str, ...] = ()
    baselines: tuple[Path, ...] = ()
    without_diff: bool = False
    junit: Path | None = None
    ci: bool = False


def gate_options(command: _F) -> _F:
    """The options of `Gate`; the command gets them by these names: expect, baseline, no_diff, junit, ci."""
    options = (
        click.option("--expect", "expect", metavar="LINE", multiple=True,
                     help="One more expectation, as under expect: in a scenario; may be given several times."),
        click.option("--baseline", metavar="RUN", type=click.Path(path_type=Path), multiple=True,
                     help="What diff(...) compares with: a run's directory, a bundle, or a report.json; several times for "
                          "several runs of the same."),
        click.option("--no-diff", is_flag=True,
                     help="Leave lines with diff(...) out: for the run that will be the baseline."),
        click.option("--junit", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False),
                     help="Also write the results as JUnit XML."),
        click.option("--ci", is_flag=True, help="For CI logs: plain lines; on GitHub annotations and the job summary too."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def check(gate: Gate, endpoints: Sequence[str] = ()) -> None:
    """What can be wrong with the options, told before anything starts. ``endpoints``: those that there will be, where that is
    known. Raises UsageError."""
    from harness.scenario.expect import parse_expectation
    from harness.scenario.hints import did_you_mean

    for line in gate.lines:
        try:
            named = parse_expectation(line).endpoint
        except ValueError as error:
            raise UsageError(f"--expect: {error}") from None
        if endpoints and named is not None and named not in endpoints:
            raise UsageError(f"--expect {line!r}: no request is called {named!r}{did_you_mean(named, endpoints)}")
    if gate.baselines and gate.without_diff:
        raise UsageError("--baseline and --no-diff exclude each other")
    if gate.junit is not None and not gate.junit.name:
        raise UsageError("--junit: that is no file")
    for path in gate.baselines:
        if not path.exists():
            raise UsageError(
                f"--baseline {path}: there is no such run, bundle or report",
                hint="for the first run, which has nothing to be compared with, give --no-diff instead",
            )


def baseline_warning(gate: Gate, own: Iterable[str]) -> str | None:
    """A warning about baselines and what is done with them. ``own``: the scenario's lines."""
    compares = any(_is_diff(line) for line in (*own, *gate.lines))
    if compares and not gate.baselines and not gate.without_diff:
        return "without --baseline no diff(...) can be told, which counts as failed; --no-diff leaves it out"
    if gate.baselines and not compares:
        return "nothing is compared with the baseline: no line says diff(...)"
    return None


def applied(gate: Gate, report: Report, baselines: Sequence[Baseline]) -> Report:
    """The report judged by all lines, with the place where each is written."""
    from harness.analysis.expectations import judge, lines_of, not_judged

    own = lines_of(report.timeline)
    broken = not_judged(report.timeline) if own is None else ()
    results = [*broken, *_placed(judge(report, own or (), baselines), report), *judge(report, gate.lines, baselines)]
    if gate.without_diff:
        results = [r for r in results if not _is_diff(r.expr)]
    return replace(report, expectations=tuple(results))


def met(report: Report) -> bool:
    """Whether every expectation holds."""
    return all(e.passed is True for e in report.expectations)


def read_baselines(paths: Sequence[Path]) -> tuple[Baseline, ...]:
    """What to compare with. Raises UsageError and RunError for what cannot be read."""
    return tuple(_read_baseline(path) for path in paths)


def _read_baseline(path: Path) -> Baseline:
    from harness.analysis.baseline import baseline_in, baseline_of
    from harness.cli.reporting import load_report

    if is_json(path):
        return baseline_in(read_json(path), str(path))
    return baseline_of(load_report(path), str(path))


def is_json(path: Path) -> bool:
    """Whether that is a report.json rather than a run or a bundle."""
    return path.is_file() and path.suffix == ".json"


def read_json(path: Path) -> object:
    """A report that was written as JSON. Raises UsageError for what is none."""
    try:
        if path.stat().st_size > _MOST_JSON_BYTES:
            raise UsageError(f"{path}: is larger than {_MOST_JSON_BYTES >> 20} MiB, so it is hardly a report")
        document: object = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise UsageError(f"{path}: is not JSON", hint="give a run directory, or a report.json of one") from None
    return document


def _is_diff(expr: str) -> bool:
    from harness.scenario.expect import parse_expectation

    try:
        return parse_expectation(expr).kind == "diff"
    except ValueError:
        return False


# --- places ---------------------------------------------------------------------------------------------------------


def _placed(results: Sequence[ExpectationResult], report: Report) -> list[ExpectationResult]:
    """With file and line, where the scenario still is where it was and says the same."""
    path = report.timeline.manifest.scenario_path
    lines = _lines_in_file(Path(path))
    return [
        replace(result, file=path, line=lines[index][1])
        if index < len(lines) and lines[index][0] == result.expr
        else result
        for index, result in enumerate(results)
    ]


def _lines_in_file(path: Path) -> list[tuple[str, int]]:
    """(text, line) of each expectation in a scenario; none where it cannot be read."""
    from harness.scenario.source import read_source

    try:
        source = read_source(path) if path.is_file() else None  # a foreign run may name a pipe
    except (HarnessError, OSError, ValueError):
        source = None
    if source is None:
        return []
    expect = source.data.get("expect") if isinstance(source.data, dict) else None
    if not isinstance(expect, list):
        return []
    return [(" ".join(str(text).split()), source.line(("expect", index))) for index, text in enumerate(expect)]


# --- telling --------------------------------------------------------------------------------------------------------


@contextmanager
def fenced(gate: Gate) -> Iterator[bool]:
    """What is printed to stderr within is no workflow command, whatever names a target has: GitHub's runner takes any line that
    begins with two colons for one. Gives whether texts that hold such names belong on stderr, to be in the fence."""
    if not _on_github(gate):
        yield False
        return
    token = secrets.token_hex(16)
    click.echo(f"::stop-commands::{token}", err=True)
    try:
        yield True
    finally:
        click.echo(f"::{token}::", err=True)


def tell(gate: Gate, report: Report, *, annotated: bool = True) -> None:
    """JUnit XML where it was asked for; on GitHub annotations, unless an error says it all, and the job summary."""
    from harness.cli.reporting import rendered, save

    if gate.junit is not None:
        save(gate.junit, rendered(report, "junit"))
    if not _on_github(gate):
        return
    from harness.report.exporters.github import annotation_lines

    for line in annotation_lines(report) if annotated else ():
        click.echo(line, err=True)
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        _append(Path(summary), rendered(report, "github"))


def tell_error(gate: Gate, error: HarnessError) -> None:
    """On GitHub an annotation that says why the run is not what was asked for."""
    if _on_github(gate):
        from harness.report.exporters.github import error_line

        click.echo(error_line("harness run", str(error)), err=True)


def _append(path: Path, data: bytes) -> None:
    try:
        with path.open("ab") as file:
            file.write(data)
    except OSError as error:  # what was judged is told anyway
        click.echo(f"warning: cannot append the job summary to {path}: {error.strerror}", err=True)


def _on_github(gate: Gate) -> bool:
    return gate.ci and os.environ.get("GITHUB_ACTIONS") == "true"
