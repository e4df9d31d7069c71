"""How much memory this process could still get: the machine's, and that of the control groups it is in."""

import os

_UNLIMITED = 1 << 60  # version 1 writes a number of that size where there is no limit
# limit, usage, and the line of memory.stat with what the kernel would drop first; cgroups(7), version 2 and 1
_FILES = (
    ("memory.max", "memory.current", b"inactive_file "),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", b"total_inactive_file "),
)


def available_bytes(proc="/proc", groups="/sys/fs/cgroup"):
    """The least of what the machine and each group have left; None when nothing can be read."""
    found = [size for size in (_machine(proc), *_groups(proc, groups)) if size is not None]
    return min(found, default=None)


def _read(path):
    try:
        with open(path, "rb") as stream:
            return stream.read(1 << 16)
    except OSError:
        return b""


def _machine(proc):
    for line in _read(proc + "/meminfo").splitlines():
        if line.startswith(b"MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _groups(proc, root):
    """What each group from ours up to the root has left. In a container ours is mounted as the root."""
    for line in _read(proc + "/self/cgroup").splitlines():
        _, controllers, path = os.fsdecode(line).split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        base = root + "/memory" if controllers else root
        names = [name for name in path.split("/") if name]
        if ".." in names:
            continue
        for depth in range(len(names), -1, -1):
            yield _group("/".join([base, *names[:depth]]))


def _group(directory):
    for limit_name, usage_name, droppable in _FILES:
        limit, usage = _number(directory, limit_name), _number(directory, usage_name)
        if limit is None or usage is None or limit >= _UNLIMITED:
            continue
        stat = _read(directory + "/memory.stat").splitlines()
        cache = sum(int(line.split()[1]) for line in stat if line.startswith(droppable))
        return max(0, limit - usage + cache)
    return None


def _number(directory, name):
    text = _read(directory + "/" + name).strip()
    return int(text) if text.isdigit() else None
