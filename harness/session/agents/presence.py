"""The agents of a run: put into what runs already, looked for, and told to leave again."""

from __future__ import annotations

from harness.errors import TargetError, UsageError
from harness.model.event import Event
from harness.plugins.spec import EntryState
from harness.scenario.load import CommandLoad
from harness.scenario.schema import Scenario
from harness.session.agents.deployed import SILENT_COSTS, VERSION_COSTS, Deployed, other_version
from harness.session.agents.mounted import AgentDirectory
from harness.session.background import in_background
from harness.session.hosts.containers import pools_here
from harness.session.load_client import LoadClient
from harness.session.parts import Parts
from harness.session.target import Target


def agent_directories(scenario: Scenario) -> dict[str, AgentDirectory]:
    """Of the containers whose programs were started with an agent, by pool. Raises UsageError when one cannot be used."""
    target = scenario.target
    contained = [] if target is None else list(zip(target.in_containers, pools_here(target), strict=True))
    opened: dict[str, AgentDirectory] = {}
    try:
        for spec, pool in contained:
            if spec.agent is not None:
                opened[pool] = AgentDirectory.open(scenario.resolve_path(spec.agent), scenario.runtime)
    except UsageError:
        for directory in opened.values():
            directory.close()
        raise
    return opened


def tell_of_version(parts: Parts, name: str, found: Deployed) -> None:
    """Where the agent in a directory is none of this version. ``name``: of its host or container."""
    differs = other_version(found)
    if differs:
        parts.progress.step(f"warning: {name}: {differs}")
        parts.missing(f"agent.version.{name}", differs, VERSION_COSTS)


class Agents:
    """Those in the target's processes."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._entered = False  # the agent was put into processes that are not ours

    def note_facts(self, target: Target) -> None:
        """What the adapter knows of how each pool runs: facts ``<runtime>.<name>.<pool>``."""
        adapter = self._parts.adapter
        if adapter is None:
            return
        pools: dict[str, list[int]] = {}
        for info in target.measured():
            if not info.key.host:  # else nothing of it is in this machine's /proc
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

    def greet(self, target: Target) -> None:
        """Say before the first request where agents should be and nobody is. What is missing is told by `look_for`: who
        is not there yet may come."""
        parts, adapter = self._parts, self._parts.adapter
        if adapter is None or not adapter.announces:
            return
        for place in parts.places.others:
            there = [info for info in target.sampler.alive if place.holds(info)]
            if place.silence and there and not any(map(place.announced, there)):
                parts.progress.step(f"warning: {place.name}: {place.silence}")

    def look_for(self, target: Target, load: LoadClient | None) -> None:
        """No record of a request although requests were answered, or of any process: say why instead of showing zero."""
        parts, adapter, places = self._parts, self._parts.adapter, self._parts.places
        self.note_facts(target)  # of processes that came later, too
        places.poll()
        launched = [p.plan for p in target.programs if p.plan.measured]
        here = self._entered or (launched and not places.others and target.host is None)
        asked = [*places.others, *([places.own] if here else [])]
        by_others = isinstance(parts.scenario.load, CommandLoad)
        if adapter is None or (load is not None and load.spans == 0 and not by_others):
            return
        what = (
            "request" if load is not None and not places.requests else "process"
        )  # not each of several has to be asked
        tail = "\n".join(p.tail() for p in target.programs)
        for place in asked:
            if place.intake.requests or (what == "process" and place.intake.boots):
                continue
            why = place.silence or adapter.explain_silence(place.context, launched, tail)
            name, of = (f".{place.name}", f" of {place.name}") if len(asked) > 1 else ("", "")
            parts.progress.step(f"warning: no {what}{of} was recorded from inside the target: {why}")
            parts.missing(f"agent.records{name}", why, SILENT_COSTS)
