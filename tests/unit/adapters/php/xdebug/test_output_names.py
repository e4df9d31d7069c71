"""Names of Xdebug's files: what is read from them, and what is not believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.php.xdebug.output_names import (
    OutputName,
    RefusedError,
    is_name,
    name_from_header,
    parse_name,
    pid_in_name,
)
from adapters.php.xdebug.tools import GCSTATS, PROFILE, TOOLS, TRACE, XdebugTool

SPAN = "0123456789abcdef"
NAME = f"cachegrind.out.4711.1700000001.500000.0a1b2c.{SPAN}"
EACH_TOOL = pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)


@pytest.mark.parametrize(
    ("tool", "name"),
    [
        (PROFILE, NAME),
        (PROFILE, f"{NAME}.gz"),
        (TRACE, f"trace.4711.1700000001.500000.0a1b2c.{SPAN}.xt"),
        (TRACE, f"trace.4711.1700000001_500000.0a1b2c.{SPAN}.xt"),
        (TRACE, f"trace.4711.1700000001.500000.0a1b2c.{SPAN}.xt.gz"),
        (GCSTATS, f"gcstats.4711.1700000001.500000.0a1b2c.{SPAN}"),
    ],
)
def test_our_names_tell_worker_start_and_request(tool: XdebugTool, name: str) -> None:
    assert parse_name(tool, name) == OutputName(name, 4711, 1_700_000_001_500_000_000, SPAN)
    assert pid_in_name(tool, name) == 4711
    assert is_name(tool, name)


@pytest.mark.parametrize("name", [NAME[: -len(SPAN)], NAME[: -len(SPAN) - 1]])
def test_a_request_without_span_has_none(name: str) -> None:
    known = parse_name(PROFILE, name)
    assert known is not None
    assert known.span_id is None


@pytest.mark.parametrize("header", [NAME, f"/srv/tmp/{NAME}", f"../../{NAME}", f"/x/y/{NAME}.gz"])
def test_only_the_bare_name_of_the_header_is_used(header: str) -> None:
    assert name_from_header(PROFILE, header, ours=True).startswith(NAME)


HOSTILE = (
    "", "/", "..", "../../etc/passwd", "/etc/shadow", f"{NAME}/..", f"{NAME}\n", f"{NAME}\0", f"x{NAME}", f"{NAME}é",
    ".ssh", "a" * 1_000_000, f"{NAME} ", "\ud800", f"{NAME};id", f"trace.1.2.3.{SPAN}.xt", "cachegrind.out." + "a" * 201,
)  # fmt: skip


@pytest.mark.parametrize("header", HOSTILE)
@pytest.mark.parametrize("ours", [True, False])
def test_other_names_are_refused(header: str, *, ours: bool) -> None:
    with pytest.raises(RefusedError) as refusal:
        name_from_header(PROFILE, header, ours=ours)
    assert len(str(refusal.value)) < 300, "a long name is not repeated in the report"
    assert parse_name(PROFILE, header) is None


@pytest.mark.parametrize(
    "name", ["cachegrind.out.1", "cachegrind.out.1.2.3.4", f"{NAME}x", "cachegrind.out._index_php"]
)
def test_a_deployment_may_have_output_names_of_its_own(name: str) -> None:
    assert name_from_header(PROFILE, f"/tmp/{name}", ours=False) == name
    with pytest.raises(RefusedError):
        name_from_header(PROFILE, name, ours=True)


@EACH_TOOL
@given(text=st.text(max_size=80))
def test_what_is_accepted_is_always_a_bare_name(tool: XdebugTool, text: str) -> None:
    for name in (text, f"{tool.prefix}.{text}"):
        if parse_name(tool, name) is not None or is_name(tool, name):
            assert name.startswith(tool.prefix)
            assert not set(name) & set("/\0\n \\")


@EACH_TOOL
def test_names_of_one_tool_are_not_those_of_another(tool: XdebugTool) -> None:
    name = f"{tool.prefix}.1.2.000003.0a1b2c.{SPAN}{tool.suffix}"
    assert [other.name for other in TOOLS.values() if parse_name(other, name)] == [tool.name]
