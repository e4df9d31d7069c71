"""JUnit XML: one test case for each expectation, so that CI systems show them beside the other tests.

There is no one standard; what is written keeps to the schemas of Jenkins (xunit-plugin, junit-10.xsd) and of Ant
(https://github.com/windyroad/JUnit-Schema). A line that failed is a failure, one that this run cannot tell is an error: both make
a build red. That the run itself came to its end is a test case of its own, so that there is always one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from xml.etree import ElementTree as ET

from harness.model.report import ExpectationResult, Report
from harness.model.run import RunStatus
from harness.report import terminal, words

_CAP = 2000


def export(report: Report) -> bytes:
    """The results as one ``testsuites`` document; the same bytes for the same report."""
    manifest = report.timeline.manifest
    failures = sum(e.passed is False for e in report.expectations)
    complete = manifest.status is RunStatus.COMPLETE
    errors = sum(e.passed is None for e in report.expectations) + (not complete)
    name = words.clean(manifest.scenario_name)
    seconds = f"{words.run_seconds(manifest) or 0:.3f}"
    tests = str(len(report.expectations) + 1)
    root = ET.Element("testsuites")
    suite = ET.SubElement(
        root,
        "testsuite",
        {
            "name": name,
            "tests": tests,
            "failures": str(failures),
            "errors": str(errors),
            "skipped": "0",
            "time": seconds,
            "timestamp": words.started(manifest).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S"),
            "hostname": "localhost",
            "package": "harness",
            "id": "0",
        },
    )
    _properties(suite, report)
    _case(suite, name, "the run came to its end", seconds)
    if not complete:
        _trouble(suite[-1], "error", manifest.status.value, words.status_text(manifest) or manifest.status.value)
    for result in report.expectations:
        _case(suite, name, words.clean(result.expr, 500), "0.000")
        _outcome(suite[-1], result)
    ET.SubElement(suite, "system-out").text = _allowed(terminal.render(report))
    ET.SubElement(suite, "system-err").text = ""
    ET.indent(root)
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _properties(suite: ET.Element, report: Report) -> None:
    properties = ET.SubElement(suite, "properties")
    rows: Sequence[tuple[str, str]] = (
        ("run", words.clean(report.timeline.manifest.run_id)),
        ("verdict", report.verdict.cause.value),
        ("confidence", report.verdict.confidence.value),
    )
    for name, value in rows:
        ET.SubElement(properties, "property", {"name": name, "value": value or "unknown"})


def _case(suite: ET.Element, scenario: str, name: str, seconds: str) -> None:
    # Viewers split class names at dots into packages: harness > scenario.
    classname = f"harness.{scenario.replace('.', '_')}"
    ET.SubElement(suite, "testcase", {"name": name, "classname": classname, "time": seconds})


def _outcome(case: ET.Element, result: ExpectationResult) -> None:
    if result.passed is False:
        _trouble(case, "failure", "expectation", words.clean(result.actual, 500), _text(result))
    elif result.passed is None:
        note = words.clean(result.note or result.actual, 500)
        _trouble(case, "error", "cannot tell", f"cannot tell: {note}", _text(result))


def _trouble(case: ET.Element, tag: str, kind: str, message: str, text: str = "") -> None:
    element = ET.SubElement(case, tag, {"type": kind, "message": _allowed(message)})
    element.text = text or _allowed(message)


def _text(result: ExpectationResult) -> str:
    place = "" if result.file is None else f"{words.clean(result.file, 500)}:{result.line or 1}: "
    text = f"{place}{words.clean(result.expr, 500)}\nmeasured: {words.clean(result.actual, 500)}"
    return _allowed(f"{text}\n{words.clean(result.note, _CAP)}".rstrip())


def _allowed(text: str) -> str:
    """Without what XML 1.0 has no way to write; names were made visible before."""
    return "".join(
        c if c in "\t\n\r" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "�" or c > "\uffff" else "?" for c in text
    )
