"""Launched programs, each behind its guard."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import TargetError
from harness.model.process import ProcessKey
from harness.plugins.spec import LaunchPlan
from harness.session.pump import Child, Pump, Speaker, own_module
from harness.targets.launch import GUARD_MODULE, LADDER, Ladder, guard_order, output_tail
from harness.targets.own_cgroup import OwnCgroup
from harness.targets.quiet import start_ticks

_START_TIMEOUT_S = 20.0


Kin = Callable[[], Iterable[ProcessKey]]


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A guard on another host, and where its program works and writes there. ``fetch`` brings the output to where
    `GuardedProgram` has it."""

    guard: Speaker
    cwd: str
    output: str
    fetch: Callable[[], None]


class GuardedProgram:
    """One plan from start to end. After `stop` nothing it started is alive.

    Make it, keep it where clean-up finds it, then `begin`. ``finite``: it is meant to end by itself. ``kin`` names its
    processes as the sampler knows them, for the one case in which the guard cannot: when it was killed itself.
    """

    def __init__(
        self, pump: Pump, plan: LaunchPlan, environment: Mapping[str, str], output: Path, rung_s: float, *,
        finite: bool, kin: Kin, cgroup: str | None = None, ladder: Ladder = LADDER, elsewhere: Elsewhere | None = None,
    ) -> None:  # fmt: skip
        self.plan = plan
        self.output = output
        self.finite = finite
        self._pump = pump
        self._rung_s = rung_s
        self._kin = kin
        self.pid: int | None = None
        self.ended = False
        self.exit_code: int | None = None
        self.exit_signal: int | None = None
        self.left: tuple[int, ...] = ()  # descendants that outlived the program (it daemonised)
        self._failure: str | None = None
        self._guard_gone = False
        self.stopping = False
        self._elsewhere = elsewhere
        self._fetched = elsewhere is None  # all of its output is here
        self._child: Speaker
        if elsewhere is None:
            self._child = Child(f"the guard of {plan.name}", own_module(GUARD_MODULE))
        else:
            self._child = elsewhere.guard
        self._child.listen(pump, self._on_message, self._on_gone)
        self.cgroup: OwnCgroup | None = None
        self.without_cgroup = ""  # why it got none, if one was asked for
        order = guard_order(plan, environment, output, rung_s, cgroup, ladder)
        if elsewhere is not None:
            order.update(env=dict(plan.env), inherit=True, cwd=elsewhere.cwd, output=elsewhere.output)
        self._child.send(**order)

    def begin(self) -> int:
        """Wait until it runs; its pid. Raises TargetError when it cannot be started."""
        self._pump.until(self._answered, _START_TIMEOUT_S)
        if self.pid is None:
            self.stopping = True
            hint = "check the command in target.launch, and that the program is installed"
            if self._elsewhere is not None:
                hint += (
                    " there; a session without a terminal has another PATH than yours, so give the program's whole path"
                )
            raise TargetError(
                f"cannot start {self.plan.name}: {self._failure or 'its guard did not answer'}", hint=hint
            )
        return self.pid

    def _answered(self) -> bool:
        return self.pid is not None or self._failure is not None or self._guard_gone

    @property
    def running(self) -> bool:
        """The program, or something it left behind on purpose (a daemon), is alive."""
        return not self.ended or (self.exit_code == 0 and bool(self.left) and not self._guard_gone)

    def describe_end(self) -> str:
        """How it ended, in words."""
        how = (
            f"was killed by {_signal_name(self.exit_signal)}"
            if self.exit_signal
            else f"ended with exit code {self.exit_code}"
        )
        return f"{self.plan.name} {how}"

    def ask_to_stop(self) -> None:
        """Start the ladder, or move it to the next rung."""
        self.stopping = True
        self._child.send(cmd="stop")

    def stop(self) -> None:
        """Climb the ladder (INT, TERM, KILL where nothing else was said) until nothing is left."""
        try:
            if not self._guard_gone:
                self.ask_to_stop()
                self._pump.until(lambda: self._guard_gone, 3 * self._rung_s + 5)
        finally:
            self._child.hang_up()
            if self._guard_gone:
                self._child.reap()  # its exit code says whether it left anything
            self._end_kin()
            if self._elsewhere is not None:
                self._elsewhere.fetch()
                self._fetched = True

    def _end_kin(self) -> None:
        """The guard should have left nothing; if it was killed itself, end the group and what is known of the tree here. On
        another host the kernel tells the program that its guard is gone."""
        if self.pid is None or not isinstance(self._child, Child) or self._child.process.poll() == 0:
            return
        if not self.ended:  # the pid is still the program's own
            with contextlib.suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)
        for key in self._kin():
            if start_ticks(key.pid) == key.start_ticks:
                with contextlib.suppress(OSError):
                    os.kill(key.pid, signal.SIGKILL)
        if self.cgroup is not None:
            self.cgroup.remove()

    def _on_message(self, m: Mapping[str, Any]) -> None:
        if m.get("k") == "started":
            self.pid = int(m["pid"])
            self.cgroup = OwnCgroup(Path(m["cgroup"])) if m.get("cgroup") else None
            self.without_cgroup = str(m.get("without_cgroup", ""))
        elif m.get("k") == "failed":
            self._failure = str(m["text"])
        elif m.get("k") == "exited":
            self.ended, self.exit_code, self.exit_signal = True, m["code"], m["signal"]
            self.left = tuple(m["left"])

    def _on_gone(self) -> None:
        self._guard_gone = True
        early = not self.ended or bool(self.left)
        if not self.stopping and early and self._failure is None and self.pid is not None:
            self.stopping = True
            self._child.reap()
            self._end_kin()
            raise TargetError(f"the guard of {self.plan.name} was killed; its program has been stopped")

    def tail(self) -> str:
        """The last lines the program printed."""
        if self._elsewhere is not None and not self._fetched:
            self._elsewhere.fetch()
        return output_tail(self.output)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
