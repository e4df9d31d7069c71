"""Other hosts while a run needs them: what is started there, the line to it, its clock, and that nothing stays."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path, PurePosixPath
from typing import Any

from harness.clock import Clock
from harness.errors import HarnessError, TargetError, one_line
from harness.model.event import Anchor, Event, Scalar
from harness.model.host import HOST, HOST_CLOCK, HOST_DOWN, HOST_UP, RunHost
from harness.model.process import ProcessInfo, host_key
from harness.plugins.spec import LaunchPlan
from harness.sampling.remote.link import NOBODY
from harness.scenario.target import AttachSpec, HostSpec
from harness.session import guarded
from harness.session.background import in_background
from harness.session.progress import Progress
from harness.session.pump import Child, Handler, Pump, own_module
from harness.session.sampler_client import Elsewhere, SamplerClient
from harness.store.hosts import MOST_OFFSET_NS
from harness.store.writer import Recorder, RecordingError
from harness.targets.attach import Attachment
from harness.targets.connectors.deploy import Deployed, NoPython, deploy, reader
from harness.targets.connectors.spec import Connector

LINE_MODULE = "harness.sampling.remote.line"
BARE_MODULE = "harness.sampling.remote.bare"  # where there is no Python
SILENCE_S = 10.0  # without a word: the line is taken for dead, by both ends
GRACE_S = 300.0  # without a word from home: everything there ends
SPOOL_BYTES = 64 << 20
_UP_S = 60.0
_END_S = 90.0
_ON_THE_WAY_S = 10.0
_REAP_S = 5.0
_FILE_CAP_BYTES = 16 << 20
_FOUND_CAP_BYTES = 1 << 16
_PIDFILE_CAP_BYTES = 64
_MOST_PID = 1 << 22  # PID_MAX_LIMIT, include/linux/threads.h
_MOST_FOUND = 1024
_WHY_LETTERS = 300
_MOST_CPU_NS = 1 << 62


class RemoteProgram:
    """A part of our archive that runs on the other host; see `Speaker`."""

    def __init__(self, host: RemoteHost, name: str) -> None:
        self._host = host
        self._name = name
        self._handler: Handler | None = None
        self._gone: Callable[[], None] | None = None
        self.complaints = b""
        self.exit_code: int | None = None
        self.ended = False

    def listen(self, _pump: Pump, handler: Handler, gone: Callable[[], None]) -> None:
        """See `Speaker`."""
        self._handler, self._gone = handler, gone

    def send(self, **message: object) -> None:
        """See `Speaker`."""
        self._host.tell(self._name, message)

    def hang_up(self) -> None:
        """See `Speaker`."""
        self._host.order(cmd="hang up", name=self._name)

    def kill(self) -> None:
        """See `Speaker`."""
        self._host.order(cmd="kill", name=self._name)

    def reap(self, timeout_s: float = _REAP_S) -> None:
        """See `Speaker`."""
        self._host.pump.until(lambda: self.ended, timeout_s)

    def on_message(self, message: Mapping[str, Any]) -> None:
        """It said something."""
        if self._handler is not None:
            self._handler(message)

    def on_end(self, code: int | None, complaints: str) -> None:
        """It has ended, or the host is lost."""
        if not self.ended:
            self.ended, self.exit_code, self.complaints = True, code, complaints.encode()
            if self._gone is not None:
                self._gone()


class RemoteHost:
    """One host. Make it, `set_out` and arrive, use it, `stop`: afterwards nothing of ours is left there, now or after the
    grace period."""

    def __init__(
        self, spec: HostSpec, first: bool, connector: Connector, pump: Pump, recorder: Recorder, progress: Progress, clock: Clock
    ) -> None:  # fmt: skip
        self.spec = spec
        self.first = first
        self.pump = pump
        self.connector = connector
        self._recorder = recorder
        self._progress = progress
        self._clock = clock
        self._on_the_way: Future[Deployed] | None = None
        self._deployed: Deployed | None = None
        self._line: Child | None = None
        self._programs: dict[str, RemoteProgram] = {}
        self._offset_ns: int | None = None
        self._ahead_ns = 0  # as read last
        self.up = False
        self.over = False
        self._lost = ""
        self._deaf = False  # it was told to end everything, and did not answer in time
        self._stopping = False
        self.keeper_cpu_ns: int | None = None  # of the keeper there, until the last program of it ended

    # -- the whole story -----------------------------------------------------------------------------------------------

    def set_out(self) -> Callable[[], None]:
        """Begin to go there, beside others; the result is called to arrive. It raises TargetError when that is not possible."""
        self._progress.step(f"connecting to {self.spec.label}")
        future = in_background(deploy, self.connector, silence_s=SILENCE_S, grace_s=GRACE_S, spool_bytes=SPOOL_BYTES)
        self._on_the_way = future
        return lambda: self._arrive(future)

    def _arrive(self, future: Future[Deployed]) -> None:
        self.pump.until(future.done)
        try:
            self._deployed = future.result()
        except NoPython as reason:
            self._progress.step(
                f"warning: {reason.message}; a shell there shows /proc, and nothing more than that is known"
            )
        there = reader() if self._deployed is None else self._deployed.link
        self._line = Child(
            f"the line to {self.spec.label}", own_module(BARE_MODULE if self._deployed is None else LINE_MODULE)
        )
        self.pump.add(self._line, self._on_message, self._on_line_gone)
        argv = self.connector.command(there)
        patience = {"give_up_s": GRACE_S + 3 * SILENCE_S}
        if self._deployed is not None:
            patience.update(silence_s=SILENCE_S, end_s=_END_S)
        self._line.send(argv=argv, **patience)
        if not self.pump.until(lambda: self.up or bool(self._lost), _UP_S) or self._lost:
            raise TargetError(f"no line to {self.spec.label}: {self._lost or f'nothing was heard for {_UP_S:g} s'}")
        if not self.first:
            now_ns = self._clock.monotonic_ns()
            key = host_key(self.spec.label)
            self._recorder.process(ProcessInfo(key, 0, "", "", None, self.spec.label, now_ns, now_ns, now_ns, None))

    def stop(self) -> None:
        """Have everything there end and its files removed."""
        self._stopping = True
        if self._line is not None:
            self._line.hang_up()
            self.pump.until(lambda: self.over or bool(self._lost) or self._line is None or self._line.ended, _END_S)
            self._line.reap()
            if not self._line.ended:  # the other end can hold it up, and it the user
                self._line.kill()
                self._line.reap()
            if not self.over and not self._deaf and self._deployed is not None:
                self._end_without_line(self._deployed)
            if not self.over and self._deployed is not None:  # a shell there ends with its standard input
                minutes = GRACE_S / 60
                self._progress.step(
                    f"warning: {self.spec.label} was not reached at the end; what runs there ends within {minutes:g} min"
                )
        elif self._on_the_way is not None:
            self._end_on_the_way(self._on_the_way)
        self.connector.close()

    def _end_on_the_way(self, future: Future[Deployed]) -> None:
        """Nobody waited for the arrival, because another host cannot be reached or somebody has interrupted the run."""
        if self.pump.until(future.done, _ON_THE_WAY_S):
            with contextlib.suppress(HarnessError):  # there is nothing
                self._end_without_line(future.result())

    def _end_without_line(self, deployed: Deployed) -> None:
        """The line is gone, as when its process was killed; the host may be there all the same."""
        future = in_background(self.connector.run, [*deployed.link, "end"], timeout_s=_END_S)
        self.pump.until(future.done)
        with contextlib.suppress(TargetError):
            self.over = future.result().code in (0, NOBODY)

    # -- what it is good for -------------------------------------------------------------------------------------------

    @property
    def described(self) -> RunHost:
        """For the run's record."""
        facts = {} if self._deployed is None else self._deployed.host
        spec = self.spec
        return RunHost(
            spec.label, spec.host, spec.role, spec.measured, self.first, self.offset_ns, spec.version or "", facts
        )

    @property
    def offset_ns(self) -> int:
        """How far its clock was ahead when the line came up."""
        return self._offset_ns or 0

    def recorded_now_ns(self) -> int:
        """What is the time there by now, less the offset: as what happens there is recorded."""
        return self._clock.monotonic_ns() + self._ahead_ns - self.offset_ns

    def sampler(
        self, order: Mapping[str, object], make: Callable[[Mapping[str, object], Elsewhere], SamplerClient]
    ) -> SamplerClient:
        """Start one there."""
        program = self.run("sampler", "sampler")
        away = Elsewhere(program, self.offset_ns, not self.first, lambda: not self.up and not self._lost)
        return make({**order, "host": self.spec.label}, away)

    def run(self, name: str, part: str) -> RemoteProgram:
        """Start a part of the archive. It is heard by what `RemoteProgram.listen` is given."""
        program = self._programs[name] = RemoteProgram(self, name)
        self.order(cmd="run", name=name, part=part)
        return program

    def attachments(self, attach: AttachSpec) -> tuple[Attachment, ...]:
        """What ``attach`` means there right now. Raises TargetError when there is no such process."""
        pool = self.spec.label
        if attach.match is not None:
            return (Attachment(pool, match=attach.match),)
        if self._deployed is None:
            return (Attachment(pool, pid=self._pid_without_python(attach)),)
        wanted = {"port": attach.port, "pid": attach.pid, "pidfile": attach.pidfile and str(attach.pidfile)}
        argv = [*self._deployed.part("find"), json.dumps({k: v for k, v in wanted.items() if v is not None})]
        future = in_background(self.connector.run, argv, cap_bytes=_FOUND_CAP_BYTES)
        self.pump.until(future.done)
        done = future.result()
        if done.code:
            raise TargetError(
                f"{self.spec.label}: {done.last_words}", hint="is the service running there, and may this user see it?"
            )
        return tuple(Attachment(pool, pid=pid) for pid in self._found(done.output))

    def _found(self, output: bytes) -> list[int]:
        """What `find` said there, which anybody may have said. Raises TargetError."""
        try:
            said = json.loads(output)
        except (ValueError, RecursionError):
            said = None
        pids = said.get("pids") if isinstance(said, dict) else None
        if not isinstance(pids, list) or not pids or not all(type(pid) is int and 0 < pid <= _MOST_PID for pid in pids):
            hint = "does a greeting of its login shell get into what commands say?"
            raise TargetError(f"{self.spec.label} does not say what runs there", hint=hint)
        return pids[:_MOST_FOUND]

    def _pid_without_python(self, attach: AttachSpec) -> int:
        if attach.pid is not None:
            return attach.pid
        if attach.pidfile is None:
            hint = "name what to watch by match, pid or pidfile"
            raise TargetError(f"{self.spec.label} has no Python to look up port {attach.port} with", hint=hint)
        future = in_background(self.connector.get, PurePosixPath(attach.pidfile), _PIDFILE_CAP_BYTES)
        self.pump.until(future.done)
        words = (future.result() or b"").split()
        if not words or not words[0].isdigit() or not 0 < int(words[0]) <= _MOST_PID:
            raise TargetError(
                f"{self.spec.label}: there is no pid in {attach.pidfile}", hint="is the service running there?"
            )
        return int(words[0])

    def guard(self, plan: LaunchPlan, output: Path) -> guarded.Elsewhere:
        """A guard there for a program; its output comes to ``output`` when asked for, and at the end."""
        name = f"target-{plan.name}.log"

        def fetch() -> None:
            data = self.get_tail(name, _FILE_CAP_BYTES)
            try:
                if data is not None:
                    output.write_bytes(data)
            except OSError as error:  # a full disk here: what runs there is to be ended all the same
                self._progress.step(f"warning: what {plan.name} printed is not kept: {error.strerror}")

        if self._deployed is None:
            raise TargetError(
                f"{self.spec.label} has no Python, without which nothing can be started there", hint="use attach"
            )
        cwd = PurePosixPath(self._deployed.home) / (plan.cwd or ".")
        return guarded.Elsewhere(self.run(f"guard-{plan.name}", "guard"), str(cwd), str(self.path(name)), fetch)

    @property
    def has_python(self) -> bool:
        """Else only a shell shows /proc there."""
        return self._deployed is not None

    def get(self, path: PurePosixPath, cap_bytes: int) -> bytes | None:
        """The file of exactly this name there; see `Connector.get`. Raises TargetError."""
        future = in_background(self.connector.get, path, cap_bytes)
        self.pump.until(future.done)
        return future.result()

    def get_tail(self, name: str, cap_bytes: int) -> bytes | None:
        """The end of a file of the private directory there, by its exact name; None when it cannot be had."""
        if os.sep in name or self._lost:
            return None
        argv = ["tail", "-c", str(cap_bytes), str(self.path(name))]
        future = in_background(self.connector.run, argv, cap_bytes=cap_bytes)
        self.pump.until(future.done)
        try:
            done = future.result()
        except TargetError:
            return None
        return None if done.code else done.output

    def path(self, name: str) -> PurePosixPath:
        """Of a file in the private directory there."""
        assert self._deployed is not None
        return self._deployed.directory / name

    def tell(self, program: str, message: Mapping[str, object]) -> None:
        """A line for a program there; it arrives, whatever becomes of the connection."""
        if self._line is not None:
            self._line.send(to=program, m=message)

    def order(self, **message: object) -> None:
        """A line for the keeper."""
        self.tell("-", message)

    # -- what the line says --------------------------------------------------------------------------------------------

    def _on_message(self, m: Mapping[str, Any]) -> None:
        """The other host may be anybody's: what makes no sense ends the run with words."""
        try:
            self._on_line(m)
        except (TargetError, RecordingError):  # the latter speak of the disk here
            raise
        except (
            KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RecursionError, HarnessError
        ) as error:  # fmt: skip
            why = (
                one_line(error)[:200]
                if isinstance(error, HarnessError)
                else f"{type(error).__name__}: {one_line(error)[:200]}"
            )
            raise TargetError(f"{self.spec.label} sent something that no sampler says ({why})") from error

    def _on_line(self, m: Mapping[str, Any]) -> None:
        kind = m["k"]
        if kind == "said":
            self._on_said(m["by"], m["m"])
        elif kind == "clock":
            self._on_clock(m)
        elif kind == "up":
            if self._offset_ns is not None and self.up is False and self._deployed is not None and self._programs:
                self._note(HOST_UP, m["t"], f"the line to {self.spec.label} works again", {})
            self.up = True
        elif kind == "down":
            self.up = False
            why = _short(m["why"])
            self._note(HOST_DOWN, m["t"], f"the line to {self.spec.label} broke: {why}", {})
            meanwhile = (
                "what is sampled there is kept there" if self.has_python else "nothing is sampled there until it works"
            )
            self._progress.step(f"the line to {self.spec.label} broke ({why}); {meanwhile}")
        elif kind == "over":
            if not self._stopping:
                self._lose("what was started there has ended by itself")
            self.over = True
        elif kind == "gone":
            self._deaf = self._stopping
            self._lose(_short(m["why"]))

    def _on_said(self, by: str, said: Mapping[str, Any]) -> None:
        if by != "-":
            program = self._programs.get(by)
            if program is not None:
                program.on_message(said)
        elif said.get("k") == "ended":
            self.keeper_cpu_ns = cpu_of(said)
            program = self._programs.get(str(said["name"]))
            if program is not None:
                program.on_end(said["code"], str(said["complaints"]))

    def _on_clock(self, m: Mapping[str, Any]) -> None:
        before, there, after = int(m["before"]), int(m["there"]), int(m["after"])
        if not 0 <= there < MOST_OFFSET_NS:
            raise ValueError("clock")
        middle = (before + after) // 2
        self._ahead_ns = there - middle
        if self._offset_ns is None:
            self._offset_ns = self._ahead_ns
        label = self.spec.label
        readings: dict[str, Scalar] = {
            "before_ns": before,
            "there_ns": there,
            "wall_ns": int(m["wall"]),
            "after_ns": after,
        }
        text = f"clock of {label} read within {(after - before) / 2e6:.2f} ms"
        self._note(HOST_CLOCK, middle, text, readings)
        if self._deployed is not None:  # a shell has no wall clock that is fine enough
            self._recorder.anchor(Anchor(label, there - self._offset_ns, int(m["wall"])))

    def _note(self, kind: str, t_ns: int, text: str, attributes: Mapping[str, Scalar]) -> None:
        self._recorder.event(Event(t_ns, kind, None, text, {HOST: self.spec.label, **attributes}))

    def _on_line_gone(self) -> None:
        if not self.over:
            self._lose(self._lost or "the process that holds the line ended")

    def _lose(self, why: str) -> None:
        if self._lost or self.over:
            return
        self._lost, self.up = why, False
        first: HarnessError | None = None
        for program in self._programs.values():  # each has to know, also when one of them ends the run
            try:
                program.on_end(None, f"{self.spec.label} is lost: {why}")
            except HarnessError as error:
                first = first or error
        if first is not None:
            raise first


def cpu_of(said: Mapping[str, Any]) -> int | None:
    """CPU time (ns) that a part of ours says it has used; None where it says nothing that can be one."""
    cpu_ns = said.get("cpu")
    return cpu_ns if type(cpu_ns) is int and 0 <= cpu_ns < _MOST_CPU_NS else None


def _short(why: object) -> str:
    """What an SSH client or another host says, as one short printable line."""
    return "".join(c if c.isprintable() else "?" for c in str(why))[:_WHY_LETTERS]


def remote_hosts(
    places: Sequence[tuple[HostSpec, Connector]], pump: Pump, recorder: Recorder, progress: Progress, clock: Clock, *, first: bool
) -> tuple[RemoteHost, ...]:  # fmt: skip
    """The hosts of a run, none of them begun; those that are measured come first. ``first``: the first one's own values are
    judged, and not this machine's."""
    ordered = sorted(places, key=lambda place: not place[0].measured)
    return tuple(
        RemoteHost(spec, first and number == 0, connector, pump, recorder, progress, clock)
        for number, (spec, connector) in enumerate(ordered)
    )
