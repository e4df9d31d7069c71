"""The table as text and as JSON, whatever a target put into it."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import jsonschema
from checkups import MACHINE, ONE_OF_EACH, observation, target
from hypothesis import given
from hypothesis import strategies as st

from harness.doctor.json_ import as_object, document
from harness.doctor.model import Group, Line, Looked, State
from harness.doctor.setups import Setups, inspect
from harness.doctor.signals import table
from harness.doctor.text import Paper, render, render_setups, totals
from harness.model.event import Missing
from harness.plugins.spec import Check, CheckLevel

SCHEMA: dict[str, Any] = json.loads(files("harness.doctor").joinpath("doctor.schema.json").read_text())
SUBJECT = target(Looked(7, "app", 1000), Looked(8, "app", None))
CHECKS = [Check("php.fpm", CheckLevel.ERROR, "php-fpm is not installed", "apt-get install php-fpm")]


def valid(data: object) -> None:
    jsonschema.validate(data, SCHEMA, jsonschema.Draft202012Validator)


def test_the_schema_is_one_and_refuses_what_it_should() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    good = as_object(MACHINE, SUBJECT, ONE_OF_EACH, CHECKS, False)
    valid(good)
    for broken in (
        {**good, "format": "harness-doctor/2"},
        {**good, "signals": [{**good["signals"][2], "fix": None}]},  # a missing signal without a way to get it
        {key: value for key, value in good.items() if key != "would_start"},
    ):
        try:
            valid(broken)
        except jsonschema.ValidationError:
            continue
        raise AssertionError(broken)


@given(
    st.lists(st.tuples(st.text(min_size=1), st.text(), st.text(min_size=1)), unique_by=lambda m: m[0], max_size=5),
    st.booleans(),
)
def test_whatever_was_found_is_valid_json_and_safe_text(missing: list[tuple[str, str, str]], launched: bool) -> None:
    seen = observation(7, 8, without=(8,), missing=[Missing(*m) for m in missing])
    groups = table(seen, SUBJECT, MACHINE)
    text = document(MACHINE, SUBJECT, groups, CHECKS if launched else None, False if launched else None)
    assert text.isascii()
    assert "\n" not in text
    data = json.loads(text)
    valid(data)
    assert {signal for signal, _, _ in missing} <= {line["signal"] for line in data["signals"]}
    shown = render(groups, Paper())
    assert all(c.isprintable() or c == "\n" for c in shown)


def test_as_text() -> None:
    assert render(ONE_OF_EACH, Paper()) == (
        "kernel\n"
        "  ✓ a                           it is there\n"
        "  ! b                           of some\n"
        "      without it: less\n"
        "      fix: sudo harness\n"
        "  ✗ c                           no permission\n"
        "      without it: nothing\n"
        "      fix: sudo harness\n"
        "  · d                           no swap\n"
        "  ? e                           not reached\n"
    )
    assert totals(ONE_OF_EACH) == "1 there, 1 in part, 1 missing, 1 not checked"
    assert totals(()) == ""


def test_without_unicode_and_with_colours() -> None:
    plain = render(ONE_OF_EACH, Paper(unicode=False))
    assert plain.isascii()
    assert [
        line[2] for line in plain.splitlines() if line.startswith("  ") and line[3] == " " and line[2] != " "
    ] == list("+!x.?")
    assert "\x1b[31m✗\x1b[0m" in render(ONE_OF_EACH, Paper(colour=True))


def test_long_and_hostile_text_is_cut_and_escaped() -> None:
    groups = (Group("kernel", (Line("a\x1b[31m", State.OK, "x\n\x07" + "y" * 9999),)),)
    shown = render(groups, Paper())
    assert shown.count("\n") == 2
    assert "\x1b" not in shown
    assert len(shown) < 1000


# --- set-ups of runtimes ------------------------------------------------------------------------------------------------

NOTE = Check("php.setup", CheckLevel.INFO, "/usr/bin/php: PHP 8.2")
MISTAKE = Check(
    "php.xdebug.develop", CheckLevel.WARNING, "20-xdebug.ini:1: on", "xdebug.mode = off\nb = c", "honest times"
)


def test_set_ups_as_text() -> None:
    setups = (Setups("php", (NOTE, MISTAKE)),)
    mistake = (
        "  ! php.xdebug.develop: 20-xdebug.ini:1: on\n"
        "      fix: xdebug.mode = off\n"
        "           b = c\n"
        "      without it: honest times\n"
    )
    assert render_setups(setups, Paper(), notes=False) == f"set-up of php\n{mistake}  · 1 note (--json)\n"
    assert render_setups(setups, Paper(), notes=True) == (
        f"set-up of php\n  · php.setup: /usr/bin/php: PHP 8.2\n{mistake}"
    )
    well = (Setups("php", (NOTE, NOTE)),)
    assert render_setups(well, Paper(unicode=False), notes=False) == (
        "set-up of php\n  + no mistakes found; 2 notes (--json)\n"
    )
    assert render_setups(well, Paper(), notes=True).endswith("  ✓ no mistakes found\n")
    assert render_setups((), Paper(), notes=True) == ""


def test_set_ups_as_json() -> None:
    data = as_object(MACHINE, SUBJECT, ONE_OF_EACH, None, None, (Setups("php", (NOTE, MISTAKE)),))
    valid(data)
    assert data["setup"][1] == {
        "runtime": "php", "name": "php.xdebug.develop", "level": "warning", "message": "20-xdebug.ini:1: on",
        "costs": "honest times", "fix": "xdebug.mode = off\nb = c",
    }  # fmt: skip
    assert data["would_start"] is None
    assert as_object(MACHINE, SUBJECT, ONE_OF_EACH, None, None)["setup"] == []


@given(st.text(), st.text(), st.text())
def test_hostile_set_ups_are_safe(name: str, message: str, fix: str) -> None:
    setups = (Setups("php", (Check(name, CheckLevel.WARNING, message, fix, message),)),)
    shown = render_setups(setups, Paper(), notes=True)
    assert all(c.isprintable() or c == "\n" for c in shown)
    assert all(line.startswith(("set-up", "  ")) for line in shown.splitlines())
    valid(as_object(MACHINE, SUBJECT, ONE_OF_EACH, None, None, setups))


def test_what_is_found_twice_is_said_once() -> None:
    once, twice = inspect(["php"], ()), inspect(["php"], (), ())
    assert [s.checks for s in once] == [s.checks for s in twice]
    assert inspect(["python"], ()) == ()  # which has nothing to say
