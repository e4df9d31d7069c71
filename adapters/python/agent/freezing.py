"""An experiment: before this process forks a worker, garbage is collected and the heap set aside (`gc.freeze`), so that no
collection in the worker writes to the pages it shares with its parent. Loaded where the scenario asks for it.

A worker's own count of frozen objects then differs from `Recorder.frozen_at_boot`, as it would had the application done this:
tools thaw nothing there, or the first measured request would end the experiment.
"""

import gc
import os
import sys

_STARTS_A_PROGRAM = {("subprocess", "_execute_child"), ("os", "_spawnvef")}


def install(recorder):
    """Collect and freeze before every fork of a worker from now on, here and in children."""
    os.register_at_fork(before=lambda: _before(recorder, sys._getframe(1)))


def _before(recorder, forking):
    try:
        caller = (forking.f_globals.get("__name__"), forking.f_code.co_name)
        if recorder.copying or caller in _STARTS_A_PROGRAM:
            return
        gc.collect()
        gc.freeze()
    except Exception:
        pass  # the application must fork
