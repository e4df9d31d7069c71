"""Why nothing came from inside a target, in the order of the evidence."""

import pytest

from adapters.python.interpreter import Command, Interpreter
from adapters.python.silence import blocking_reason, explain

PYTHON = Command("/usr/bin/python3", "python", ("/usr/bin/python3",))
ORDINARY = Interpreter((3, 12, 1), "cpython", "cpython-312", False)


def with_flags(flags: str) -> Command:
    return Command("/usr/bin/python3", "python", ("/usr/bin/python3",), flags)


@pytest.mark.parametrize(
    ("command", "interpreter", "reason"),
    [
        (with_flags("BI"), ORDINARY, "overlay: true"),
        (with_flags("E"), None, "overlay: true"),
        (with_flags("S"), ORDINARY, "-S keeps Python from running sitecustomize; remove the flag"),
        (with_flags("IS"), ORDINARY, "-S keeps"),
        (Command("/srv/app.pex", "pex"), None, "/srv/app.pex is a PEX"),
        (Command("/srv/app", "frozen"), None, "/srv/app is a frozen program (PyInstaller)"),
        (Command("/usr/bin/uwsgi", "no-site"), None, "uWSGI's --no-site"),
        (Command("env", "wiped-env"), None, "`env -i` removes"),
        (Command("/usr/bin/sudo", "wiped-env"), None, "sudo removes the variables"),
        (Command("su", "wiped-env"), None, "su starts with a new environment"),
        (PYTHON, Interpreter((3, 7, 9), "cpython", "cpython-37", False), "runs Python 3.7.9; the agent needs 3.8 or newer"),
        (PYTHON, Interpreter((3, 14, 0), "cpython", "cpython-314", True), "free-threaded Python 3.14.0"),
    ],
)  # fmt: skip
def test_reasons_that_can_be_told_beforehand(command: Command, interpreter: Interpreter | None, reason: str) -> None:
    told = blocking_reason(command, interpreter)
    assert told is not None
    assert reason in told
    assert explain("app", command, interpreter, "", announced=True, obstacles=["full"]) == f"app: {told}."


def test_newer_pythons_are_not_blocked() -> None:
    assert blocking_reason(PYTHON, Interpreter((3, 14, 0), "cpython", "cpython-314", False)) is None
    assert blocking_reason(PYTHON, ORDINARY) is None


def test_an_overlay_lifts_isolation_and_nothing_else() -> None:
    assert blocking_reason(with_flags("I"), ORDINARY, with_overlay=True) is None
    told = blocking_reason(with_flags("IS"), ORDINARY, with_overlay=True)
    assert told is not None
    assert "in an overlay too" in told


def test_what_the_agent_said_comes_first() -> None:
    output = "noise\nharness agent: not loaded: first\nharness agent: not loaded: last\nnoise"
    assert explain("app", with_flags("I"), ORDINARY, output) == "app: harness agent: not loaded: last"


def test_an_agent_that_loaded_is_not_said_to_be_missing() -> None:
    assert "the agent loaded, but no request" in explain(
        "app", PYTHON, ORDINARY, "", announced=True, obstacles=["full"]
    )


def test_obstacles_are_told_beside_the_guess() -> None:
    told = explain("app", PYTHON, ORDINARY, "", obstacles=["the disk is full", "x is closed"])
    assert "may clear its environment" in told
    assert told.endswith(" Besides, the disk is full; x is closed.")
    assert "Besides" not in explain("app", PYTHON, ORDINARY, "")
    assert "is not Python" in explain("app", Command("/bin/x", "other"), None, "", obstacles=["full"])
    assert "was not found" in explain("app", Command("x", "missing"), None, "", obstacles=["full"])
