"""Xdebug's files where only a shell of the place can reach them: in a container by ``exec``, on another host by ssh.

The script is `outputs.sh`. Names cross the line only where they are letters, digits and ``._%+-``; all answers are hostile.
Whether a file is complete is judged here, by the same signs as in `local_outputs`: the lock was let go, and the end is there.
Where the place cannot tell who holds a lock, a file has to stay as it is for a while instead.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import BinaryIO, TypeVar

from adapters.php.xdebug.elsewhere.line import Answer, Line, LineError
from adapters.php.xdebug.elsewhere.place import Place
from adapters.php.xdebug.local_outputs import QUIET_S, has_end, keep_copy
from adapters.php.xdebug.output_names import RefusedError, is_name, parse_name, pid_in_name
from adapters.php.xdebug.outputs import HERE, LOG_TAIL_BYTES, NAMES_CAP, WAIT_S, Entry, Fetched, WallOffset
from adapters.php.xdebug.tools import TOOLS, XdebugTool
from harness.clock import Clock
from harness.model.profile import ArtifactStatus

STEADY_S = 0.5  # how long a file is to stay as it is where nobody tells of locks
_STEP_S, _LONGEST_STEP_S, _SLOWER = 0.05, 0.5, 1.3  # each look starts a handful of programs there
_ASK_S = 20.0
_LIST_S = 20.0
_RETRY_S = 30.0  # before a place that could not be reached is tried again
_COPY_BYTES_PER_S = 250_000  # the slowest line a copy is waited for
_NAMES_BYTES = NAMES_CAP * 128
_NAMES_AT_ONCE = 500
_TAIL_BYTES = 4096
_LOOK_WORDS, _TIMES_WORDS = 8, 6
_NANOSECOND_DIGITS = 19
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._%+-]{0,254}\Z")
_WHOLE = re.compile(r"[0-9]{1,19}\Z")
_FRACTION = re.compile(r"[0-9:]{1,16}\.([0-9]{1,9})\Z")
_S = 1_000_000_000

T = TypeVar("T")


class _GoneError(Exception):
    """The directory is not there, or may not be entered."""


@dataclass(frozen=True, slots=True)
class _Look:
    """What the open file is at the moment. ``locked``: None where the place does not tell."""

    mode: int
    uid: int
    links: int
    size_bytes: int
    modified_ns: int
    locked: bool | None

    @property
    def state(self) -> tuple[int, int]:
        return self.size_bytes, self.modified_ns


def script() -> str:
    """What runs at the other end."""
    return resources.files("adapters.php.xdebug.elsewhere").joinpath("outputs.sh").read_text()


class ShellOutputs:
    """See `adapters.php.xdebug.outputs.Outputs`. ``connect`` starts a line to the place, and is called again when one broke.
    ``same_clock``: the place has our wall clock. ``let_go``: called when the line is ended, of whatever else is held for it."""

    def __init__(
        self,
        place: Place,
        connect: Callable[[], Line],
        directory: str,
        clock: Clock,
        *,
        same_clock: bool,
        pid_outside: Callable[[int], int | None],
        let_go: Callable[[], None] = lambda: None,
    ) -> None:
        self._place = place
        self._connect = connect
        self._path = directory
        self._clock = clock
        self._pid_outside = pid_outside
        self._let_go = let_go
        self._line: Line | None = None
        self._offset: WallOffset | None = HERE if same_clock else None
        self._trouble = ""
        self._not_before_ns: int | None = None

    @property
    def label(self) -> str:
        return f"{self._path} in {self._place}"

    @property
    def trouble(self) -> str:
        return self._trouble

    def close(self) -> None:
        """End the line; the next question starts another one."""
        if self._line is not None:
            self._line.close()
            self._line = None
        self._let_go()

    def entries(self) -> Sequence[Entry]:
        """Names that files of Xdebug can have; those begun last come first, should time not be enough for all."""
        return self._asked(self._entries, ())

    def fetch(self, tool: XdebugTool, name: str, destination: Path, wait_s: float = WAIT_S) -> Fetched:
        if not _NAME.match(name):
            return Fetched(ArtifactStatus.REFUSED, f"the {tool.kind} has no name that Xdebug would give it")

        def fetch(line: Line) -> Fetched:
            return self._fetch(line, tool, name, destination, wait_s)

        found = self._asked(fetch, None)
        return Fetched(ArtifactStatus.MISSING, self._trouble) if found is None else found

    def remove(self, names: Iterable[str]) -> None:
        known = [name for name in names if _NAME.match(name)]

        def remove(line: Line) -> None:
            for some in _batches(known):
                _ask(line, f"remove {' '.join(some)}")

        if known:
            self._asked(remove, None)

    def free_bytes(self) -> int | None:
        def free(line: Line) -> int | None:
            words = _ask(line, "free").of("free") or ()
            return int(words[0]) * int(words[1]) if len(words) == 2 and all(map(_WHOLE.match, words)) else None

        return self._asked(free, None)

    def log_tail(self) -> bytes:
        def tail(line: Line) -> bytes:
            return line.ask(f"log {LOG_TAIL_BYTES}", seconds=_ASK_S, cap_bytes=LOG_TAIL_BYTES).data

        return self._asked(tail, b"")

    def pid_outside(self, pid: int) -> int | None:
        return self._pid_outside(pid)

    def wall_offset(self) -> WallOffset:
        """Asked once, of two round trips the shorter."""
        if self._offset is None:
            self._offset = self._asked(self._ask_clock, None)
        return self._offset or HERE

    def hello(self) -> Answer:
        """How the place is; raises LineError. For checks before a run."""
        return self._connected().ask("hello", seconds=_ASK_S)

    # -- asking --------------------------------------------------------------------------------------------------------

    def _connected(self) -> Line:
        if self._line is None or not self._line.is_open:
            self.close()
            self._line = self._connect()
        return self._line

    def _asked(self, question: Callable[[Line], T], otherwise: T) -> T:
        """The answer; `trouble` and ``otherwise`` where there is none. A line that broke since the last time is made anew."""
        now_ns = self._clock.monotonic_ns()
        if self._not_before_ns is not None and now_ns < self._not_before_ns:
            return otherwise
        used = self._line is not None
        for again in (used, False):
            try:
                answer = question(self._connected())
            except _GoneError:
                self._trouble = f"there is no directory {self._path} in {self._place}, or it may not be entered"
                return otherwise
            except LineError as error:
                self.close()
                if again:
                    continue
                self._trouble = f"{self._place}: {error}"
                self._not_before_ns = self._clock.monotonic_ns() + int(_RETRY_S * _S)
                return otherwise
            self._trouble, self._not_before_ns = "", None
            return answer
        raise AssertionError("the second time never tries again")

    def _ask_clock(self, line: Line) -> WallOffset | None:
        return min((offset for offset in (self._one_offset(line), self._one_offset(line)) if offset is not None),
                   key=lambda offset: offset.error_ns, default=None)  # fmt: skip

    def _one_offset(self, line: Line) -> WallOffset | None:
        """Its clock was read somewhere between question and answer; busybox's knows seconds only."""
        before_ns = self._clock.wall_ns()
        words = _ask(line, "clock").of("clock") or ()
        after_ns = self._clock.wall_ns()
        if not words or not _WHOLE.match(words[-1]):
            return None
        there_ns, coarse_ns = int(words[-1]) * _S + _S // 2, _S // 2
        if _WHOLE.match(words[0]) and len(words[0]) >= _NANOSECOND_DIGITS:
            there_ns, coarse_ns = int(words[0]), 0
        return WallOffset(there_ns - (before_ns + after_ns) // 2, (after_ns - before_ns) // 2 + 1 + coarse_ns)

    # -- names ---------------------------------------------------------------------------------------------------------

    def _entries(self, line: Line) -> Sequence[Entry]:
        deadline_ns = self._clock.monotonic_ns() + int(_LIST_S * _S)
        listed = _ask(line, f"names {NAMES_CAP} {_NAMES_BYTES}", cap_bytes=_NAMES_BYTES).data
        names = _names_of_xdebug(listed)
        found: list[Entry] = []
        for some in _batches(names):
            if self._clock.monotonic_ns() >= deadline_ns:
                break
            told = _ask(line, f"times {' '.join(some)}", cap_bytes=_NAMES_AT_ONCE * 512).data
            found += _entries_told(told, frozenset(some))
        return found

    # -- one file ------------------------------------------------------------------------------------------------------

    def _fetch(self, line: Line, tool: XdebugTool, name: str, destination: Path, wait_s: float) -> Fetched:
        try:
            if not self._open(line, tool, name):
                return Fetched(ArtifactStatus.MISSING, f"the {tool.kind} is not in {self.label}")
            self._wait(line, tool, name, wait_s)
            before = self._look(line, tool)
            destination.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=destination.parent) as copy:
                size = _receive(line, tool, before, copy)
                after = self._look(line, tool)
                _ask(line, "close")
                complete = has_end(tool, copy.fileno(), size)
                path = keep_copy(copy.fileno(), destination, tool.cap_bytes)
        except RefusedError as refusal:
            return Fetched(ArtifactStatus.REFUSED, str(refusal))
        except OSError as error:
            return Fetched(ArtifactStatus.MISSING, f"cannot keep the {tool.kind}: {error.strerror}")
        if after.locked or not complete:
            why = f"no {tool.end_is} after {wait_s:.0f} s: was the process killed, or is it still running?"
            return Fetched(ArtifactStatus.TRUNCATED, why, path, size)
        if before.state != after.state or size != before.size_bytes:
            return Fetched(
                ArtifactStatus.TRUNCATED, f"the {tool.kind} was written to after it was complete", path, size
            )
        return Fetched(ArtifactStatus.COMPLETE, "", path, size)

    def _open(self, line: Line, tool: XdebugTool, name: str) -> bool:
        """False: there is no such file. Raises RefusedError."""
        answer = _ask(line, f"open {name} {pid_in_name(tool, name) or '-'}")
        if answer.has("missing"):
            return False
        if answer.has("special"):
            raise RefusedError(f"the {tool.kind} is not an ordinary file")
        if answer.has("denied"):
            raise RefusedError(f"the {tool.kind} may not be read by the user the harness is in {self._place}")
        owners = {int(word) for word in answer.of("owners") or () if _WHOLE.match(word)}
        look = self._look(line, tool)
        if look.uid not in owners:
            raise RefusedError(f"the {tool.kind} belongs to somebody else")
        if look.links != 1:
            raise RefusedError(f"the {tool.kind} is a second name of another file")
        return True

    def _wait(self, line: Line, tool: XdebugTool, name: str, wait_s: float) -> None:
        """Until the file seems to be complete, nobody writes to it any more, or the time is over."""
        deadline_ns = self._clock.monotonic_ns() + int(wait_s * _S)
        seen: tuple[int, int] | None = None
        since_ns, asked, step_s = 0, False, _STEP_S
        while True:
            look, now_ns = self._look(line, tool), self._clock.monotonic_ns()
            if look.locked:
                seen = None
            elif look.state != seen:
                seen, since_ns, asked = look.state, now_ns, False
            steady_ns = now_ns - since_ns
            if seen is not None and not asked and (look.locked is False or steady_ns >= STEADY_S * _S):
                asked = True
                if self._seems_complete(line, tool, name):
                    return
            if now_ns >= deadline_ns or (seen is not None and steady_ns >= QUIET_S * _S):
                return
            self._clock.sleep(step_s)
            step_s = min(step_s * _SLOWER, _LONGEST_STEP_S)

    def _seems_complete(self, line: Line, tool: XdebugTool, name: str) -> bool:
        """By its end; that of a compressed file is seen only when all of it is here."""
        tail = _ask(line, f"tail {_TAIL_BYTES}", cap_bytes=_TAIL_BYTES).data
        return bool(tail) if tool.end is None or name.endswith(".gz") else tool.end.search(tail) is not None

    def _look(self, line: Line, tool: XdebugTool) -> _Look:
        """Raises RefusedError as soon as it is too large."""
        answer = _ask(line, "look")
        look = _parse_look(answer.of("file") or (), answer.of("lock") or ())
        if look is None or not stat.S_ISREG(look.mode):
            raise RefusedError(f"the {tool.kind} is not an ordinary file")
        if look.size_bytes > tool.cap_bytes:
            raise RefusedError(f"the {tool.kind} is larger than {tool.cap_bytes >> 20} MiB")
        return look


def _ask(line: Line, words: str, *, cap_bytes: int = 0) -> Answer:
    answer = line.ask(words, seconds=_ASK_S, cap_bytes=cap_bytes)
    if answer.has("gone"):
        raise _GoneError
    return answer


def _receive(line: Line, tool: XdebugTool, look: _Look, copy: BinaryIO) -> int:
    """All of the open file that there is; the number of bytes. Both ends stop behind the cap. Raises RefusedError."""
    cap_bytes = tool.cap_bytes + 1
    seconds = _ASK_S + look.size_bytes / _COPY_BYTES_PER_S
    line.ask(f"copy {cap_bytes}", seconds=seconds, cap_bytes=cap_bytes, take=copy.write)
    copy.flush()
    size = os.fstat(copy.fileno()).st_size
    if size > tool.cap_bytes:
        raise RefusedError(f"the {tool.kind} is larger than {tool.cap_bytes >> 20} MiB")
    return size


def _parse_look(file: Sequence[str], lock: Sequence[str]) -> _Look | None:
    """From ``MODE UID LINKS SIZE SECONDS DATE TIME ZONE`` as stat(1) prints them."""
    if len(file) < _LOOK_WORDS or not all(_WHOLE.match(word) for word in file[1:5]):
        return None
    try:
        mode = int(file[0][:8], 16)
    except ValueError:
        return None
    locked = {"held": True, "free": False}.get(lock[0] if lock else "")
    return _Look(mode, int(file[1]), int(file[2]), int(file[3]), _nanoseconds(file[4], file[6]), locked)


def _nanoseconds(seconds: str, clock: str) -> int:
    """Of ``%Y`` and the time of ``%y``; where that has no fraction, the end of the second."""
    match = _FRACTION.match(clock)
    return int(seconds) * _S + (_S - 1 if match is None else int(match[1].ljust(9, "0")))


def _names_of_xdebug(listed: bytes) -> list[str]:
    """Names that may cross the line, each once, the last begun first. A name with a line feed in it looks like two, of which
    there may be none: nothing is believed of them but what is found later."""
    names = {line.decode("ascii", "replace") for line in listed.split(b"\n")}
    begun: dict[str, int] = {}
    for name in names:
        if _NAME.match(name) and any(is_name(tool, name) for tool in TOOLS.values()):
            known = next((known for tool in TOOLS.values() if (known := parse_name(tool, name)) is not None), None)
            begun[name] = 0 if known is None else known.started_ns
    return sorted(begun, key=lambda name: (-begun[name], name))


def _entries_told(told: bytes, asked: frozenset[str]) -> Iterator[Entry]:
    """From lines ``SIZE SECONDS DATE TIME ZONE NAME``."""
    for line in told.decode("utf-8", "replace").split("\n"):
        words = line.split(" ")
        if len(words) == _TIMES_WORDS and words[5] in asked and _WHOLE.match(words[0]) and _WHOLE.match(words[1]):
            yield Entry(words[5], int(words[0]), _nanoseconds(words[1], words[3]))


def _batches(names: Sequence[str]) -> Iterator[Sequence[str]]:
    return (names[at : at + _NAMES_AT_ONCE] for at in range(0, len(names), _NAMES_AT_ONCE))
