"""Drive the measured traffic: rounds, jobs, arrival rates, or nothing but watching.

Whatever the kind, the recorded shape is the same: windows that end in a floor, taken when the target is as quiet as the kind
of traffic allows. Rounds and jobs are drained first; arrival-rate stages and watching are cut into equal slices whose floors
are taken under whatever load there is, which the diagnosis knows from the scenario. How long a watch lasts need not be known.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from statistics import median

from harness.clock import Clock
from harness.errors import TargetError
from harness.model.event import Event, Window
from harness.model.span import PhaseName, Span
from harness.sampling.protocol import Depth
from harness.session.block_floors import BlockFloors
from harness.session.guarded import GuardedProgram
from harness.session.load_client import LoadClient
from harness.session.progress import Progress
from harness.session.pump import Pump
from harness.session.quietness import of_this_machine, wait_until_quiet
from harness.session.sampler_client import SamplerClient
from harness.session.slices import SLICES, GrowingSlices, first_slice_ns
from harness.store.writer import Recorder
from harness.units import format_bytes, format_duration

_MOST_PARTS, _LEAST_PART_S = 4, 2.5  # of a slice
_WATCH_STEP_S = 0.2
_LEAST_IDLE_S, _MOST_IDLE_S = 1.0, 10.0


@dataclass(frozen=True, slots=True)
class Rounds:
    """Closed-model rounds; times in seconds."""

    rounds: int
    warmup_rounds: int
    requests: int
    blocks: int
    settle_s: float


@dataclass(frozen=True, slots=True)
class Jobs:
    """One command per round: it feeds a worker, or is itself the thing measured. ``sends``: it sends requests, many in one run,
    which are known from what the target records (`harness.correlate.told`)."""

    rounds: int
    warmup_rounds: int
    settle_s: float
    timeout_s: float
    sends: bool = False

    @property
    def key(self) -> str:
        """Where the command stands in the scenario."""
        return "load.command" if self.sends else "load.each_round"


@dataclass(frozen=True, slots=True)
class Stage:
    """An arrival rate, ramping linearly from ``rate_from`` to ``rate_to`` requests per second."""

    rate_from: float
    rate_to: float
    seconds: float
    warmup: bool
    max_in_flight: int


@dataclass(frozen=True, slots=True)
class Shaped:
    """Traffic that shapes itself (a locustfile), for so many seconds after a warm-up."""

    warmup_s: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Feed:
    """One command that sends all the time, for so many seconds after a warm-up."""

    warmup_s: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Watch:
    """No traffic of ours, for so many seconds; None: until somebody interrupts."""

    seconds: float | None


class Workload:
    """Runs one of the kinds. The session keeps guard rails and storage going through the pump.

    ``at_round_end`` is told the instant of the floor that each round or slice ends with, before traffic goes on. ``unmeasured``:
    pools that are only watched, of which nothing is said so far.
    """

    def __init__(
        self, pump: Pump, recorder: Recorder, sampler: SamplerClient, progress: Progress, clock: Clock,
        at_round_end: Callable[[int], None], unmeasured: Collection[str] = (),
    ) -> None:  # fmt: skip
        self._pump = pump
        self._recorder = recorder
        self._sampler = sampler
        self._progress = progress
        self._clock = clock
        self._at_round_end = at_round_end
        self._unmeasured = unmeasured
        self._block_floors = BlockFloors(sampler.floor, recorder.missing)
        self._round_s: list[float] = []

    # -- kinds ---------------------------------------------------------------------------------------------------------

    def rounds(self, load: LoadClient, spec: Rounds) -> None:
        """Warm-up rounds, then the measured ones, all alike."""
        for phase, count in ((PhaseName.WARMUP, spec.warmup_rounds), (PhaseName.ROUNDS, spec.rounds)):
            for number in range(count):
                self._round(load, spec, phase, number, count)
        self._idle()

    def jobs(self, spec: Jobs, start: Callable[[], GuardedProgram]) -> None:
        """Run the command once per round, to completion; then wait until the workers it fed are quiet."""
        for phase, count in ((PhaseName.WARMUP, spec.warmup_rounds), (PhaseName.ROUNDS, spec.rounds)):
            for number in range(count):
                window = self._open(phase, number, None)
                job, started, ended = self._one_job(spec, start, phase, number)
                self._close(window, ended)
                self._tell(phase)
                self._progress.step(
                    f"{phase} {number + 1}/{count}: {job.describe_end()} after {(ended - started) / 1e9:.1f} s"
                )
                if job.exit_code != 0:
                    raise TargetError(
                        f"the command of {spec.key} failed: {job.describe_end()}", hint=job.tail()[-600:] or None
                    )
        self._idle()

    def once_more(self, load: LoadClient, spec: Rounds) -> None:
        """One round like the measured ones, after them and for a probe: without windows of its own, and not judged."""

        def at_floor(block: int, _start_ns: int, _end_ns: int) -> None:
            if block == spec.blocks - 1:
                self.quiet(spec.settle_s, limit_s=5 * spec.settle_s + 1)

        self._progress.live("one more round, to see how much of it is garbage")
        load.round(PhaseName.PROBES, spec.rounds, spec.requests, spec.blocks, at_floor)

    def job_once_more(self, spec: Jobs, start: Callable[[], GuardedProgram]) -> None:
        """The same of jobs."""
        self._progress.live("one more job, to see how much of it is garbage")
        self._one_job(spec, start, PhaseName.PROBES, spec.rounds)

    def stages(self, load: LoadClient, stages: Sequence[Stage]) -> None:
        """Arrival rates. Warm-up stages are one window each; the rest of the time is cut into slices."""
        measured_s = sum(s.seconds for s in stages if not s.warmup)
        slices = _Slices(self, PhaseName.ROUNDS, measured_s / SLICES)
        for number, stage in enumerate(stages):
            phase = PhaseName.WARMUP if stage.warmup else PhaseName.ROUNDS
            self._progress.step(f"{phase}: {stage.rate_from:g}..{stage.rate_to:g} requests/s for {stage.seconds:g} s")
            window = self._open(phase, number, None) if stage.warmup else None
            load.stage(phase, stage.rate_from, stage.rate_to, stage.seconds, stage.max_in_flight,
                       (lambda: False) if stage.warmup else slices.poll)  # fmt: skip
            if window is not None:
                self._close(window, self._clock.monotonic_ns())
        slices.finish()

    def shaped(self, load: LoadClient, spec: Shaped) -> None:
        """Warm-up is one window, the rest is cut into slices; traffic goes on from one to the other."""
        slices = _Slices(self, PhaseName.ROUNDS, spec.seconds / SLICES)
        if spec.warmup_s:
            self._progress.step(f"warm-up: the locustfile runs for {spec.warmup_s:g} s")
            window = self._open(PhaseName.WARMUP, 0, None)
            load.run(PhaseName.WARMUP, spec.warmup_s, last=False, meanwhile=lambda: False)
            self._close(window, self._clock.monotonic_ns())
        self._progress.step(f"measured: the locustfile runs for {spec.seconds:g} s")
        load.run(PhaseName.ROUNDS, spec.seconds, last=True, meanwhile=slices.poll)
        slices.finish()

    def feed(self, spec: Feed, start: Callable[[], GuardedProgram]) -> None:
        """Start the command and look on. Raises TargetError when it fails; ending early is told, and what was seen is judged."""
        job = start()
        began = self._clock.monotonic_ns()
        if spec.warmup_s:
            self._progress.step(f"warm-up: {job.plan.argv[0]} runs for {spec.warmup_s:g} s")
            window = self._open(PhaseName.WARMUP, 0, None)
            self._pump.until(lambda: job.ended, spec.warmup_s)
            self._close(window, self._clock.monotonic_ns())
        self._progress.step(f"measured: {job.plan.argv[0]} runs for {spec.seconds:g} s")
        slices = _Slices(self, PhaseName.ROUNDS, spec.seconds / SLICES)
        ends = time.monotonic() + spec.seconds
        while time.monotonic() < ends and not job.ended:
            self._pump.until(lambda: job.ended, max(0.0, min(_WATCH_STEP_S, ends - time.monotonic())))
            slices.poll()
        slices.finish()
        early = job.ended
        job.stop()
        ended = self._clock.monotonic_ns()
        self._recorder.event(Event(ended, "load.command", None, job.describe_end(), {"began_ns": began}))
        if early:
            if job.exit_code != 0:
                raise TargetError(
                    f"the command of load.command failed: {job.describe_end()}", hint=job.tail()[-600:] or None
                )
            self._progress.step(f"warning: {job.describe_end()} before its time was over")

    def watch(self, spec: Watch) -> None:
        """Only look. The slices get longer as the watch does, so that one of any length can be judged at any time."""
        began = time.monotonic()
        types_due_s = 0.0

        def floor() -> int:
            """Objects are counted by type at times that double, so that the last count is never older than half of the watch."""
            nonlocal types_due_s
            passed_s = time.monotonic() - began
            depth = Depth.HEAPS
            if passed_s >= types_due_s:
                types_due_s = 2 * passed_s
                depth = Depth.TYPES
            return self._last_floor(depth)

        slices = GrowingSlices(self._recorder, floor, self._clock, first_slice_ns(spec.seconds))
        while spec.seconds is None or time.monotonic() - began < spec.seconds:
            left = _WATCH_STEP_S if spec.seconds is None else began + spec.seconds - time.monotonic()
            self._pump.until(lambda: False, max(0.0, min(_WATCH_STEP_S, left)))
            if slices.poll():
                self._progress.log(f"watched for {format_duration((time.monotonic() - began) * 1e9)}{self._pools()}")
            remaining = " until Ctrl-C" if spec.seconds is None else f", {max(0.0, left):.0f} s left"
            self._progress.live(f"watching{remaining}", self._pools())
        slices.finish()

    # -- parts ---------------------------------------------------------------------------------------------------------

    def _round(self, load: LoadClient, spec: Rounds, phase: PhaseName, number: int, count: int) -> None:
        started = self._clock.monotonic_ns()
        errors = load.errors
        window = self._open(phase, number, None)
        last_floor: list[int] = []

        def at_floor(block: int, start_ns: int, end_ns: int) -> None:
            last = block == spec.blocks - 1
            self.quiet(spec.settle_s if last else spec.settle_s / 3, limit_s=5 * spec.settle_s + 1)
            traffic_s = (end_ns - start_ns) / 1e9
            floor = self._last_floor(_depth(phase, number, count)) if last else self._block_floors.take(traffic_s)
            last_floor[:] = [floor]
            identifier = self._recorder.open_window(Window(phase, number, block, start_ns, None, None))
            self._recorder.close_window(identifier, end_ns, floor)
            self._progress.live(f"{phase} {number + 1}/{count}, block {block + 1}/{spec.blocks}", self._pools())

        load.round(phase, number, spec.requests, spec.blocks, at_floor)
        ended = self._clock.monotonic_ns()
        self._note_duration(phase, started, ended)
        self._recorder.close_window(window, ended, last_floor[0] if last_floor else self._last_floor(Depth.HEAPS))
        self._tell(phase)
        failed = f", {load.errors - errors} failed" if load.errors > errors else ""
        self._progress.step(
            f"{phase} {number + 1}/{count}: {spec.requests} requests in {(ended - started) / 1e9:.1f} s{failed}{self._pools()}"
        )
        if phase is PhaseName.WARMUP and number == 0 and load.errors - errors >= spec.requests:
            raise nothing_worked(next((s for s in load.recent if not s.ok), None))

    def _tell(self, phase: PhaseName) -> None:
        if phase is PhaseName.ROUNDS:
            sizes = self._sampler.pool_pss_bytes
            self._progress.round_ended({pool: size for pool, size in sizes.items() if pool not in self._unmeasured})

    def _note_duration(self, phase: PhaseName, start_ns: int, end_ns: int) -> None:
        if phase is PhaseName.ROUNDS:
            self._round_s.append((end_ns - start_ns) / 1e9)

    def _idle(self) -> None:
        """Send nothing for as long as a round takes: what grows now grows with time, and not with requests."""
        if not self._round_s:
            return
        seconds = min(max(median(self._round_s), _LEAST_IDLE_S), _MOST_IDLE_S)
        window = self._open(PhaseName.IDLE, 0, None)
        self._progress.live(f"idle for {seconds:.0f} s, to see what grows without requests", self._pools())
        self._pump.until(lambda: False, seconds)
        ended = self._clock.monotonic_ns()
        self._recorder.close_window(window, ended, self._sampler.floor(Depth.HEAPS))

    def _one_job(
        self, spec: Jobs, start: Callable[[], GuardedProgram], phase: PhaseName, number: int
    ) -> tuple[GuardedProgram, int, int]:
        """The ended job, and when it began and ended; the workers it fed are quiet."""
        started = self._clock.monotonic_ns()
        job = start()
        if not self._pump.until(lambda: job.ended, spec.timeout_s):
            job.stop()
            raise TargetError(f"the command of {spec.key} did not end within {spec.timeout_s:.0f} s",
                              hint="raise load.timeout, or give it less work")  # fmt: skip
        ended = self._clock.monotonic_ns()
        job.stop()
        if spec.sends:
            self._recorder.event(Event(ended, "load.command", None, job.describe_end(), {"began_ns": started}))
        else:
            self._job_span(job, phase, number, started, ended)
        self._note_duration(phase, started, ended)
        self.quiet(spec.settle_s, limit_s=spec.timeout_s)
        return job, started, ended

    def _open(self, phase: PhaseName, number: int, block: int | None) -> int:
        return self._recorder.open_window(Window(phase, number, block, self._clock.monotonic_ns(), None, None))

    def _close(self, window: int, end_ns: int) -> None:
        self._recorder.close_window(window, end_ns, self._last_floor(Depth.HEAPS))

    def _last_floor(self, depth: Depth) -> int:
        """The floor that a round ends with; its sweep comes before anything is asked inside the target."""
        floor_ns = self._sampler.floor(depth)
        self._at_round_end(floor_ns)
        return floor_ns

    def quiet(self, settle_s: float, *, limit_s: float) -> None:
        """Wait until the followed processes used under 5 % of a core for ``settle_s``; at most ``limit_s``, then note it."""
        if not wait_until_quiet(self._pump, lambda: of_this_machine(self._sampler.alive), settle_s, limit_s):
            text = "the target was still using CPU when this floor was taken"
            self._recorder.event(Event(self._clock.monotonic_ns(), "floor.busy", None, text, {}))

    def _job_span(self, job: GuardedProgram, phase: PhaseName, number: int, start_ns: int, end_ns: int) -> None:
        error = None if job.exit_code == 0 else job.describe_end()
        span_id = f"{start_ns & (2**64 - 1):016x}"
        span = Span(span_id, "each_round", phase, number, None, 0, None, start_ns, end_ns, job.exit_code, error, 0, ())
        self._recorder.spans([span])

    def _pools(self) -> str:
        return "".join(f"; {name} {format_bytes(size)}" for name, size in sorted(self._sampler.pool_pss_bytes.items()))


class _Slices:
    """Cuts a stretch of time into windows of equal length, each ending in a floor, and long ones into parts as blocks of a round
    are: the more floors, the better what grows is told apart by what was requested in between."""

    def __init__(self, workload: Workload, phase: PhaseName, length_s: float) -> None:
        self._workload = workload
        self._phase = phase
        self._parts = min(_MOST_PARTS, max(1, int(length_s / _LEAST_PART_S)))
        self._part_s = length_s / self._parts
        self._number = 0
        self._part = 0
        self._window: int | None = None
        self._part_began_ns = 0
        self._ends = 0.0

    def poll(self) -> bool:
        """Open the first window, or close a full one, or a full part of one, and open the next."""
        now = time.monotonic()
        if self._window is None:
            self._begin(now)
        elif now >= self._ends and self._part < self._parts - 1:
            ended = self._workload._clock.monotonic_ns()
            floor_ns = self._workload._block_floors.take((ended - self._part_began_ns) / 1e9)
            self._workload._at_round_end(floor_ns)
            self._tell_part(ended, floor_ns)
            self._part += 1
            self._begin_part(now)
        elif now >= self._ends and self._number < SLICES - 1:
            self.finish()
            self._number += 1
            self._begin(now)
        return False

    def finish(self) -> None:
        """Close the open window."""
        if self._window is None:
            return
        ended = self._workload._clock.monotonic_ns()
        floor_ns = self._workload._last_floor(Depth.HEAPS)
        self._tell_part(ended, floor_ns)
        self._workload._recorder.close_window(self._window, ended, floor_ns)
        self._window = None

    def _begin(self, now_s: float) -> None:
        self._window = self._workload._open(self._phase, self._number, None)
        self._part = 0
        self._begin_part(now_s)

    def _begin_part(self, now_s: float) -> None:
        self._part_began_ns = self._workload._clock.monotonic_ns()
        self._ends = now_s + self._part_s

    def _tell_part(self, ended_ns: int, floor_ns: int) -> None:
        if self._parts > 1:
            window = Window(self._phase, self._number, self._part, self._part_began_ns, None, None)
            self._workload._recorder.close_window(self._workload._recorder.open_window(window), ended_ns, floor_ns)


def nothing_worked(first: Span | None) -> TargetError:
    """The error when no request of the first warm-up round succeeded; ``first``: one of them, where it is known."""
    what = "every request of the first warm-up round failed"
    if first is None:
        return TargetError(what)
    if first.error is not None:
        return TargetError(what, hint=f"for example {first.endpoint}: {first.error}")
    checks = f" ({'check' if len(first.failed_checks) == 1 else 'checks'} failed: {', '.join(first.failed_checks)})"
    return TargetError(
        f"{what}, for example {first.endpoint}: HTTP {first.status}{checks}",
        hint="edit the paths under `requests:` (or `check:`) in the scenario",
    )


def _depth(phase: PhaseName, number: int, count: int) -> Depth:
    """Objects are counted by type at the first and the last floor of the measured rounds: what grew in between is named."""
    return Depth.TYPES if phase is PhaseName.ROUNDS and number in {0, count - 1} else Depth.HEAPS
