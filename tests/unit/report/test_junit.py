"""JUnit XML, read back by junitparser and held against the rules that the schemas of Jenkins and Ant share."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from junitparser import Error, Failure, JUnitXml, TestCase, TestSuite
from reports import empty_report, hostile_report, leak_report, single_sample_report

from harness.model.report import ExpectationResult, Report
from harness.report.exporters.junit import export

_ORDER = ("properties", "testcase", "system-out", "system-err")
_SUITE = {"name", "timestamp", "hostname", "tests", "failures", "errors", "time", "package", "id"}


def suite_of(report: Report) -> TestSuite:
    (suite,) = JUnitXml.fromstring(export(report))
    assert isinstance(suite, TestSuite)
    return suite


def test_each_expectation_is_a_test_case() -> None:
    report = replace(
        leak_report(),
        expectations=(
            ExpectationResult("no leak", "leak.objects", False, "it grows", "shop.yaml", 12),
            ExpectationResult("peak_pss < 400 MiB", "231.0 MiB", True),
            ExpectationResult("p99 < 50ms", "not measured", None, "no request was answered"),
        ),
    )
    suite = suite_of(report)
    assert (suite.name, suite.tests, suite.failures, suite.errors) == ("shop", 4, 1, 1)
    assert suite.time == 62
    cases = list(suite)
    assert [case.name for case in cases] == [
        "the run came to its end",
        "no leak",
        "peak_pss < 400 MiB",
        "p99 < 50ms",
    ]
    assert {case.classname for case in cases} == {"harness.shop"}
    assert [case.is_passed for case in cases] == [True, False, True, False]
    (failure,), (error,) = cases[1].result, cases[3].result
    assert isinstance(failure, Failure)
    assert failure.message == "leak.objects"
    assert failure.text == "shop.yaml:12: no leak\nmeasured: leak.objects\nit grows"
    assert isinstance(error, Error)
    assert error.message == "cannot tell: no request was answered"


def test_a_run_that_did_not_finish_is_red_though_nothing_was_expected() -> None:
    suite = suite_of(empty_report())
    (case,) = suite
    assert isinstance(case, TestCase)
    assert (suite.tests, suite.errors) == (1, 1)
    assert isinstance(case.result[0], Error)


def test_the_summary_is_the_output() -> None:
    assert "leak: objects" in (ET.fromstring(export(leak_report())).findtext("testsuite/system-out") or "")


@pytest.mark.parametrize("make", [leak_report, empty_report, single_sample_report, hostile_report])
def test_it_keeps_to_what_schemas_demand(make: type[Report]) -> None:
    data = export(make())
    assert data == export(make())
    root = ET.fromstring(data)
    assert root.tag == "testsuites"
    (suite,) = root
    assert set(suite.attrib) >= _SUITE
    tags = [child.tag for child in suite]
    assert tags == sorted(tags, key=_ORDER.index)
    assert tags.count("properties") == tags.count("system-out") == tags.count("system-err") == 1
    cases = suite.findall("testcase")
    assert int(suite.attrib["tests"]) == len(cases)
    assert int(suite.attrib["failures"]) == len(suite.findall("testcase/failure"))
    assert int(suite.attrib["errors"]) == len(suite.findall("testcase/error"))
    for case in cases:
        assert set(case.attrib) == {"name", "classname", "time"}
        assert float(case.attrib["time"]) >= 0
        assert len(case) <= 1
        assert all(child.attrib["type"] for child in case)
    assert all(p.attrib["name"] and "value" in p.attrib for p in suite.findall("properties/property"))


def test_names_that_xml_cannot_hold_are_made_visible() -> None:
    report = replace(
        hostile_report(), expectations=(ExpectationResult("\x00\ufffe]]>&<", "\ud800\x1b", False, "\x0b"),)
    )
    case = list(suite_of(report))[-1]
    assert "]]>&<" in case.name
    assert "\x00" not in case.name
