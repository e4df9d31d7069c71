"""The commands that would set a parameter and take it back. Text only; nobody here runs anything. Pure.

Source: sysctl(8), sysctl.d(5), tmpfiles.d(5), systemctl(1) set-property, systemd.resource-control(5).
"""

from __future__ import annotations

import shlex

from harness.tune.model import Commands, Group, Host, Kind, Parameter

PLACEHOLDER = "VALUE"
_UNIT_PROPERTIES = {"memory.max": "MemoryMax", "memory.high": "MemoryHigh", "memory.low": "MemoryLow",
                    "memory.swap.max": "MemorySwapMax"}  # fmt: skip
_FREE = {"memory.max": "infinity", "memory.high": "infinity", "memory.low": "0", "memory.swap.max": "infinity"}
_VERSION_1 = {"memory.max": "memory.limit_in_bytes"}
_UNITS = (".service", ".scope", ".slice")


def commands(parameter: Parameter, host: Host, current: str | None, value: str | None, group: Group | None) -> Commands:
    """``current``: the value now, None when it is not known; ``value``: what is recommended, None: a placeholder."""
    new = PLACEHOLDER if value is None else value
    old = "OLD-VALUE" if current is None else current
    if parameter.kind is Kind.SYSCTL:
        return _sysctl(parameter.path, new, old, host.origins.get(parameter.path))
    if parameter.kind is Kind.SYSFS:
        return _sysfs(parameter, new, old)
    if parameter.kind is Kind.CGROUP:
        return _cgroup(parameter.path, new, group)
    return _action(parameter.path, new)


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name)


def _sysctl(name: str, new: str, old: str, origin: str | None) -> Commands:
    file = f"/etc/sysctl.d/99-{_slug(name)}.conf"
    there = "" if origin is None else f"  # now set by {origin}: change or remove that line, a later file wins"
    return Commands(
        temporary=f"sysctl -w {name}={new}",
        persistent=f"echo '{name} = {new}' > {file}\nsysctl -p {file}{there}",
        undo_temporary=f"sysctl -w {name}={old}",
        undo_persistent=f"rm {file}\nsysctl -w {name}={old}",
    )


def _sysfs(parameter: Parameter, new: str, old: str) -> Commands:
    path = f"/sys/{parameter.path}"
    file = f"/etc/tmpfiles.d/{_slug(parameter.name)}.conf"
    return Commands(
        temporary=f"echo {shlex.quote(new)} > {path}",
        persistent=f"echo 'w {path} - - - - {new}' > {file}\nsystemd-tmpfiles --create {file}",
        undo_temporary=f"echo {shlex.quote(old)} > {path}",
        undo_persistent=f"rm {file}\necho {shlex.quote(old)} > {path}",
    )


def _cgroup(file: str, new: str, group: Group | None) -> Commands:
    """By systemd where the group is one of its units, which would otherwise write its own value again."""
    directory = "/sys/fs/cgroup/GROUP" if group is None else group.directory
    name = "UNIT" if group is None else group.name.rpartition("/")[2]
    if group is not None and group.version == 1:
        path = f"{directory}/{_VERSION_1.get(file, file)}"
        old = "-1" if group.max is None else str(group.max)
        direct = (
            "# version 1 has no unit property that is sure to act; set it where the service or container is defined"
        )
        return Commands(f"echo {new} > {shlex.quote(path)}", direct, f"echo {old} > {shlex.quote(path)}", direct)
    before = {} if group is None else {"memory.max": group.max, "memory.high": group.high, "memory.low": group.low,
                                       "memory.swap.max": group.swap_max}  # fmt: skip
    old = str(before[file]) if before.get(file) is not None else _FREE[file]
    if group is not None and not name.endswith(_UNITS):
        path = shlex.quote(f"{directory}/{file}")
        defined = (
            "# set it where the container or service is defined (docker run --memory, resources.limits.memory, ...)"
        )
        return Commands(
            f"echo {new} > {path}", defined, f"echo {'max' if old == 'infinity' else old} > {path}", defined
        )
    unit, key = shlex.quote(name), _UNIT_PROPERTIES[file]
    return Commands(
        temporary=f"systemctl set-property --runtime {unit} {key}={new}",
        persistent=f"systemctl set-property {unit} {key}={new}",
        undo_temporary=f"systemctl set-property --runtime {unit} {key}={old}",
        undo_persistent=f"systemctl set-property {unit} {key}={old}",
    )


def _action(path: str, new: str) -> Commands:
    nothing = "# nothing to undo: it acts once and leaves no setting"
    return Commands(f"echo {new} > /proc/sys/{path.replace('.', '/')}", "# never as a setting", nothing, nothing)
