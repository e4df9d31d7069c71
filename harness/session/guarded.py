"""Launched programs, each behind its guard."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import TargetError
from harness.plugins.spec import LaunchPlan
from harness.session.pump import Child, Pump, own_module
from harness.targets.launch import GUARD_MODULE, guard_order, output_tail

_START_TIMEOUT_S = 20.0


class GuardedProgram:
    """One running plan. After `stop` nothing it started is alive."""

    def __init__(
        self, pump: Pump, plan: LaunchPlan, environment: Mapping[str, str], output: Path, rung_s: float
    ) -> None:
        self.plan = plan
        self.output = output
        self._pump = pump
        self._rung_s = rung_s
        self.pid: int | None = None
        self.ended = False
        self.exit_code: int | None = None
        self.exit_signal: int | None = None
        self.left: tuple[int, ...] = ()  # descendants that outlived the program (it daemonised)
        self._failure: str | None = None
        self._guard_gone = False
        self.stopping = False
        self._child = Child(f"the guard of {plan.name}", own_module(GUARD_MODULE))
        pump.add(self._child, self._on_message, self._on_gone)
        self._child.send(**guard_order(plan, environment, output, rung_s))
        pump.until(self._answered, _START_TIMEOUT_S)
        if not self._started():
            self.stopping = True
            raise TargetError(
                f"cannot start {plan.name}: {self._why_not()}",
                hint="check the command in target.launch, and that the program is installed",
            )

    def _why_not(self) -> str:
        return self._failure or "its guard did not answer"

    def _started(self) -> bool:
        return self.pid is not None

    def _answered(self) -> bool:
        return self._started() or self._failure is not None or self._guard_gone

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
        """Climb INT, TERM, KILL until nothing is left."""
        if not self._guard_gone:
            self.ask_to_stop()
            self._pump.until(lambda: self._guard_gone, 3 * self._rung_s + 5)
        self._child.hang_up()
        self._end_group()

    def _end_group(self) -> None:
        """The guard should have left nothing; if it was killed itself, end the group here."""
        if self.pid is None or self._child.process.poll() == 0:
            return
        with contextlib.suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)

    def _on_message(self, m: Mapping[str, Any]) -> None:
        if m.get("k") == "started":
            self.pid = int(m["pid"])
        elif m.get("k") == "failed":
            self._failure = str(m["text"])
        elif m.get("k") == "exited":
            self.ended, self.exit_code, self.exit_signal = True, m["code"], m["signal"]
            self.left = tuple(m["left"])

    def _on_gone(self) -> None:
        self._guard_gone = True
        if not self.stopping and not self.ended and self._failure is None and self.pid is not None:
            self.stopping = True
            self._child.process.wait()
            self._end_group()
            raise TargetError(f"the guard of {self.plan.name} was killed; its program has been stopped")

    def tail(self) -> str:
        """The last lines the program printed."""
        return output_tail(self.output)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
