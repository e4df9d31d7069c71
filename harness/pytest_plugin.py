"""The pytest plug-in: the fixture ``harness_run``, which records a scenario and judges it in a test (docs/gate.md).

pytest loads this module in every session of whoever has the package, so nothing else of it is imported before the fixture is
called.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.model.report import Report

_TO_SEAL_S = 60  # an interrupted run is sealed, and what it started is stopped
_RECORDED = (0, 1)  # exit codes of a run that came to its end: expectations met, or not


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """A run and what was found in it."""

    directory: Path
    report: Report

    def expect(self, *lines: str, baseline: str | Path | Sequence[str | Path] = ()) -> None:
        """Fail the test unless every line holds, and the scenario's own ones where no line is given.

        The language is that of ``expect:`` in scenarios. ``baseline``: what ``diff(...)`` compares with, a run's directory, a
        bundle or a report.json, or several of them. Raises ValueError for a line that makes no sense, or when nothing is
        expected.
        """
        __tracebackhide__ = True
        from harness.analysis.expectations import judge, lines_of
        from harness.cli.gating import read_baselines
        from harness.report.terminal import render_expectations
        from harness.scenario.expect import parse_expectation

        for line in lines:
            parse_expectation(line)
        expected = lines or lines_of(self.report.timeline)
        if not expected:
            raise ValueError("nothing is expected: the scenario has no expect:, and no line was given")
        named = [baseline] if isinstance(baseline, str | Path) else baseline
        results = judge(self.report, expected, read_baselines([Path(each) for each in named]))
        if any(result.passed is not True for result in results):
            pytest.fail(render_expectations(replace(self.report, expectations=results)).rstrip())


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--harness-out DIR``."""
    group = parser.getgroup("harness", "memory profiling")
    group.addoption(
        "--harness-out", metavar="DIR", help="keep the runs of harness_run in DIR, not in a temporary directory"
    )


@pytest.fixture
def harness_run(request: pytest.FixtureRequest) -> Callable[[str | Path], RecordedRun]:
    """Record a scenario (a path relative to the test's file) and return the run: ``harness_run("memory.yaml").expect()``."""

    def run(scenario: str | Path) -> RecordedRun:
        __tracebackhide__ = True
        out = request.config.getoption("--harness-out")
        kept: Path = Path(out) if out else request.getfixturevalue("tmp_path") / "runs"
        directory = _record(request.path.parent / scenario, request.config.invocation_params.dir / kept)
        from harness.cli.reporting import load_report
        from harness.report.terminal import render_brief

        report = load_report(directory)
        # Not by record_property, which warns with junit_family=xunit2.
        request.node.user_properties += [
            ("harness_run", str(directory)),
            ("harness_verdict", report.verdict.cause.value),
        ]
        request.node.add_report_section("call", "harness", f"{render_brief(report)}run: {directory}\n")
        return RecordedRun(directory, report)

    return run


def _record(scenario: Path, out: Path) -> Path:
    """Run the command in a process of its own, whose progress goes to our stderr. Fails the test when nothing was recorded."""
    __tracebackhide__ = True
    # -P: a directory called harness where the tests are started is not our package.
    argv = [sys.executable, "-P", "-m", "harness", "run", str(scenario), "--out", str(out), "--plain"]
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace")
    try:
        printed, _ = process.communicate()
    except BaseException:  # Ctrl-C, or a timeout of the test: the run is sealed first
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_TO_SEAL_S)
        except subprocess.TimeoutExpired:
            process.kill()
        raise
    if process.returncode not in _RECORDED:
        reason = "see what it wrote to stderr"
        pytest.fail(f"harness run {scenario} ended with exit code {process.returncode}: {reason}\n{printed}".rstrip())
    return Path(printed.splitlines()[-1])
