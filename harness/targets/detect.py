"""What runs at a port, as a pid or as a command: enough to write a first scenario. Reads /proc, changes and sends nothing.

Everything read from other processes is their own text; `printable` makes it safe to show.
"""

from __future__ import annotations

import re
import shutil
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import TargetError, UsageError

PROC = Path("/proc")
_TCP_LISTEN = "0A"  # include/net/tcp_states.h
_CMDLINE_CAP = 4096
FPM_POOL = re.compile(r"php-fpm: pool ([A-Za-z0-9._-]{1,64})\s*\Z")
_LISTEN_OPTION = re.compile(r"(?:-b|--bind|-S|--listen|--http|--http-socket)\Z")
_HOST_PORT = re.compile(r"(?:https?://)?(?P<host>\[[0-9A-Fa-f:]+\]|[A-Za-z0-9_.-]*|\*):(?P<port>[0-9]{1,5})/?\Z")
_PORT_OPTION = re.compile(r"(?:-p|--port)\Z")
_HOST_OPTION = re.compile(r"(?:-h|--host)\Z")
_DEFAULT_PORTS = {"gunicorn": 8000, "uvicorn": 8000, "hypercorn": 8000, "flask": 5000, "waitress-serve": 8080}

PORT_HOLDERS = ("docker-proxy", "rootlessport")  # they listen for containers, and do not say for which
_CONTAINER_ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_CGROUP_CAP = 16384
_IN_CONTAINER = "it runs in a container, whose limits, restarts and kills for lack of memory belong to the picture"

# (comm, command line, path of the executable) -> name of the runtime, None when no adapter knows it
Recognise = Callable[[str, str, str], str | None]


@dataclass(frozen=True, slots=True)
class Seen:
    """A running process; texts are raw, ``exe`` is empty when it may not be read."""

    pid: int
    ppid: int
    comm: str
    cmdline: str
    exe: str


@dataclass(frozen=True, slots=True)
class Detection:
    """What to write into a scenario, and how it was found out.

    Exactly one of ``launch``, ``attach`` (the one key of an attach section) and ``container`` (its id or name) is set.
    ``url``: origin of the application, None when it listens nowhere. ``found``: sentences for people. ``hosts``: addresses of
    other hosts that it is on, none for this machine.
    """

    name: str
    runtime: str
    url: str | None
    found: tuple[str, ...]
    launch: tuple[str, ...] | None = None
    attach: tuple[str, str | int] | None = None
    container: str | None = None
    hosts: tuple[str, ...] = ()


def printable(text: str, limit: int = 80) -> str:
    """Foreign text on one line without control characters."""
    safe = "".join(c if c.isprintable() else "?" for c in text).strip()
    return safe if len(safe) <= limit else f"{safe[: limit - 3]}..."


# --- detection ------------------------------------------------------------------------------------------------------


def detect_url(host: str, port: int, url: str, recognise: Recognise, proc: Path = PROC) -> Detection:
    """Who answers at an address of this machine. TargetError when nobody listens, UsageError when it is elsewhere."""
    if not is_local(host):
        raise UsageError(
            f"{printable(host)} is not this machine",
            hint="add --host ssh://USER@HOST, for each host that the application runs on",
        )
    inodes = listening_inodes(port, proc)
    if not inodes:
        raise TargetError(
            f"nothing listens on port {port}",
            hint="start the application first, or let the harness start it: harness init -- COMMAND",
        )
    processes = [seen for pid in socket_owners(inodes, proc) if (seen := look(pid, proc)) is not None]
    if not processes:
        hidden = (
            f"port {port} is open, but its process is not visible to this user: run the harness as that user or root"
        )
        return Detection(f"port-{port}", "any", url, (hidden,), attach=("port", port))
    server = topmost(processes)
    runtime = recognise(server.comm, server.cmdline, server.exe)
    what = f"port {port}: {describe(server)}, {len(processes)} process{'es' if len(processes) > 1 else ''}"
    container = container_behind(server, proc)
    if container is not None:
        facts = (f"{what}, {runtime or 'which no adapter knows'}", _IN_CONTAINER)
        return Detection(name_of(server.comm), runtime or "any", url, facts, container=container)
    if runtime is not None:
        return Detection(name_of(server.comm), runtime, url, (f"{what}, {runtime}",), attach=("port", port))
    pools = fpm_pools(proc)
    if not pools:
        note = "no adapter knows this program: watched from outside, without profilers"
        if server.comm in PORT_HOLDERS:
            note = "this is the port of a container: harness init container:NAME, with its name as `docker ps` shows it"
        return Detection(name_of(server.comm), "any", url, (what, note), attach=("port", port))
    first, *others = pools
    found = [what, f"behind it, probably: php-fpm pool {first}"]
    found += _namesakes(first, proc)
    if others:
        found.append(f"other php-fpm pools here: {', '.join(others)}; change match: if it is one of these")
    return Detection(first, "php", url, tuple(found), attach=("match", f"php-fpm: pool {first}"))


def detect_pid(pid: int, recognise: Recognise, proc: Path = PROC) -> Detection:
    """A running process, or the server it is a worker of. TargetError when there is none."""
    seen = look(pid, proc)
    if seen is None:
        raise TargetError(f"there is no process {pid}", hint="look at `ps -ef`")
    pool = FPM_POOL.match(seen.cmdline)
    if pool is not None:
        found = f"pid {pid}: a worker of php-fpm pool {pool[1]}"
        facts = (found, *_namesakes(pool[1], proc))
        return Detection(pool[1], "php", None, facts, attach=("match", f"php-fpm: pool {pool[1]}"))
    runtime = recognise(seen.comm, seen.cmdline, seen.exe)
    name = name_of(seen.comm)
    found = f"pid {pid}: {printable(seen.comm, 32)}, {runtime or 'which no adapter knows: no profilers'}"
    if (container := container_of(pid, proc)) is not None:
        return Detection(name, runtime or "any", None, (found, _IN_CONTAINER), container=container)
    ports = sorted(own_ports(pid, proc))
    if not ports:
        return Detection(name, runtime or "any", None, (found,), attach=("pid", pid))
    port, address = ports[0]
    listens = f"it listens on port {port}, which outlives a restart and names its workers too"
    return Detection(name, runtime or "any", f"http://{address}:{port}", (found, listens), attach=("port", port))


def detect_command(argv: Sequence[str], recognise: Recognise) -> Detection:
    """What a command would be, from its words and the program they name. UsageError when there is no such program."""
    program = shutil.which(argv[0])
    if program is None:
        raise UsageError(
            f"{printable(argv[0])}: command not found",
            hint="give its path, or put a command of several words in quotes",
        )
    comm = Path(argv[0]).name
    runtime = recognise(comm, " ".join(argv), interpreter(Path(program)))
    found = [f"{printable(comm)}: {f'a {runtime} program' if runtime else 'a program no adapter knows: no profilers'}"]
    if (url := guess_url(argv)) is not None:
        found.append(f"it will probably listen on {url}")
    return Detection(name_of(comm), runtime or "any", url, tuple(found), launch=tuple(argv))


def guess_url(argv: Sequence[str]) -> str | None:
    """The address a server command will listen on: from its options, else its program's default; None without a guess."""
    host, port = "127.0.0.1", None
    for word, value in _options(argv):
        if _HOST_OPTION.match(word):
            host = value
        elif _PORT_OPTION.match(word) and value.isdigit():
            port = int(value)
        elif (_LISTEN_OPTION.match(word) or not word) and (match := _HOST_PORT.match(value)):
            host, port = match["host"] or "127.0.0.1", int(match["port"])
        elif _LISTEN_OPTION.match(word):
            return None  # a unix socket
    if port is None:
        port = _default_port(argv)
    if port is None or not 0 < port < 65536:
        return None
    return f"http://{'127.0.0.1' if host in ('0.0.0.0', '*', '[::]', '::', '') else host}:{port}"  # noqa: S104 - compared, not bound


def _options(argv: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(option, value) for every word that may be a value; the option is empty for a word that stands alone."""
    for index, word in enumerate(argv[1:], 1):
        option, equals, value = word.partition("=")
        if word.startswith("-") and equals:
            yield option, value
        elif not word.startswith("-"):
            before = argv[index - 1]
            yield (before if before.startswith("-") and "=" not in before else ""), word


def _default_port(argv: Sequence[str]) -> int | None:
    words = {Path(word).name for word in argv[:3]}
    if "runserver" in argv or ("-m" in argv and "http.server" in argv):
        return next((int(w) for w in argv[2:] if w.isdigit()), 8000)
    return next((port for name, port in _DEFAULT_PORTS.items() if name in words), None)


def interpreter(program: Path) -> str:
    """The executable that would really run: for a script, the interpreter of its first line."""
    try:
        with program.open("rb") as file:
            first = file.readline(256)
    except OSError:
        return str(program)
    if not first.startswith(b"#!"):
        return str(program.resolve())
    words = first[2:].decode(errors="replace").split()
    if len(words) > 1 and Path(words[0]).name == "env":
        return shutil.which(words[-1]) or words[-1]
    return words[0] if words else str(program)


def is_local(host: str) -> bool:
    """Whether a host name or address belongs to this machine: one can bind to it."""
    try:
        candidates = socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError):
        return False
    for family, kind, number, _, address in candidates:
        try:
            with socket.socket(family, kind, number) as probe:
                probe.bind(address)
        except OSError:
            continue
        return True
    return False


def name_of(comm: str) -> str:
    """A scenario name from a program's name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", comm).strip("-.")[:64] or "app"


def describe(seen: Seen) -> str:
    """A process for people."""
    return f"{printable(seen.comm, 32)} (pid {seen.pid})"


def container_of(pid: int, proc: Path = PROC) -> str | None:
    """The id of the container that a process runs in and we do not, from the names of its control groups; None without one."""
    theirs, ours = (_CONTAINER_ID.findall(_cgroups(proc / name)) for name in (str(pid), "self"))
    return next((found for found in theirs if found not in ours), None)


def container_behind(server: Seen, proc: Path = PROC) -> str | None:
    """The id of the container that a listener belongs to: that it runs in, or that it is podman's monitor of, which keeps the
    published ports from others."""
    if server.comm == "conmon" and (named := _CONTAINER_ID.search(server.cmdline)):
        return named[0]
    return container_of(server.pid, proc)


def _cgroups(process: Path) -> str:
    try:
        with (process / "cgroup").open("rb") as file:
            return file.read(_CGROUP_CAP).decode("ascii", "replace")
    except OSError:
        return ""


# --- /proc ----------------------------------------------------------------------------------------------------------


def look(pid: int, proc: Path = PROC) -> Seen | None:
    """A process; None when it is gone."""
    try:
        comm, ppid = _comm_and_parent((proc / str(pid) / "stat").read_text(errors="replace"))
        with (proc / str(pid) / "cmdline").open("rb") as file:
            words = file.read(_CMDLINE_CAP).split(b"\0")
    except (OSError, ValueError):
        return None
    try:
        exe = str((proc / str(pid) / "exe").readlink())
    except OSError:
        exe = ""
    return Seen(pid, ppid, comm, b" ".join(words).decode(errors="replace").strip(), exe)


def _comm_and_parent(stat: str) -> tuple[str, int]:
    """Fields 2 and 4 of /proc/PID/stat; comm may itself contain spaces and parentheses."""
    start, end = stat.index("(") + 1, stat.rindex(")")
    return stat[start:end], int(stat[end + 1 :].split()[1])


def listening_inodes(port: int, proc: Path = PROC) -> frozenset[int]:
    """Inodes of the TCP sockets, IPv4 and IPv6, that listen on a port."""
    return frozenset(inode for inode, listening, _ in _listening(proc) if listening == port)


def listening_ports(proc: Path = PROC) -> dict[int, frozenset[int]]:
    """Every TCP port that is listened on, with the inodes of its sockets."""
    found: dict[int, set[int]] = {}
    for inode, port, _ in _listening(proc):
        found.setdefault(port, set()).add(inode)
    return {port: frozenset(inodes) for port, inodes in found.items()}


def _listening(proc: Path) -> Iterator[tuple[int, int, str]]:
    """(inode, port, address to reach it at) of every listening TCP socket of this network namespace."""
    for table in ("tcp", "tcp6"):
        try:
            lines = (proc / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if len(fields) > 9 and fields[3] == _TCP_LISTEN:
                address, _, port = fields[1].rpartition(":")
                yield int(fields[9]), int(port, 16), _reachable(address)


def _reachable(address: str) -> str:
    """Where to reach a listener, from the kernel's hex of 32-bit words in host byte order."""
    raw = b"".join(int(address[i : i + 8], 16).to_bytes(4, "little") for i in range(0, len(address), 8))
    if not any(raw):
        return "127.0.0.1"
    if len(raw) == 4:
        return socket.inet_ntop(socket.AF_INET, raw)
    return f"[{socket.inet_ntop(socket.AF_INET6, raw)}]"


def socket_owners(inodes: Iterable[int], proc: Path = PROC) -> tuple[int, ...]:
    """Pids that hold any of these sockets, ascending; those of other users are seen by root only."""
    links = {f"socket:[{inode}]" for inode in inodes}
    return tuple(pid for pid in pids(proc) if not links.isdisjoint(_descriptors(pid, proc)))


def own_ports(pid: int, proc: Path = PROC) -> frozenset[tuple[int, str]]:
    """(port, address) of every TCP socket a process listens on."""
    held = frozenset(_descriptors(pid, proc))
    return frozenset((port, where) for inode, port, where in _listening(proc) if f"socket:[{inode}]" in held)


def topmost(processes: Sequence[Seen]) -> Seen:
    """The ancestor among processes that share a socket: a server's master, not one of its workers."""
    pids = {seen.pid for seen in processes}
    return next((seen for seen in processes if seen.ppid not in pids), processes[0])


def fpm_pools(proc: Path = PROC) -> dict[str, int]:
    """The php-fpm pools that have workers running: name -> pid of one of them, sorted by name."""
    seen = (look(pid, proc) for pid in pids(proc))
    found = {match[1]: s.pid for s in seen if s is not None and (match := FPM_POOL.match(s.cmdline))}
    return dict(sorted(found.items()))


def _namesakes(pool: str, proc: Path) -> list[str]:
    """A warning where several masters have a pool of this name (PHP 7.4 and 8.2 beside each other): match takes them all."""
    seen = (look(pid, proc) for pid in pids(proc))
    masters = {s.ppid for s in seen if s is not None and (m := FPM_POOL.match(s.cmdline)) and m[1] == pool}
    if len(masters) < 2:
        return []
    listed = " and ".join(map(str, sorted(masters)))
    return [
        f"php-fpm masters {listed} each have a pool {pool}, and match: takes the workers of all: write attach: {{pid: MASTER}}, "
        "or pidfile: with the pid file of the right one"
    ]


def fpm_upstream(pid: int, proc: Path = PROC) -> str | None:
    """What a web server passes to, to reach this php-fpm worker: ``unix:/path`` or ``host:port``; None when it cannot be told."""
    for port, address in sorted(own_ports(pid, proc)):
        return f"{address}:{port}"
    held = set(_descriptors(pid, proc))
    try:
        lines = (proc / "net" / "unix").read_text(errors="replace").splitlines()[1:]
    except OSError:
        return None
    for line in lines:  # Num RefCount Protocol Flags Type St Inode Path; __SO_ACCEPTCON in Flags marks a listener
        fields = line.split(maxsplit=7)
        if len(fields) == 8 and int(fields[3], 16) & 0x10000 and f"socket:[{fields[6]}]" in held:
            return f"unix:{fields[7]}"
    return None


def pids(proc: Path = PROC) -> list[int]:
    """Every process, ascending; threads are not listed."""
    return sorted(int(entry.name) for entry in proc.iterdir() if entry.name.isdigit())


def _descriptors(pid: int, proc: Path) -> Iterator[str]:
    """What a process's descriptors point to; nothing when it may not be read or is gone."""
    try:
        for entry in (proc / str(pid) / "fd").iterdir():
            try:
                yield str(entry.readlink())
            except OSError:
                continue  # closed meanwhile
    except OSError:
        return
