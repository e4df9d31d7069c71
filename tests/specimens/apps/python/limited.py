"""``limited.py BYTES COMMAND...``: runs the command in a memory cgroup of its own with this limit, and removes it at the end.

Needs root, and version 1 of the memory controller, or version 2 where the group may have children.
"""

import os
import signal
import subprocess
import sys
import time

_ROOTS = (("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory"), ("/sys/fs/cgroup", "memory.max", ""))


def made(limit):
    """The new group's directory."""
    with open("/proc/self/cgroup", encoding="ascii") as stream:
        rows = [line.strip().split(":", 2) for line in stream]
    mine = {controller: path for _, controller, path in rows}
    for root, name, controller in _ROOTS:
        group = f"{root}{mine.get(controller, '/')}/specimen-{os.getpid()}"
        try:
            os.mkdir(group)
            with open(f"{group}/{name}", "w", encoding="ascii") as stream:
                stream.write(str(limit))
        except OSError:
            if os.path.isdir(group):
                os.rmdir(group)
            continue
        return group
    sys.exit("no memory cgroup can be made here")


def join(group):
    with open(f"{group}/cgroup.procs", "w", encoding="ascii") as stream:
        stream.write("0")


def remove(group):
    """The kernel may need a moment after the last process has ended."""
    for _ in range(100):
        try:
            os.rmdir(group)
        except OSError:
            time.sleep(0.05)
        else:
            return


def main(limit, command):
    group = made(limit)
    child = subprocess.Popen(command, preexec_fn=lambda: join(group))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: child.send_signal(number))
    code = child.wait()
    remove(group)
    return max(code, 0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
