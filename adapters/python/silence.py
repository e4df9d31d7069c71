"""Why no agent announced itself in a process that was launched with one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from adapters.python.interpreter import Command, Interpreter

_FLAG_REASONS = {
    "I": "-I makes Python ignore PYTHONPATH",
    "E": "-E makes Python ignore PYTHONPATH",
    "S": "-S keeps Python from running sitecustomize",
}
_REMOVE = "remove the flag from the command line or the script's first line"
OVERLAY = "or set `overlay: true` under target.python to run it from a virtual environment of the harness"
_MARK = "harness agent:"
OLDEST = (3, 8)


def blocking_reason(command: Command, interpreter: Interpreter | None, with_overlay: bool = False) -> str | None:
    """Why this command line cannot load the agent, when that can be told beforehand; with what to do about it."""
    reason = _of_kind(command) or _of_flags(command, with_overlay)
    if reason is not None or interpreter is None:
        return reason
    if interpreter.version < OLDEST:
        return f"the target runs Python {_dotted(interpreter)}; the agent needs 3.8 or newer"
    if interpreter.free_threaded:
        return f"the target runs a free-threaded Python {_dotted(interpreter)}, which the agent does not support"
    return None


def _of_kind(command: Command) -> str | None:
    name = Path(command.path).name
    if command.kind == "pex":
        return f"{command.path} is a PEX, which re-executes Python with a clean environment; start its unpacked venv instead"
    if command.kind == "frozen":
        return (
            f"{command.path} is a frozen program (PyInstaller): its Python ignores the environment; launch its source"
        )
    if command.kind == "no-site":
        return "uWSGI's --no-site keeps Python from running sitecustomize; drop it"
    if command.kind == "wiped-env" and name == "env":
        return "`env -i` removes the variables that carry the agent; drop it from `launch`"
    if command.kind == "wiped-env":
        what = (
            "starts with a new environment"
            if name in ("su", "runuser")
            else "removes the variables that carry the agent"
        )
        return f"{name} {what}; launch the Python command itself, or use `setpriv` or `su -c` without `-` to change the user"
    return None


def _of_flags(command: Command, with_overlay: bool) -> str | None:
    if "S" in command.flags:
        return (
            f"{_FLAG_REASONS['S']}, in an overlay too; {_REMOVE}"
            if with_overlay
            else f"{_FLAG_REASONS['S']}; {_REMOVE}"
        )
    for letter in command.flags:
        if letter in _FLAG_REASONS and not with_overlay:
            return f"{_FLAG_REASONS[letter]}; {_REMOVE}, {OVERLAY}"
    return None


def explain(
    name: str,
    command: Command,
    interpreter: Interpreter | None,
    output_tail: str,
    *,
    with_overlay: bool = False,
    announced: bool = False,
    obstacles: Sequence[str] = (),
) -> str:
    """The likely reason for one launch, best evidence first: what the agent itself said, the command line, whether agents
    ``announced`` themselves all the same, then guesses, with the ``obstacles`` found around the run's directory."""
    said = [line.strip() for line in output_tail.splitlines() if _MARK in line]
    if said:
        return f"{name}: {said[-1][:300]}"
    reason = blocking_reason(command, interpreter, with_overlay)
    if reason is not None:
        return f"{name}: {reason}."
    if command.kind == "missing":
        return f"{name}: {command.path or 'an empty command'} was not found, so it is unknown what runs."
    if announced:
        return (
            f"{name}: the agent loaded, but no request came by it: the server is unknown to it and the application none of "
            "Flask, Django and Starlette (docs/python.md lists them), or the program started another one without the agent."
        )
    besides = f" Besides, {'; '.join(obstacles)}." if obstacles else ""
    return f"{name}: {_guess(command)}{besides}"


def _guess(command: Command) -> str:
    if command.kind == "python":
        return (
            "Python was launched but did not load the agent; the program may clear its environment, re-execute itself "
            "with -I or -E, or run as a user who cannot read the run directory."
        )
    return (
        f"{command.path} is not Python as far as its first bytes tell: a frozen program (PyInstaller) or a "
        "wrapper that clears the environment (a container) cannot be instrumented; launch the Python command itself."
    )


def _dotted(interpreter: Interpreter) -> str:
    return ".".join(map(str, interpreter.version))
