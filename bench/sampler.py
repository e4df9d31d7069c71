"""What one process-sample costs: our sampler beside psutil.memory_full_info, on one tree, in one run.

    python bench/sampler.py [--children 16] [--shared-mib 64] [--private-mib 48] [--sweeps 50]

The tree is a master with shared memory and pre-forked children with private memory of their own. Each side reads PSS and USS of
every process in every sweep, in turns of one sweep each, so that both meet the same machine. CPU time is the reading
process's own (kernel time of the page-table walk included). Prints, asserts nothing.
"""

from __future__ import annotations

import argparse
import mmap
import os
import signal
import time

import psutil

from harness.sampling.protocol import Root, Start
from harness.sampling.schedule import Due
from harness.sampling.sweep import Sweeper

MIB = 1 << 20
PAGE = mmap.PAGESIZE


def touched(size_mib: int, flags: int) -> mmap.mmap | None:
    """Memory with every page present."""
    if size_mib == 0:
        return None
    block = mmap.mmap(-1, size_mib * MIB, flags)
    for offset in range(0, size_mib * MIB, PAGE):
        block[offset] = 1
    return block


def start_tree(children: int, shared_mib: int, private_mib: int) -> int:
    """Pid of the master once all of its tree is ready."""
    ready, say_ready = os.pipe()
    master = os.fork()
    if master:
        os.close(say_ready)
        for _ in range(children):
            os.read(ready, 1)
        return master
    os.setpgid(0, 0)
    kept = [touched(shared_mib, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)]
    for _ in range(children):
        if os.fork() == 0:
            kept.append(touched(private_mib, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
            if kept[0] is not None:
                sum(kept[0][offset] for offset in range(0, len(kept[0]), PAGE))
            os.write(say_ready, b"x")
            break
    while True:
        signal.pause()


def psutil_sweep(master: psutil.Process) -> int:
    """PSS and USS of the tree as psutil gives them; returns the number of processes."""
    processes = [master, *master.children(recursive=True)]
    for process in processes:
        process.memory_full_info()
    return len(processes)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--children", type=int, default=16)
    parser.add_argument("--shared-mib", type=int, default=64)
    parser.add_argument("--private-mib", type=int, default=48)
    parser.add_argument("--sweeps", type=int, default=50)
    options = parser.parse_args()

    master = start_tree(options.children, options.shared_mib, options.private_mib)
    try:
        everything = Start("/proc", 1_000_000_000, 10_000.0, (Root(master, "bench"),), frozenset())
        sweeper = Sweeper(everything, frozenset((os.getpid(),)))
        budgeted = Sweeper(everything._replace(budget_percent=1.0), frozenset((os.getpid(),)))
        theirs = psutil.Process(master)
        second = 1_000_000_000
        contestants = {
            "harness, PSS and USS each sweep": lambda now: sweeper.sweep(now, Due(0, 0)),
            "harness, 1 s interval, budget 1 %": lambda now: budgeted.sweep(now, Due(0, 0)),
            "psutil.memory_full_info": lambda now: psutil_sweep(theirs),
        }
        spent_ns = dict.fromkeys(contestants, 0)
        samples = options.sweeps * (options.children + 1)
        for sweep in range(options.sweeps + 1):
            for name, run in contestants.items():
                before_ns = time.process_time_ns()
                run(sweep * second)
                if sweep:  # the first one learns names, costs and paths
                    spent_ns[name] += time.process_time_ns() - before_ns
    finally:
        os.killpg(master, signal.SIGKILL)
        os.waitpid(master, 0)

    print(
        f"{options.children + 1} processes, {options.shared_mib} MiB shared, {options.private_mib} MiB private each, "
        f"{options.sweeps} sweeps, Linux {os.uname().release.split('-')[0]}"
    )
    reference = spent_ns["psutil.memory_full_info"]
    for name, total_ns in spent_ns.items():
        per_thousand = total_ns / samples / 1e6
        print(f"{name:36} {per_thousand:7.3f} CPU s per 1000 process-samples   {total_ns / reference:5.2f} x psutil")


if __name__ == "__main__":
    main()
