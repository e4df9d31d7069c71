"""Keeps one directory of agents on this host for home: ``agent``, a part of the archive that the keeper runs.

Home names every file. What agents append to their one records file is sent home, orders are written whole and told to processes
by a signal, and a result is handed over when home asks for its exact name. Nothing in the directory is believed: no link is
followed, no name that stands in a file there is opened, and every size has a cap. One JSON object a line:

to ``{"cmd":"lay","root":"path","dirs":[["a/b",0o755]],"files":[["a/b/c",0o644,"text"]]}``: make a directory of ours, in pieces
to ``{"cmd":"own","root":"path","records":"records/x","orders":"python/orders/order","results":"results","records_cap":N,
   "contained":false}``; contained: process ids in records are those of a container
to ``{"cmd":"order","id":N,"text":"...","signal":N,"pids":[[pid,start]]}``: write an order, and tell these processes
to ``{"cmd":"fetch","name":"bare name","pid":N,"cap":N}``: hand over a result, and remove it
to ``{"cmd":"drain","id":N}``: read the records to where they end now
to end of file: remove results that are left, and end
from ``{"k":"ready"}`` or ``{"k":"refused","why":"..."}``: the answer to ``own``
from ``{"k":"records","data":"..."}``: appended bytes, as Latin-1
from ``{"k":"all","t":NS}``: what was in the file at that time (CLOCK_MONOTONIC) has been sent; once a second at most
from ``{"k":"told","id":N,"pids":[N],"why":"..."}``: who was told of an order
from ``{"k":"file","name":"...","data":"...","last":true}`` or ``{"k":"no file","name":"...","why":"..."}``
from ``{"k":"drained","id":N,"cpu":NS}``; cpu: what this part has used of it until now

Of what was in the records file before only announcements of processes that live are sent.

`look` is for `harness doctor`, which sends this one file as a program and leaves nothing there: it imports no part of ours.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import select
import signal
import stat
import sys
import time
from typing import Any, Dict, Iterable, List, Optional, Set, Tuple

LOCK = ".in-use"
_CHUNK = 128 << 10  # a byte may become six in JSON, and a line of ours may have 1 MiB
_SOON_S, _LATER_S = 0.02, 0.15  # between two looks: after an order or a request for a result, and else
_SOON_FOR_S = 4.0
_ALL_EVERY_NS = 1_000_000_000
_BARE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")
_ANNOUNCES = re.compile(rb'"k":"boot".*"pid":([0-9]{1,10})[,}]')
_PID = re.compile(rb'"pid":([0-9]{1,10})[,}]')
_TIME = re.compile(rb'"t1?":([0-9]{1,19})[,}]')
_NSPID = re.compile(rb"^NSpid:.*?([0-9]+)$", re.MULTILINE)
_MOST_ANNOUNCED = 4096
_OLD_CAP = 4 << 30
_LATELY = 1 << 20  # bytes of records that `look` reads from the end
_LINE_CAP = 8192
_TICK_NS = 10_000_000
_CAUGHT = re.compile(rb"^SigCgt:\s*([0-9a-f]+)$", re.MULTILINE)
_UID = re.compile(rb"^Uid:\s*([0-9]+)", re.MULTILINE)


class Refused(Exception):  # noqa: N818  # says what is the matter
    """Why it is not done."""


def say(**message: object) -> None:
    """One line; waits while nobody takes it."""
    sys.stdout.write(json.dumps(message, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def inside(root: int, path: str) -> int:
    """The directory at a path below ``root``, opened without following a link. Raises OSError."""
    found = os.dup(root)
    try:
        for part in _parts(path):
            further = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=found)
            os.close(found)
            found = further
    except BaseException:
        os.close(found)
        raise
    return found


def _parts(path: str) -> List[str]:
    parts = [part for part in path.split("/") if part]
    if any(part in (".", "..") for part in parts) or path.startswith("/"):
        raise Refused("{!r} is no path in it".format(path))
    return parts


def lay(order: Dict[str, Any]) -> None:
    """Make directories and files, new ones only. Raises OSError."""
    root_path = str(order["root"])
    with contextlib.suppress(FileExistsError):
        os.mkdir(root_path, 0o700)
        os.chmod(root_path, 0o711)  # noqa: S103  # the directory above keeps others out, unless:
        if os.geteuid() == 0:  # workers may change their user; nobody can list it
            os.chmod(os.path.dirname(root_path), 0o711)  # noqa: S103
    root = os.open(root_path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        for path, mode in order.get("dirs", ()):
            above, _, name = path.rpartition("/")
            parent = inside(root, above)
            try:
                os.mkdir(name, 0o700, dir_fd=parent)
                made = inside(parent, name)
                os.fchmod(made, int(mode))  # mkdir's mode is cut by the umask
                os.close(made)
            finally:
                os.close(parent)
        for path, mode, text in order.get("files", ()):
            above, _, name = path.rpartition("/")
            parent = inside(root, above)
            try:
                descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=parent)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(text.encode("latin-1"))
                    os.fchmod(descriptor, int(mode))
            finally:
                os.close(parent)
    finally:
        os.close(root)


def opened(order: Dict[str, Any]) -> Tuple[int, int]:
    """A directory of agents, and the records in it. Raises Refused, OSError."""
    root = os.open(str(order["root"]), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    if os.fstat(root).st_uid not in (os.geteuid(), 0):
        raise Refused("it belongs to another user")
    above, _, name = str(order["records"]).rpartition("/")
    directory = inside(root, above)
    records = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    os.close(directory)
    if not stat.S_ISREG(os.fstat(records).st_mode):
        raise Refused("{} is not a file".format(name))
    return root, records


def announcements(records: int, size: int) -> Tuple[Dict[bytes, bytes], int]:
    """Who has announced itself in the first ``size`` bytes of the records, with the latest line of each; and how many bytes the
    line at the end has that is not whole yet."""
    found: Dict[bytes, bytes] = {}
    at, rest = 0, b""
    while at < size:
        data = os.pread(records, min(1 << 20, size - at), at)
        if not data:
            break
        at += len(data)
        *lines, rest = (rest + data).split(b"\n")
        rest = rest[-_LINE_CAP:]
        for line in lines:
            match = _ANNOUNCES.search(line) if len(line) <= _LINE_CAP else None
            if match is not None:
                found.pop(match.group(1), None)
                found[match.group(1)] = line
                if len(found) > _MOST_ANNOUNCED:
                    del found[next(iter(found))]
    return found, len(rest)


class Kept:
    """One directory of agents."""

    def __init__(self, order: Dict[str, Any]) -> None:
        """Raises Refused."""
        try:
            self._root, self._records = opened(order)
            self._lock = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=self._root)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            above, _, self._order_name = str(order["orders"]).rpartition("/")
            self._orders = inside(self._root, above)
            self._results = inside(self._root, str(order["results"]))
        except BlockingIOError:
            raise Refused("another run uses it") from None
        except OSError as error:
            raise Refused(error.strerror or str(error)) from error
        self._cap = int(order["records_cap"])
        self._sent = 0
        self._said_all_ns = 0
        self._at = os.fstat(self._records).st_size
        self._tell_of_before(min(self._at, _OLD_CAP), bool(order.get("contained")))

    def _tell_of_before(self, size: int, contained: bool) -> None:
        """Announcements of the living, the latest of each; what a line says is checked at home. ``contained``: the ids in them
        are those of a container, and so nothing is known here of who lives."""
        found, rest = announcements(self._records, size)
        self._at -= rest  # a line that is being written
        for pid, line in found.items():
            if contained or os.path.isdir("/proc/{}".format(int(pid))):
                say(k="records", data=line.decode("latin-1") + "\n")

    def read(self) -> bool:
        """Send what was appended, a piece of it; whether there may be more. The cap is for the disk at home."""
        now_ns = time.monotonic_ns()
        size = self._size()
        length = min(_CHUNK, size - self._at, self._cap - self._sent)
        data = os.pread(self._records, length, self._at) if length > 0 else b""
        if data:
            self._at += len(data)
            self._sent += len(data)
            say(k="records", data=data.decode("latin-1"))
        if self._at == size and now_ns - self._said_all_ns >= _ALL_EVERY_NS:
            self._said_all_ns = now_ns
            say(k="all", t=now_ns)
        return bool(data)

    def drain(self) -> None:
        """Send all that is there by now; who writes as fast as this reads holds nobody up."""
        end = self._size()
        while self._at < end and self.read():
            pass

    def _size(self) -> int:
        """Of the records. Whoever starts the application anew may have emptied them: then they begin anew."""
        size = os.fstat(self._records).st_size
        if size < self._at:
            self._at = 0
            say(k="records", data="\n")  # the end of a line of which half was sent
        return size

    def order(self, order: Dict[str, Any]) -> None:
        """Write it, whole, and tell the processes."""
        told: List[int] = []
        why = ""
        try:
            fresh = ".{}.new".format(self._order_name)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(fresh, dir_fd=self._orders)
            descriptor = os.open(
                fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=self._orders
            )
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(str(order["text"]))
                os.fchmod(descriptor, 0o644)
            os.replace(fresh, self._order_name, src_dir_fd=self._orders, dst_dir_fd=self._orders)
            number = int(order["signal"])
            told = [int(pid) for pid, start in order["pids"] if tell(int(pid), int(start), number)]
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or str(error)
        say(k="told", id=order["id"], pids=told, why=why)

    def fetch(self, order: Dict[str, Any]) -> None:
        """Hand over a result by its exact name."""
        name = str(order["name"])
        try:
            if not _BARE.match(name):
                raise Refused("it is no bare name")
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            try:
                descriptor = os.open(name, flags, dir_fd=self._results)
            except OSError as error:
                raise Refused("cannot open the result: {}".format(error.strerror)) from error
            try:
                _check(os.fstat(descriptor), int(order["pid"]), int(order["cap"]))
            except Refused:
                os.close(descriptor)
                raise
            with os.fdopen(descriptor, "rb") as file:
                left = int(order["cap"])
                data = file.read(min(_CHUNK, left))
                while True:
                    left -= len(data)
                    further = file.read(min(_CHUNK, left)) if left > 0 else b""
                    say(k="file", name=name, data=data.decode("latin-1"), last=not further)
                    if not further:
                        break
                    data = further
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=self._results)
        except (Refused, OSError) as error:
            say(k="no file", name=name, why=str(error))

    def close(self) -> None:
        """Results that nobody has asked for are of no use to anybody."""
        for name in os.listdir(self._results):
            with contextlib.suppress(OSError):
                if stat.S_ISREG(os.stat(name, dir_fd=self._results, follow_symlinks=False).st_mode):
                    os.unlink(name, dir_fd=self._results)
        with contextlib.suppress(OSError):
            os.unlink(self._order_name, dir_fd=self._orders)


def _check(found: os.stat_result, pid: int, cap: int) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise Refused("the result is not a regular file")
    if found.st_nlink != 1:
        raise Refused("the result is a hard link to another file")
    if found.st_size > cap:
        raise Refused("the result has {} bytes, and at most {} are fetched".format(found.st_size, cap))
    owners = {os.geteuid()}
    try:
        owners.add(os.stat("/proc/{}".format(pid)).st_uid)
    except OSError:  # it has ended: then the name, which nobody could guess, has to do
        owners.add(found.st_uid)
    if found.st_uid not in owners:
        raise Refused("the result belongs to uid {}, which is neither the worker's nor ours".format(found.st_uid))


def tell(pid: int, start: int, number: int) -> bool:
    """Signal the process that has this id and began then (clock ticks since boot), if it is this user's and handles the signal:
    it would end one that does not (SigCgt, proc(5))."""
    handle = None
    try:
        if hasattr(os, "pidfd_open"):  # Python 3.9
            handle = os.pidfd_open(pid)
        with open("/proc/{}/stat".format(pid), "rb") as file:
            began = int(file.read(4096).rpartition(b")")[2].split()[19])
        with open("/proc/{}/status".format(pid), "rb") as file:
            status = file.read(16384)
        caught, user = _CAUGHT.search(status), _UID.search(status)
        if began != start or caught is None or user is None:
            return False
        if os.geteuid() not in (0, int(user.group(1))) or not int(caught.group(1), 16) >> (number - 1) & 1:
            return False
        if handle is None:
            os.kill(pid, number)
        else:
            signal.pidfd_send_signal(handle, number)  # type: ignore[attr-defined,unused-ignore]
    except (OSError, ValueError, IndexError):
        return False
    finally:
        if handle is not None:
            os.close(handle)
    return True


def look(text: str) -> str:
    """Who writes into a directory of agents. ``text``: ``{"root":"path","records":"records/x","holds":["results"],"roots":[pid],
    "contained":false}``, where roots are the processes that would be watched, with all below them, and ``holds`` further
    directories that a run needs in it. Nothing is written, or kept from a run.

    JSON with ``why`` (it cannot be used; else None), ``size`` of the records in bytes, how many processes would be watched
    (``watched``), how many of these have announced themselves or written lately (``inside``), and how many other
    living processes have announced themselves (``others``, 0 in containers, whose ids nobody here knows).
    """
    order: Dict[str, Any] = json.loads(text)
    said: Dict[str, Any] = {"why": None, "size": 0, "watched": 0, "inside": 0, "others": 0}
    contained = bool(order["contained"])
    try:
        root, records = opened(order)
        for path in order["holds"]:
            os.close(inside(root, path))
        os.close(root)
        watched = below(int(pid) for pid in order["roots"])
        size = min(os.fstat(records).st_size, _OLD_CAP)
        wrote = _by_number([*announcements(records, size)[0].values(), *_lately(records, size)])
        os.close(records)
    except (Refused, OSError) as error:
        said["why"] = getattr(error, "strerror", None) or str(error)
        return json.dumps(said)
    called = {_inner(pid) if contained else pid: pid for pid in watched}
    within = [number for number, pid in called.items() if _has_written(pid, wrote.get(number, -1))]
    others = [n for n, t_ns in wrote.items() if n not in called and _has_written(n, t_ns)] if not contained else []
    said.update(size=size, watched=len(watched), inside=len(within), others=len(others))
    return json.dumps(said)


def _lately(records: int, size: int) -> List[bytes]:
    """The last whole lines: PHP that serves announces nothing, and tells of every request."""
    at = max(0, size - _LATELY)
    lines = os.pread(records, size - at, at).split(b"\n")
    return [line for line in lines[1 if at else 0 : -1] if len(line) <= _LINE_CAP]


def _by_number(lines: Iterable[bytes]) -> Dict[int, int]:
    """When each process, by its id in the records, wrote last (ns)."""
    found: Dict[int, int] = {}
    for line in lines:
        pid, t_ns = _PID.search(line), _TIME.search(line)
        if pid is not None and t_ns is not None:
            found[int(pid.group(1))] = max(found.get(int(pid.group(1)), -1), int(t_ns.group(1)))
    return found


def below(roots: Iterable[int]) -> Set[int]:
    """These processes and all that descend from them; of those that live."""
    parents = {int(name): _stat(int(name), 1) for name in os.listdir("/proc") if name.isdigit()}
    children: Dict[Optional[int], List[int]] = {}
    for pid, parent in parents.items():
        children.setdefault(parent, []).append(pid)
    found: Set[int] = set()
    todo = [pid for pid in roots if pid in parents]
    while todo:
        pid = todo.pop()
        if pid not in found:
            found.add(pid)
            todo += children.get(pid, [])
    return found


def _has_written(pid: int, t_ns: int) -> bool:
    """Whether what was written then (CLOCK_MONOTONIC) may be of this process, and not of an earlier one of its id."""
    ticks = _stat(pid, 19)
    if ticks is None:
        return False
    suspended_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()
    return t_ns >= ticks * _TICK_NS - suspended_ns - 2 * _TICK_NS


def _stat(pid: int, field: int) -> Optional[int]:
    """A field of /proc/PID/stat, counted from the state; None when it has ended."""
    try:
        with open("/proc/{}/stat".format(pid), "rb") as file:
            return int(file.read(4096).rpartition(b")")[2].split()[field])
    except (OSError, ValueError, IndexError):
        return None


def _inner(pid: int) -> int:
    """The id that a process has in its own namespace; that of this one where nobody says so."""
    try:
        with open("/proc/{}/status".format(pid), "rb") as file:
            found = _NSPID.search(file.read(16384))
    except OSError:
        return pid
    return pid if found is None else int(found.group(1))


class Part:
    """The conversation with home."""

    def __init__(self) -> None:
        self._kept: Optional[Kept] = None
        self._rest = b""
        self._soon_until = 0.0

    def run(self) -> None:
        """Until home has nothing more to say."""
        listening = True
        while listening:
            wait = _SOON_S if time.monotonic() < self._soon_until else _LATER_S
            more = self._kept is not None and self._kept.read()
            if select.select([0], [], [], 0 if more else wait)[0]:
                data = os.read(0, 1 << 16)
                listening = bool(data)
                *lines, self._rest = (self._rest + data).split(b"\n")
                for line in lines:
                    self._obey(json.loads(line.decode()))
        if self._kept is not None:
            self._kept.close()

    def _obey(self, order: Dict[str, Any]) -> None:
        kind, kept = order["cmd"], self._kept
        try:
            if kind == "lay":
                lay(order)
            elif kind == "own":
                self._kept = Kept(order)
                say(k="ready")
            elif kept is None:
                raise Refused("nothing is kept")
            elif kind == "drain":
                kept.drain()
                say(k="drained", id=order["id"], cpu=time.process_time_ns())
            else:
                self._soon_until = time.monotonic() + _SOON_FOR_S
                if kind == "order":
                    kept.order(order)
                elif kind == "fetch":
                    kept.fetch(order)
        except Refused as reason:
            say(k="refused", why=str(reason))
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            say(k="refused", why=error.strerror or str(error))


def main() -> int:
    """Ends with the standard input."""
    with contextlib.suppress(BrokenPipeError):
        Part().run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
