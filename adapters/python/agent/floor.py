"""Answers the harness's question how this process's memory stands. Runs in the signal handler of `control`, between two byte
codes of the main thread; loaded by the first question.

What is there is looked at before anything of ours changes it: the kernel's view first, then the interpreter's, then ctypes is
loaded (once) and the allocators are asked. A collection unshares the pages of a pre-forked worker, so it comes last and only
when it was asked for, and giving memory back to the kernel comes after that.
"""

import gc
import os
import sys
from _thread import _count as _extra_threads
from time import monotonic_ns

from .recorder import quote

_SMAPS = {
    b"Pss:": "memory.pss_bytes",
    b"Pss_Anon:": "memory.pss_anon_bytes",
    b"Private_Clean:": "memory.private_clean_bytes",
    b"Private_Dirty:": "memory.private_dirty_bytes",
    b"Shared_Clean:": "memory.shared_clean_bytes",
    b"Shared_Dirty:": "memory.shared_dirty_bytes",
    b"Swap:": "memory.swap_bytes",
}
_REASON_CAP = 160
_allocators = None


def take(recorder, number, rest):
    """Write one floor record. ``rest`` is ``look``, ``collect`` or ``trim``, and the time (monotonic ns) when nobody waits for
    the answer any more: a process that was in C all the while must not collect garbage in the middle of later requests."""
    depth, _, until = rest.partition(" ")
    if until and monotonic_ns() > int(until):
        return
    if os.getpid() != recorder.pid:  # uWSGI forks in C, without at-fork hooks
        recorder.reset()
        recorder.announce()
    if _measuring(recorder):
        _write(recorder, number, {}, {"floor.measuring": "a tool was measuring there, and would have seen this"})
    else:
        _write(recorder, number, *_look(recorder, depth))


def _measuring(recorder):
    """Whether a tool is at work here, which would see whatever we do."""
    modules = sys.modules
    trigger = modules.get(__package__ + ".trigger")
    running = trigger is not None and trigger._current is not None
    return running or recorder.gate is not None or __package__ + ".job" in modules


def _look(recorder, depth):
    """(values, missing), in the order of the module's docstring."""
    started = monotonic_ns()
    values = {"memory.rss_bytes": recorder.rss_bytes()}
    missing: "dict[str, str]" = {}
    steps = [("memory", _kernel), ("gc", _interpreter), ("allocators", _ask_allocators)]
    steps += [("collect", _collect)] if depth in ("collect", "trim") else []
    steps += [("trim", _trim)] if depth == "trim" else []
    for name, step in steps:
        try:
            step(recorder, values, missing)
        except Exception as error:
            missing[name] = "%s: %s" % (type(error).__name__, error)
    values["floor_ns"] = monotonic_ns() - started
    return values, missing


def _kernel(recorder, values, missing):
    for line in _read("/proc/self/smaps_rollup").split(b"\n")[1:]:
        words = line.split()
        if len(words) == 3 and words[0] in _SMAPS:
            values[_SMAPS[words[0]]] = int(words[1]) * 1024
    # pid (name) state ...: a name may hold anything, so counting starts behind its bracket; num_threads is field 20
    values["os_threads"] = int(_read("/proc/self/stat").rpartition(b")")[2].split()[17])
    values["fds"] = _descriptors()


def _descriptors():
    count = os.stat("/proc/self/fd").st_size  # since Linux 6.2; before that 0
    if count:
        return count
    with os.scandir("/proc/self/fd") as entries:
        return sum(1 for _ in entries) - 1  # the one that is being listed


def _interpreter(recorder, values, missing):
    values["fork.age_ns"] = monotonic_ns() - recorder.since_ns
    values["fork.blocks"] = recorder.blocks_at_start
    values["blocks"] = recorder.count_blocks()
    values["threads"] = _extra_threads() + 1
    values["gc.enabled"] = int(gc.isenabled())
    values["gc.frozen_objects"] = gc.get_freeze_count()
    for generation, count in enumerate(gc.get_count()[:3]):
        values["gc.count%d" % generation] = count
    stats = gc.get_stats()
    for generation, done in enumerate(stats[:3]):
        values["gc.collections%d" % generation] = done["collections"]
        values["gc.collected%d" % generation] = done["collected"]
    values["gc.uncollectable"] = sum(done["uncollectable"] for done in stats)


def _ask_allocators(recorder, values, missing):
    """Loading ctypes takes memory once, which is said where it happens."""
    global _allocators
    if _allocators is None:
        before = recorder.rss_bytes()
        from . import allocators

        _allocators = allocators.Allocators()
        after = recorder.rss_bytes()
        if before is not None and after is not None:
            values["loaded_bytes"] = max(0, after - before)
    found, why = _allocators.read()
    values.update(found)
    missing.update(why)


def _empty_free_lists():
    """Objects that the interpreter keeps to use again count as allocations, and a full collection frees them, though they are no
    garbage: so they go first. While everything is frozen, a collection does nothing else."""
    if gc.get_freeze_count():
        return  # to thaw would undo what the application has frozen
    gc.freeze()
    try:
        gc.collect()
    finally:
        gc.unfreeze()


def _collect(recorder, values, missing):
    _empty_free_lists()
    full = _full_collections()
    values["collect.rss_before_bytes"] = recorder.rss_bytes()
    values["collect.blocks_before"] = recorder.count_blocks()
    started = monotonic_ns()
    freed = gc.collect()
    pause = monotonic_ns() - started
    if _full_collections() == full:  # this is a finalizer of a collection that is going on
        missing["collect"] = "a collection was going on there already"
        return
    values["collect.pause_ns"] = pause
    values["collect.objects"] = freed
    values["collect.blocks_after"] = recorder.count_blocks()
    values["collect.rss_after_bytes"] = recorder.rss_bytes()
    after: "dict[str, int]" = {}
    _kernel(recorder, after, missing)
    values["collect.private_dirty_after_bytes"] = after.get("memory.private_dirty_bytes")


def _trim(recorder, values, missing):
    if _allocators is None or not _allocators.can_trim():
        missing["trim"] = "only glibc's malloc can be asked to give free memory back"
        return
    values["trim.rss_before_bytes"] = recorder.rss_bytes()
    started = monotonic_ns()
    values["trim.released"] = _allocators.trim()
    values["trim.pause_ns"] = monotonic_ns() - started
    values["trim.rss_after_bytes"] = recorder.rss_bytes()


def _full_collections():
    return gc.get_stats()[-1]["collections"]


def _read(path):
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 1 << 14)
    finally:
        os.close(fd)


def _write(recorder, number, values, missing):
    recorder.write(
        '{"k":"floor","rt":"python","pid":%d,"t":%d,"n":%d,"v":{%s},"missing":{%s}}'
        % (
            os.getpid(),
            monotonic_ns(),
            number,
            ",".join('"%s":%s' % (k, "null" if v is None else "%d" % v) for k, v in values.items()),
            ",".join('"%s":%s' % (k, quote(v[:_REASON_CAP])) for k, v in missing.items()),
        )
    )
