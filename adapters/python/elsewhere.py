"""Programs with the agent on another host: which Python they run is asked there, and results get names that are chosen here."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from adapters.python import interpreter, launch, overlay, silence
from adapters.python.interpreter import Command, Interpreter
from adapters.python.toolset import Tool
from harness.errors import UsageError
from harness.plugins.spec import AdapterContext, Check, CheckLevel, LaunchPlan, Prepared, There

MOST_JOBS = 64  # results of one order and process
_NO_RECORDS = "per-request records and triggered tools; sampling from outside is not affected"
_FIND = (
    'cd -- "$1" 2>/dev/null; case "$2" in */*) p=$2;; *) p=$(command -v -- "$2") || exit 1;; esac; [ -f "$p" ] || exit 1; '
    'case "$p" in /*) ;; *) p=$PWD/$p;; esac; printf %s "$p"'
)
_END = '[ -f "$2" ] || exit 1; exec "$1" -c "$3" -- "$2"'


def name_for_request(context: AdapterContext, tool: Tool) -> Mapping[str, str]:
    """Words of a trigger: how the result is to be called. Raises UsageError for a tool whose result is more than one file."""
    if context.away is None:
        return {}
    if tool.records or tool.raw is not None:
        why = (
            "its recording is read with the target's own Python" if tool.records else "its receiver is on this machine"
        )
        raise UsageError(f"{tool.name} is not used on another host: {why}")
    stem = secrets.token_hex(16)
    context.away.expect(f"{stem}.json")
    return {"result": stem}


def names_for_jobs(context: AdapterContext, tool: Tool, pids: Sequence[int]) -> Mapping[str, str]:
    """The same for an order under which many results may come: see ``_numbered`` in the agent's ``trigger``."""
    if context.away is None:
        return {}
    if tool.records:
        raise UsageError(f"{tool.name} is not used on another host: its recording is read with the target's own Python")
    stem = secrets.token_hex(8)
    for pid in filter(None, map(context.away.called, pids)):
        for number in range(1, MOST_JOBS + 1):
            context.away.expect(f"{stem}{pid:08x}{number:08x}.json")
    return {"results": stem}


@dataclass(frozen=True, slots=True)
class FilesThere:
    """`interpreter.Files` of another host."""

    there: There
    cwd: str

    def find(self, word: str) -> str | None:
        """See `interpreter.Files`."""
        code, said = self.there.run(["sh", "-c", _FIND, "sh", self.cwd, word])
        return said.decode("utf-8", "replace") if code == 0 and said else None

    def ends(self, path: str, size: int) -> tuple[bytes, bytes] | None:
        """See `interpreter.Files`."""
        found = [self.there.run(["sh", "-c", _END, "sh", which, path, str(size)]) for which in ("head", "tail")]
        return None if any(code for code, _ in found) else (found[0][1], found[1][1])


def prepared(
    context: AdapterContext, plans: Sequence[LaunchPlan], variables: Mapping[str, str], there: There
) -> tuple[Prepared, Sequence[Check]]:
    """The measured plans with the agent."""
    started: list[LaunchPlan] = []
    checks: list[Check] = []
    for plan in plans:
        if plan.measured:
            plan, found = _instrumented(context, plan, variables, there)  # noqa: PLW2901
            checks += found
        started.append(plan)
    told = {name: text for name, text in launch.experiments(context).items() if name != "overlay"}
    return Prepared(tuple(started), context.base_url, told), checks


def _instrumented(
    context: AdapterContext, plan: LaunchPlan, variables: Mapping[str, str], there: There
) -> tuple[LaunchPlan, Sequence[Check]]:
    """The plan with the agent's variables, and what will not work with it."""
    files = FilesThere(there, str(plan.cwd or "."))
    command = interpreter.resolve_in(plan.argv, files)
    found = _ask(command, there)
    path = plan.env.get("PYTHONPATH") or _variable("PYTHONPATH", there)
    given = {
        **plan.env,
        **launch.optional_settings(context),
        **variables,
        "PYTHONPATH": os.pathsep.join(filter(None, (variables["PYTHONPATH"], path))),
    }
    frames = launch.frames_from_boot(context)
    if frames is not None and not (plan.env.get("PYTHONTRACEMALLOC") or _variable("PYTHONTRACEMALLOC", there)):
        given["PYTHONTRACEMALLOC"] = str(frames)
    return replace(plan, env=given), list(_checks(context, plan, command, found, there))


def _checks(
    context: AdapterContext, plan: LaunchPlan, command: Command, found: Interpreter | None, there: There
) -> Iterator[Check]:
    name = f"Python agent in {plan.name}"
    reason = silence.blocking_reason(command, found)
    if reason is not None:
        why = reason.replace(f", {silence.OVERLAY}", "")  # one is made on this machine only
        yield Check(name, CheckLevel.WARNING, f"the agent will not load: {why}", costs=_NO_RECORDS)
    if command.kind == "missing":
        text = f"{command.path or 'an empty command'} was not found on {there.name}"
        yield Check(name, CheckLevel.INFO, text)
    if context.options.get("overlay") and overlay.helps(command):
        text = "an overlay is made for programs of this machine only"
        yield Check(f"{name}, overlay", CheckLevel.WARNING, text, costs=_NO_RECORDS)
    for tool in () if context.automatic else launch.wanted_tools(context):
        if found is not None and tool.names and not _has(tool, found, there):
            version = "{}.{}".format(*found.version[:2])
            text = f"the Python {version} of {plan.name} on {there.name} has no {tool.names[0]}, and none is lent to another host"
            yield Check(f"{tool.name} package", CheckLevel.WARNING, text, costs=f"{tool.name} results")


def _has(tool: Tool, found: Interpreter, there: There) -> bool:
    """Whether that Python could import the tool; nothing is imported."""
    question = f"import importlib.util as u;print(u.find_spec({tool.names[0]!r}) is not None)"
    code, said = there.run([*found.program, "-c", question])
    return code == 0 and said.strip().endswith(b"True")


def unseen(plan: LaunchPlan) -> Command:
    """A command of another host, when it is too late to ask there."""
    return Command(plan.argv[0], "python")


def _ask(command: Command, there: There) -> Interpreter | None:
    if not command.interpreter:
        return None
    code, said = there.run([*command.interpreter, "-I", "-S", "-c", interpreter.QUESTION])
    return interpreter.answered(said, command) if code == 0 else None


def _variable(name: str, there: There) -> str:
    """A variable as programs there get it; empty where there is none."""
    code, said = there.run(["sh", "-c", f'printf %s "${name}"'])
    return said.decode("utf-8", "surrogateescape") if code == 0 else ""
