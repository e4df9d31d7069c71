"""Why no agent announced itself in a process that was launched with one."""

from __future__ import annotations

from adapters.python.interpreter import Command, Interpreter

_FLAG_REASONS = {
    "I": "-I makes Python ignore PYTHONPATH",
    "E": "-E makes Python ignore PYTHONPATH",
    "S": "-S keeps Python from running sitecustomize",
}
_MARK = "harness agent:"
OLDEST = (3, 8)


def blocking_reason(command: Command, interpreter: Interpreter | None) -> str | None:
    """Why this command line cannot load the agent, when that can be told beforehand; with what to do about it."""
    if command.kind == "pex":
        return f"{command.path} is a PEX, which re-executes Python with a clean environment; start its unpacked venv instead"
    if command.kind == "wiped-env":
        return "`env -i` removes the variables that carry the agent; drop it from `launch`"
    for letter in command.flags:
        if letter in _FLAG_REASONS:
            return f"{_FLAG_REASONS[letter]}; remove the flag from the command line or the script's first line"
    if interpreter is not None:
        if interpreter.version < OLDEST:
            return f"the target runs Python {_dotted(interpreter)}; the agent needs 3.8 or newer"
        if interpreter.free_threaded:
            return f"the target runs a free-threaded Python {_dotted(interpreter)}, which the agent does not support"
    return None


def explain(name: str, command: Command, interpreter: Interpreter | None, output_tail: str) -> str:
    """The likely reason for one launch, best evidence first: what the agent itself said, the command line, then guesses."""
    said = [line.strip() for line in output_tail.splitlines() if _MARK in line]
    if said:
        return f"{name}: {said[-1][:300]}"
    reason = blocking_reason(command, interpreter)
    if reason is not None:
        return f"{name}: {reason}."
    if command.kind == "missing":
        return f"{name}: {command.path or 'an empty command'} was not found, so it is unknown what runs."
    if command.kind == "python":
        return (
            f"{name}: Python was launched but did not load the agent; the program may clear its environment, re-execute itself "
            "with -I or -E, or run as a user who cannot read the run directory."
        )
    return (
        f"{name}: {command.path} is not Python as far as its first bytes tell: a frozen program (PyInstaller) or a "
        "wrapper that clears the environment (sudo, su -, a container) cannot be instrumented; launch the Python command itself."
    )


def _dotted(interpreter: Interpreter) -> str:
    return ".".join(map(str, interpreter.version))
