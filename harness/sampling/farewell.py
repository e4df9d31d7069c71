"""Processes that have ended: when and how, and the kernel's last account of them."""

from __future__ import annotations

from typing import Callable, Dict, Sequence

from .details import boot_on_monotonic_ns
from .missing import MissingSignals
from .protocol import Identity, exit_line, process_line
from .redact import process_name
from .sources.numbers import TICK_NS
from .sources.taskstats import ExitStats
from .tree import Brief, Ended

_MOST_BRIEF = 2000  # introduced one by one in a run; a shell script may start thousands
_HWM = "process.memory.hwm"


class Farewell:
    """Says that processes have ended, and introduces those that were never seen alive."""

    def __init__(self, missing: MissingSignals, emit: Callable[[bytes], None]) -> None:
        self._missing = missing
        self._emit = emit
        self._introduced = 0

    def ended(self, ended: Ended, now_ns: int) -> None:
        """A followed process."""
        who = ended.process.who
        if ended.exit is None:
            self._emit(exit_line(who, now_ns, None, None, {}))
        else:
            self._emit(
                exit_line(who, ended.exit.t_ns, ended.exit.code, ended.exit.signal, _last_values(ended.account))
            )  # fmt: skip

    def brief(self, processes: Sequence[Brief]) -> None:
        """Processes that came and went since the last sweep."""
        if not processes:
            return
        boot_ns = boot_on_monotonic_ns()
        for process in processes:
            if self._introduced >= _MOST_BRIEF:
                self._missing.say(
                    "process.brief",
                    "more than {} processes came and went between two sweeps".format(_MOST_BRIEF),
                    "the later ones are in no list; a memory cgroup of the target's own still counts them",
                )
                return
            self._introduced += 1
            who = Identity(process.pid, max(0, (process.born_ns - boot_ns) // TICK_NS))
            account = process.account
            name = process_name(account.comm) if account is not None else ""
            uid = account.uid if account is not None else None
            self._emit(
                process_line(who, process.parent, name, "", uid, process.pool, process.born_ns, process.exit.t_ns)
            )  # fmt: skip
            end = process.exit
            self._emit(exit_line(who, end.t_ns, end.code, end.signal, _last_values(account)))


def _last_values(account: ExitStats | None) -> Dict[str, int]:
    """CPU time and faults are the first thread's alone, while the series count all of them: they would seem to fall."""
    return {} if account is None or account.hwm_bytes is None else {_HWM: account.hwm_bytes}
