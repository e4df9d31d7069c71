"""Sampling a host without Python, from home: a shell there shows files of /proc, and the same sampler reads them here.

``python -m harness.sampling.remote.bare`` takes the place of ``line``, speaks as it does, and has one program, the sampler.
For each sweep it asks ``reader.sh`` for the files that the sampler would read, keeps what comes in a private directory that
looks like /proc, and has the sampler sweep that. The question is asked when the sweep is due; the answer carries the time
there, so that neither a slow line nor a busy home makes a time wrong, it only makes a sweep late.

What cannot be had in this way is missing, and said once: the inside of runtimes, births and exits at their time, open files,
control groups, and what looking costs there. While the line is down nothing is sampled: there is nobody there to keep it.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any, Callable, Deque, Dict, FrozenSet, Iterable, Iterator, List, NamedTuple, Optional, Set, Tuple

from .. import protocol
from ..loop import CommandReader
from ..protocol import COLUMNS, Depth, Fast, Floor, Match, ProtocolError, Roots, Start, Stop
from ..schedule import Due, Grid
from ..sources import SYSTEM_SOURCES
from ..sources.numbers import TICK_NS
from ..sweep import Sweeper

GRAIN_NS = 10_000_000  # of /proc/uptime
_SAMPLER = "sampler"
_ANSWER_CAP_BYTES = 64 << 20
_LINE_CAP_BYTES = 1 << 20
_MOST_FILES = 1 << 18
_ANSWER_S = 15.0  # a whole answer; it is late anyway after that
_PIECE = 1 << 16
_COMPLAINTS = 2048
_CLOCK_EVERY_NS = 10_000_000_000
_FIRST_ASKED = 5
_BACKOFF_S = (0.5, 1.0, 2.0, 4.0)
_WALK = COLUMNS.index("process.walk")
_PID_FILES = ("stat", "status", "smaps_rollup")
_FLOOR_FILES = ("smaps", "oom_score", "oom_score_adj", "numa_maps")
_ONCE = ("/proc/sys/vm/*", "/proc/sys/kernel/osrelease", "/proc/sys/kernel/version", "/proc/sys/kernel/numa_balancing",
         "/proc/sys/kernel/panic_on_oom", "/proc/sys/fs/file-nr", "/proc/cmdline", "/sys/kernel/mm/transparent_hugepage/*",
         "/sys/kernel/mm/transparent_hugepage/khugepaged/*", "/sys/kernel/mm/transparent_hugepage/hugepages-*/enabled",
         "/sys/kernel/mm/ksm/*", "/sys/kernel/mm/lru_gen/enabled", "/sys/module/zswap/parameters/*",
         "/sys/devices/system/node/online")  # fmt: skip
_PATH = re.compile(rb"(/(?:proc|sys)(?:/(?!\.\.?[/:])[A-Za-z0-9._-]{1,64}){1,12}):(.*)\Z", re.DOTALL)
_WHY = "there is no Python 3.8 on the host, so only what a shell can show of /proc is known"
_LACKING = (
    ("runtime", "the memory of the runtimes is not looked into: causes inside Python and PHP cannot be told apart"),
    ("process.events", "processes that live between two sweeps are not seen, and exits have no code"),
    ("process.fds", "a leak of descriptors is not found"),
    ("cgroup.memory", "what the kernel accounts to the target as a whole is unknown"),
    ("sampler.cpu", "what looking costs that host is unknown"),
)


class Answer(NamedTuple):
    """What the reader showed. ``there_ns``: time since boot there, rounded down to `GRAIN_NS`, read between the other two."""

    before_ns: int
    there_ns: int
    after_ns: int
    files: Dict[str, bytes]


class Lost(Exception):  # noqa: N818  # says what is the matter
    """The connection ended; why."""


class Reader:
    """One connection with ``reader.sh``. What it says is anybody's: it has an end and a cap, and is what was asked for."""

    def __init__(self, argv: List[str], patience_s: float = _ANSWER_S) -> None:
        self._patience_s = patience_s
        self._child = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
        )
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        assert self._child.stderr is not None
        self._input, self._output, self._errors = self._child.stdin, self._child.stdout, self._child.stderr
        self._selector = selectors.DefaultSelector()
        for pipe in (self._input, self._output, self._errors):
            os.set_blocking(pipe.fileno(), False)
        for pipe in (self._output, self._errors):
            self._selector.register(pipe, selectors.EVENT_READ)
        self._question = b""  # what is left of it
        self._rest = b""  # of its answer, without a line break yet; what is too long is cut
        self._size = 0  # of its answer so far
        self._ready: Deque[bytes] = collections.deque()
        self._complaints = b""

    def ask(self, kind: str, words: List[str]) -> Answer:
        """Raises Lost."""
        before = time.monotonic_ns()
        deadline = time.monotonic() + self._patience_s
        self._size = 0
        self._put("{} {}\n".format(kind, " ".join(words)).encode())
        first = self._line(deadline)
        after = time.monotonic_ns()
        seconds = first[2:].strip()
        if not first.startswith(b"@ ") or not re.fullmatch(rb"\d{1,9}\.\d{2}", seconds):
            raise Lost(self._last_words("it does not answer as it should"))
        wanted = words if kind == "r" else ["/proc/{}/cmdline".format(pid) for pid in words]
        files: Dict[str, bytes] = {}
        for path, content in _files(self._lines(deadline), _asked_for(wanted)):
            files[path] = content
            if len(files) > _MOST_FILES:
                raise Lost("it showed more than {} files".format(_MOST_FILES))
        return Answer(before, int(seconds.replace(b".", b"")) * GRAIN_NS, after, files)

    def _lines(self, deadline: float) -> Iterator[bytes]:
        while True:
            line = self._line(deadline)
            if line == b"@end\n":
                return
            yield line

    def _line(self, deadline: float) -> bytes:
        while not self._ready:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise Lost(self._last_words("it did not answer within {:g} s".format(self._patience_s)))
            for key, _ in self._selector.select(left_s):
                if key.fileobj is self._input:
                    self._put(b"")
                elif key.fileobj is self._errors:
                    self._hear_complaint()
                else:
                    self._hear()
        return self._ready.popleft()

    def _put(self, data: bytes) -> None:
        self._question += data
        try:
            while self._question:
                self._question = self._question[os.write(self._input.fileno(), self._question[:_PIECE]) :]
        except BlockingIOError:
            pass
        except OSError as error:
            raise Lost(self._last_words()) from error
        waiting = self._input in (key.fileobj for key in self._selector.get_map().values())
        if self._question and not waiting:
            self._selector.register(self._input, selectors.EVENT_WRITE)
        elif waiting and not self._question:
            self._selector.unregister(self._input)

    def _hear(self) -> None:
        data = os.read(self._output.fileno(), _PIECE)
        if not data:
            raise Lost(self._last_words())
        self._size += len(data)
        if self._size > _ANSWER_CAP_BYTES:
            raise Lost("it showed more than {} bytes".format(_ANSWER_CAP_BYTES))
        if b"\n" not in data:
            self._rest = (self._rest + data)[:_LINE_CAP_BYTES]
            return
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest
        self._ready.extend(line + b"\n" for line in lines)

    def _hear_complaint(self) -> None:
        data = os.read(self._errors.fileno(), _PIECE)
        self._complaints = (self._complaints + data)[-_COMPLAINTS:]
        if not data:
            self._selector.unregister(self._errors)

    def _last_words(self, else_: str = "the connection ended") -> str:
        """A moment for what it complains about; others may hold its standard error open."""
        try:
            self._child.wait(1.0)
        except subprocess.TimeoutExpired:
            self._child.kill()
        try:
            while self._errors in (key.fileobj for key in self._selector.get_map().values()):
                self._hear_complaint()
        except BlockingIOError:
            pass
        lines = self._complaints.decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else else_

    def close(self) -> None:
        """End it."""
        self._child.kill()
        self._child.wait()
        self._selector.close()
        for pipe in (self._input, self._output, self._errors):
            with contextlib.suppress(OSError):
                pipe.close()


def _asked_for(words: Iterable[str]) -> Callable[[str], bool]:
    """Whether a path is one of those, or one that a pattern among them means."""
    exact = {word for word in words if "*" not in word}
    patterns = [
        re.escape(word).replace(r"\[0\-9\]\*", "[0-9]{1,7}").replace(r"\*", "[A-Za-z0-9._-]+")
        for word in words
        if "*" in word
    ]
    if not patterns:
        return exact.__contains__
    found = re.compile("(?:{})\\Z".format("|".join(patterns)))
    return lambda path: path in exact or found.match(path) is not None


def _files(lines: Iterator[bytes], wanted: Callable[[str], bool]) -> Iterator[Tuple[str, bytes]]:
    """Contents by path. Lines of one file come one after the other; what is not of that form, or was not asked, is left out."""
    path, content, taken = "", [], False  # type: Tuple[str, List[bytes], bool]
    for line in lines:
        found = _PATH.match(line)
        if found is None:
            continue
        name = found.group(1).decode()
        if name != path:
            if taken:
                yield path, b"".join(content)
            path, content, taken = name, [], wanted(name)
        if taken:
            content.append(found.group(2).replace(b"\001", b"\0") if name.endswith("/cmdline") else found.group(2))
    if taken:
        yield path, b"".join(content)


class Mirror:
    """A directory that holds what was shown of /proc and /sys. Only paths that were asked for come into it."""

    def __init__(self) -> None:
        self._directory = tempfile.mkdtemp(prefix="harness-bare-")
        self.proc = os.path.join(self._directory, "proc")
        self.sys = os.path.join(self._directory, "sys")
        os.mkdir(self.proc)
        os.mkdir(self.sys)
        self._contents: Dict[str, bytes] = {}

    def pids(self) -> FrozenSet[int]:
        """Processes that were there at the last look at all."""
        return frozenset(int(name) for name in os.listdir(self.proc) if name.isdigit())

    def has(self, pid: int, name: str) -> bool:
        """Whether that file of a process was shown."""
        return "/proc/{}/{}".format(pid, name) in self._contents

    def take(self, files: Dict[str, bytes], whole: bool) -> None:
        """``whole``: processes without a ``stat`` among the files have ended."""
        if whole:
            there = {path.split("/")[2] for path in files if path.endswith("/stat") and path.count("/") == 3}
            for pid in self.pids():
                if str(pid) not in there:
                    shutil.rmtree(os.path.join(self.proc, str(pid)), ignore_errors=True)
                    prefix = "/proc/{}/".format(pid)
                    self._contents = {
                        path: data for path, data in self._contents.items() if not path.startswith(prefix)
                    }
        for path, data in files.items():
            if self._contents.get(path) != data:
                place = self._directory + path
                try:
                    os.makedirs(os.path.dirname(place), exist_ok=True)
                    with open(place, "wb") as file:
                        file.write(data)
                except (NotADirectoryError, FileExistsError, IsADirectoryError):
                    continue  # something was shown as a file and as a directory
                self._contents[path] = data

    def close(self) -> None:
        """Remove it."""
        shutil.rmtree(self._directory, ignore_errors=True)


class Bare:
    """The conversation with the session; see ``line``."""

    def __init__(self, argv: List[str], give_up_s: float) -> None:
        self._argv = argv
        self._give_up_s = give_up_s
        self._mirror = Mirror()
        self._reader: Optional[Reader] = None
        self._sweeper: Optional[Sweeper] = None
        self._grid: Optional[Grid] = None
        self._rules = False
        self._commanded: Set[int] = set()  # whose command line was asked for
        self._asked = 0
        self._best: Optional[Answer] = None
        self._next_clock_ns = 0
        self._lost_at: Optional[float] = None
        self._failures = 0
        self._next_try = 0.0
        self._told_pss = False
        self._ticks = self._missed = 0
        self._stopped = self._said_bye = False
        self._gone = ""

    def run(self) -> int:
        """Until the session hangs up, or the host is gone for good; the exit code."""
        commands = CommandReader(0, json.loads)
        try:
            self._connect()
            while not (commands.closed or self._gone):
                for message in commands.wait(self._until_next_s()):
                    self._obey(message)
                if self._reader is None and time.monotonic() >= self._next_try:
                    self._connect()
                self._sweep_if_due()
        finally:
            if self._reader is not None:
                self._reader.close()
            self._mirror.close()
        self._tell(k="gone", why=self._gone) if self._gone else self._tell(k="over")
        return 3 if self._gone else 0

    def _until_next_s(self) -> Optional[float]:
        if self._reader is None:
            return max(0.0, self._next_try - time.monotonic())
        if self._grid is None or self._stopped:
            return None
        return max(0, self._grid.next_ns - time.monotonic_ns()) / 1e9

    # -- the other host ------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        try:
            self._reader = Reader(self._argv)
            for _ in range(_FIRST_ASKED):
                self._ask("r", ["/proc/loadavg"])
        except Lost as lost:
            self._lose(str(lost))
            return
        self._failures = 0
        self._lost_at = None
        self._tell_clock()
        self._tell(k="up", t=time.monotonic_ns())

    def _lose(self, why: str) -> None:
        now = time.monotonic()
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self._lost_at is None:
            self._lost_at = now
            if self._asked >= _FIRST_ASKED:
                self._tell(k="down", t=int(now * 1e9), why=why)
        if now - self._lost_at > self._give_up_s:
            self._gone = "no connection for {:.0f} s: {}".format(self._give_up_s, why)
        self._next_try = now + _BACKOFF_S[min(self._failures, len(_BACKOFF_S) - 1)]
        self._failures += 1

    def _ask(self, kind: str, words: List[str]) -> Answer:
        assert self._reader is not None
        answer = self._reader.ask(kind, words)
        self._asked += 1
        if self._best is None or answer.after_ns - answer.before_ns < self._best.after_ns - self._best.before_ns:
            self._best = answer
        if self._next_clock_ns and time.monotonic_ns() >= self._next_clock_ns:
            self._tell_clock()
        return answer

    def _tell_clock(self) -> None:
        """The time there is known to lie in a grain, which makes the time between before and after longer by it."""
        best, self._best = self._best, None
        assert best is not None
        half = GRAIN_NS // 2
        there = best.there_ns + half
        self._tell(k="clock", before=best.before_ns - half, there=there, wall=0, after=best.after_ns + half)
        self._next_clock_ns = time.monotonic_ns() + _CLOCK_EVERY_NS

    # -- the session ---------------------------------------------------------------------------------------------------

    def _tell(self, **message: object) -> None:
        _write(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    def _say(self, lines: bytes) -> None:
        for line in lines.splitlines():
            _write(b'{"k":"said","by":"sampler","m":%s}\n' % _as_there(line))

    def _obey(self, message: Dict[str, Any]) -> None:
        to, told = message["to"], message["m"]
        if to == _SAMPLER:
            self._command(protocol.decode(json.dumps(told).encode()))
        elif to == "-" and told.get("cmd") == "run" and told.get("part") != _SAMPLER:
            news = {
                "k": "ended",
                "name": told["name"],
                "code": None,
                "complaints": "no program can be started without Python",
            }
            self._tell(k="said", by="-", m=news)
        elif to == "-" and told.get("cmd") in ("hang up", "kill") and told.get("name") == _SAMPLER:
            self._tell(k="said", by="-", m={"k": "ended", "name": _SAMPLER, "code": 0, "complaints": ""})

    def _command(self, command: protocol.Command) -> None:
        if isinstance(command, Start):
            self._start(command)
        elif self._sweeper is None:
            raise ProtocolError("the first command must be start")
        elif isinstance(command, Roots):
            for root in command.add:
                self._sweeper.add_root(root)
        elif isinstance(command, Match):
            self._rules = True
            self._sweeper.add_match(command)
        elif isinstance(command, Floor):
            self._floor(command)
        elif isinstance(command, Stop):
            self._stopped = True
            self._say(protocol.bye_line(self._now_there_ns(), self._ticks, self._missed, 0))
        elif not isinstance(command, Fast):
            raise ProtocolError("not for a host without Python: {!r}".format(command))

    def _start(self, order: Start) -> None:
        answer = self._look(Depth.COUNTERS, _ONCE)
        there = 0 if answer is None else answer.there_ns
        self._say(protocol.hello_line(os.getpid(), there, 100, 0))
        for signal_name, costs in _LACKING:
            self._say(protocol.missing_line(signal_name, _WHY, costs))
        order = order._replace(proc=self._mirror.proc, sys=self._mirror.sys, look=False)
        self._sweeper = Sweeper(order, frozenset())
        self._grid = Grid(time.monotonic_ns(), order.interval_ns)

    def _now_there_ns(self) -> int:
        try:
            return self._ask("r", ["/proc/loadavg"]).there_ns if self._reader is not None else 0
        except Lost:
            return 0

    def _sweep_if_due(self) -> None:
        if self._grid is None or self._stopped or self._reader is None:
            return
        due = self._grid.take(time.monotonic_ns())
        if due is not None:
            self._sweep(due, None)

    def _floor(self, floor: Floor) -> None:
        """Twice where a process is new, of whom only the first look tells that it is to be looked at."""
        known = self._followed()
        if not known or not all(self._mirror.has(pid, "status") for pid in known):
            self._sweep(Due(0, 0), None)
        self._sweep(Due(0, 0), floor)

    def _followed(self) -> Set[int]:
        return set() if self._sweeper is None else self._sweeper.pids

    def _sweep(self, due: Due, floor: Optional[Floor]) -> None:
        """An order that the line is down for waits until it is up."""
        while True:
            answer = self._look(Depth.COUNTERS if floor is None else floor.depth, ())
            if answer is not None or floor is None or self._gone:
                break
            time.sleep(max(0.0, self._next_try - time.monotonic()))
            self._connect()
        if answer is None or self._sweeper is None:
            return
        try:
            swept = self._sweeper.sweep(answer.there_ns, due, *(() if floor is None else floor))
        except (ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
            self._gone = "what it shows is no /proc ({}: {})".format(type(error).__name__, error)
            return
        self._ticks += 1
        self._missed += due.missed
        self._say(swept)
        shown = [pid for pid in self._followed() if self._mirror.has(pid, "status")]
        if shown and not self._told_pss and not any(self._mirror.has(pid, "smaps_rollup") for pid in shown):
            self._told_pss = True
            reason = "the user who logs in may not read /proc/PID/smaps_rollup of these processes; needs root, or their owner"
            costs = "memory that is shared is not told from memory of its own"
            self._say(protocol.missing_line("process.memory.pss", reason, costs))

    def _look(self, depth: Depth, more: Tuple[str, ...]) -> Optional[Answer]:
        """Ask for everything that a sweep reads; None when the line is down."""
        if self._reader is None:
            return None
        files = _PID_FILES + (_FLOOR_FILES if depth >= Depth.HEAPS else ())
        words = ["/proc/" + source().path for source in SYSTEM_SOURCES]
        words += [*more, "/proc/[0-9]*/stat"]
        words += ["/proc/{}/{}".format(pid, name) for pid in sorted(self._followed()) for name in files[1:]]
        try:
            answer = self._ask("r", words)
            self._mirror.take(answer.files, whole=True)
            wanted = (self._mirror.pids() if self._rules else self._followed()) - self._commanded
            if depth > Depth.COUNTERS:
                wanted |= self._followed()
            if wanted:
                self._mirror.take(self._ask("c", [str(pid) for pid in sorted(wanted)]).files, whole=False)
                self._commanded |= wanted
            self._commanded &= self._mirror.pids()
        except Lost as lost:
            self._lose(str(lost))
            return None
        except OSError as error:
            self._gone = "what it shows cannot be kept here: {}".format(error.strerror or error)
            return None
        return answer


def _as_there(line: bytes) -> bytes:
    """What the sampler says of the host it runs on, made true of the other one: births on its clock, and no costs."""
    if line.startswith(b'{"k":"tick"'):
        message = json.loads(line.decode())
        message["end"], message["cpu"] = message["t"], None
        for _, _, values in message["p"]:
            values[_WALK] = None
    elif line.startswith(b'{"k":"proc"'):
        message = json.loads(line.decode())
        message["born"] = message["start"] * TICK_NS
    elif line.startswith(b'{"k":"missing"') and b"harness-bare-" in line:
        message = json.loads(line.decode())
        message["reason"] = _WHY
    elif line.startswith(b'{"k":"bye"'):
        message = json.loads(line.decode())
        message["cpu"] = None
    else:
        return line
    return json.dumps(message, separators=(",", ":")).encode()


def _write(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


def main() -> int:
    """Exit code 0 when the session hung up, 3 when the host could not be reached any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the session handles it, and will close the pipe
    first = b""
    while not first.endswith(b"\n"):
        data = os.read(0, 1)
        if not data:
            return 0
        first += data
    order = json.loads(first.decode())
    try:
        return Bare(order["argv"], float(order.get("give_up_s", 330.0))).run()
    except BrokenPipeError:
        return 0


if __name__ == "__main__":
    sys.exit(main())
