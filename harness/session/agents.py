"""The agents of a run: put into what runs already, looked for, and told to leave again."""

from __future__ import annotations

from harness.errors import TargetError
from harness.model.event import Event
from harness.plugins.spec import EntryState
from harness.scenario.schema import CommandLoad, Scenario
from harness.session.background import in_background
from harness.session.inside import AgentDirectory, InsidePids
from harness.session.load_client import LoadClient
from harness.session.parts import Parts
from harness.session.target import Target

_NO_AGENT_INSIDE = (
    "nothing was written into the agent's directory: was the container started with it mounted, and with the variables "
    "of agent.env?"
)


def agent_directory(scenario: Scenario) -> AgentDirectory | None:
    """Of the container whose program was started with an agent. Raises UsageError when it cannot be used."""
    specs = () if scenario.target is None else scenario.target.in_containers
    path = next((spec.agent for spec in specs if spec.agent is not None), None)
    return None if path is None else AgentDirectory.open(scenario.resolve_path(path))


class Agents:
    """Those in the target's processes. ``inside``: where they are in a container."""

    def __init__(self, parts: Parts, inside: InsidePids | None) -> None:
        self._parts = parts
        self._inside = inside
        self._entered = False  # the agent was put into processes that are not ours

    def note_facts(self, target: Target) -> None:
        """What the adapter knows of how each pool runs: facts ``<runtime>.<name>.<pool>``."""
        adapter = self._parts.adapter
        if adapter is None:
            return
        pools: dict[str, list[int]] = {}
        for info in target.measured():
            pools.setdefault(info.pool, []).append(info.key.pid)
        for pool, pids in pools.items():
            told = adapter.facts(sorted(pids))
            self._parts.recorder.facts({f"{adapter.name}.{name}.{pool}": text for name, text in told.items()})

    def enter(self, target: Target) -> None:
        """Put the agent into the processes attached to, where the scenario asks. Raises TargetError when none takes it."""
        parts, adapter = self._parts, self._parts.adapter
        if adapter is None or not parts.context.options.get("inject"):
            return
        infos = {info.key.pid: info for info in target.measured()}
        parts.progress.step(
            f"putting the agent into {len(infos)} running processes, each of which is stopped for a moment"
        )
        self._entered = True  # also where this is interrupted
        future = in_background(adapter.enter, parts.context, sorted(infos))
        parts.pump.until(future.done)
        entries = future.result()
        inside = [entry for entry in entries if entry.state is not EntryState.REFUSED]
        if not inside:
            fixes = dict.fromkeys(entry.fix for entry in entries if entry.fix)
            raise TargetError(
                "; ".join(entry.message for entry in entries)
                or f"the {adapter.name} adapter cannot enter what runs already",
                hint="\n  ".join(fixes) or "without target.python.inject it can still be watched from outside",
            )
        for entry in entries:
            stopped = {"pid": entry.pid, "stopped_ns": entry.stopped_ns}
            parts.progress.step(entry.message)
            now_ns = parts.clock.monotonic_ns()
            parts.recorder.event(Event(now_ns, f"agent.{entry.state}", infos[entry.pid].key, entry.message, stopped))
            if entry.state is not EntryState.ENTERED:
                costs = "until then nothing is known from inside this process"
                parts.missing(f"agent.entry.{entry.pid}", entry.message, costs)
        pids = ", ".join(str(entry.pid) for entry in inside)
        longest_ns = max((entry.stopped_ns for entry in inside if entry.stopped_ns is not None), default=None)
        stops = "" if longest_ns is None else f", each stopped for at most {longest_ns / 1e6:.0f} ms"
        text = (
            f"the agent was put into running processes (pid {pids}){stops}; it is told to leave at the end of the run"
        )
        parts.recorder.facts({"experiment.entered": text})

    def release(self, target: Target | None) -> None:
        """Have the agents leave the processes they were put into."""
        parts, adapter = self._parts, self._parts.adapter
        if not self._entered or adapter is None or target is None:
            return
        pids = sorted(info.key.pid for info in target.measured())
        remaining = adapter.release(parts.context, parts.clock.monotonic_ns(), pids)
        if remaining:
            why = f"the agent is still in process {', '.join(map(str, remaining))}: it has run no Python code since it was told"
            parts.missing("agent.release", why, "it leaves as soon as code runs again; nobody checks any more")
        else:
            parts.progress.log("the agent has left the processes it was put into")

    def look_for(self, target: Target, load: LoadClient | None) -> None:
        """No record of a request although requests were answered, or of any process: say why instead of showing zero."""
        parts, adapter, intake = self._parts, self._parts.adapter, self._parts.intake
        self.note_facts(target)  # of processes that came later, too
        intake.poll()
        seen = intake.requests if load is not None else intake.requests + intake.boots
        launched = [p.plan for p in target.programs if p.plan.measured]
        if not launched and not self._entered and self._inside is None:
            return
        by_others = isinstance(parts.scenario.load, CommandLoad)
        if adapter is None or seen or (load is not None and load.spans == 0 and not by_others):
            return
        tail = "\n".join(p.tail() for p in target.programs)
        why = _NO_AGENT_INSIDE if self._inside is not None else adapter.explain_silence(parts.context, launched, tail)
        what = "process" if load is None else "request"
        parts.progress.step(f"warning: no {what} was recorded from inside the target: {why}")
        costs = "requests cannot be tied to workers, and nothing is known from inside the runtime"
        parts.missing("agent.records", why, costs)
