"""Looks at the heap in a copy of the process, made by fork: the application pauses for some ms instead of seconds, keeps its
memory shared, and cannot be crashed by a tool that reads the interpreter's internals.

    application -> middle (gone at once) -> watcher (says how the copy ended) -> copy (does the work)

The middle is reaped before the application goes on, so the application has no child it did not start. The watcher and the copy
hold none of its files: a port is free again when the application ends, and whoever reads its output sees the end of it.
Threads do not exist in the copy; a native library whose lock another thread held may hang there, and then the alarm ends it.
See fork(2), "only the thread that called fork".
"""

import _signal
import gc
import os
import posix  # not os: gevent puts its own fork and waitpid there, which would watch our child
import select
import struct
import sys
import time

from . import headroom
from .recorder import get_ident  # bound at boot, before gevent could replace it
from .results import ToolError

try:
    import resource
except ImportError:
    resource = None  # type: ignore[assignment]  # an interpreter built without it

LIMIT_S = 90
UNREAD_S = 3600  # how long an answer may wait for its reader: for as long as a measured job takes
_SPARE_BYTES = 64 << 20
_ENDS = (_signal.SIGTERM, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGHUP, _signal.SIGALRM, _signal.SIGCHLD,
         _signal.SIGSEGV, _signal.SIGBUS, _signal.SIGABRT, _signal.SIGILL, _signal.SIGFPE)  # fmt: skip

_spent_ns = 0
_adopted: "list[int]" = []  # copies whose parent we have become, as the first process of a container or a subreaper


def run(recorder, work, failed, keep=()):
    """Call ``work()`` in a copy of this process and return at once.

    When the copy ends before ``work`` has returned, ``failed(reason)`` is called in another process. ``keep``: descriptors that
    both need. ToolError when no copy can be made.
    """
    _fork(recorder, work, failed, keep)


def ask(recorder, work):
    """A descriptor for `answer`, to read what ``work()`` returned (bytes) in a copy of this process; it need not be read."""
    reading, writing = os.pipe()
    try:
        _fork(
            recorder,
            lambda: _say_all(writing, work()),
            lambda reason: _say(writing, _FAILED, reason.encode("utf-8", "replace")),
            (writing,),
        )
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    return reading


def answer(descriptor):
    """All that a copy said (bytes), once it has said it; ToolError with the reason when it could not. Closes the descriptor."""
    try:
        return _hear(descriptor)
    finally:
        os.close(descriptor)


def close(descriptor):
    """Do without an answer."""
    try:
        os.close(descriptor)
    except OSError:
        pass  # a daemon closes what it does not know


def spent_ns():
    """How long forks have held this process up since the last call; also in the copies, of the forks that made them."""
    global _spent_ns
    spent, _spent_ns = _spent_ns, 0
    return spent


# Frames are written whole (pipe(7), PIPE_BUF), so a copy that dies leaves no half of one before what the watcher says. Their
# last one counts, not the end of file: a process that the application forked at the wrong moment may hold the other end.
_HEAD = struct.Struct("=cH")
_PART_BYTES = select.PIPE_BUF - _HEAD.size
_DATA, _END, _FAILED = b"d", b"e", b"f"


def _say(descriptor, kind, data):
    for start in range(0, max(1, len(data)), _PART_BYTES):
        part = data[start : start + _PART_BYTES]
        os.write(descriptor, _HEAD.pack(kind, len(part)) + part)


def _say_all(descriptor, data):
    """In the copy, whose work is done: what does not fit into the pipe waits for the reader, and that is no work."""
    _signal.alarm(UNREAD_S)
    _say(descriptor, _DATA, data)
    _say(descriptor, _END, b"")


def _hear(descriptor):
    parts: "list[bytes]" = []
    while True:
        kind, size = _HEAD.unpack(_read(descriptor, _HEAD.size))
        part = _read(descriptor, size)
        if kind == _END:
            return b"".join(parts)
        if kind == _FAILED:
            raise ToolError(part.decode("utf-8", "replace"))
        parts.append(part)


def _read(descriptor, size):
    data = b""
    while len(data) < size:
        part = os.read(descriptor, size - len(data))
        if not part:
            raise ToolError("a copy of the process ended without a word")
        data += part
    return data


# --- in the application ----------------------------------------------------------------------------------------------


def _fork(recorder, work, failed, keep):
    global _spent_ns
    _check_memory(recorder)
    _quiet_warning()
    _reap_adopted()
    told, tells = os.pipe()  # we tell the copy how long it took
    hears, says = os.pipe()  # the middle says which process the watcher is
    mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, ())
    try:
        # No handler of the application's may run in a child, nor raise here between a fork and its end.
        _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
        started = time.monotonic_ns()
        _reap(_fork_middle(recorder, _Work(recorder, work, failed, told, keep), says))
        pause_ns = time.monotonic_ns() - started
        os.close(says)
        says = -1
        watcher = int(os.read(hears, 16) or 0)
        if not watcher:
            raise ToolError("no copy of the process could be made: the second fork failed")
        _spent_ns += pause_ns
        os.write(tells, b"%d" % _spent_ns)
        _adopted.append(watcher)
        _reap_adopted()
    except OSError as error:
        raise ToolError("no copy of the process could be made: %s" % error.strerror) from None
    finally:
        for fd in (told, tells, hears, says):
            if fd >= 0:
                os.close(fd)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)


def _fork_middle(recorder, work, says):
    own = posix.getpid()
    try:
        recorder.copier = get_ident()  # for hooks at fork
        child = posix.fork()
        if child == 0:
            _middle(work, says)
    finally:
        if posix.getpid() != own:
            posix._exit(1)  # whatever happened: the application goes on in one process only
        recorder.copier = None
    return child


def _reap(child):
    try:
        _wait(child)
    except BaseException:  # a handler of the application's raised, started before signals were blocked
        _wait(child)
        raise
    finally:
        _swallow_sigchld(child)


def _wait(child):
    try:
        posix.waitpid(child, 0)
    except ChildProcessError:
        pass  # the application ignores SIGCHLD, or reaps every child it hears of


def _swallow_sigchld(child):
    """That our child ended is no news for the application. SIGCHLD is blocked in this thread; where another thread takes it
    first, the application's handler runs and finds no child."""
    news = _signal.sigtimedwait((_signal.SIGCHLD,), 0)
    if news is None:
        return
    try:
        flags = posix.WEXITED | posix.WSTOPPED | posix.WCONTINUED | posix.WNOHANG | posix.WNOWAIT
        others = posix.waitid(posix.P_ALL, 0, flags) is not None  # such signals do not queue: theirs may be in ours
    except ChildProcessError:
        others = False
    if others or news.si_pid != child:
        os.kill(posix.getpid(), _signal.SIGCHLD)


def _reap_adopted():
    for pid in list(_adopted):
        try:
            gone = posix.waitpid(pid, posix.WNOHANG)[0] != 0
        except ChildProcessError:  # somebody else's, as it should be
            gone = True
        if gone:
            _adopted.remove(pid)


def _quiet_warning():
    """3.12 and later warn of a fork where there are threads; where warnings are errors, fork would fail after it succeeded."""
    if sys.version_info >= (3, 12):
        import warnings

        warnings.filterwarnings("ignore", category=DeprecationWarning, module=__name__.replace(".", r"\.") + r"\Z")


def _check_memory(recorder):
    """A copy that touches every page needs as much again, and some for its work; where that is not to be had, the application
    would be the victim."""
    rss, available = recorder.rss_bytes(), headroom.available_bytes()
    if rss is None or available is None:
        return
    needed = rss + rss // 4 + _SPARE_BYTES
    if available < needed:
        raise ToolError(
            "a copy of the process may need %d MiB, and %d MiB are available" % (needed >> 20, available >> 20)
        )


# --- in the other processes ------------------------------------------------------------------------------------------


class _Work:
    """What the copy is to do."""

    def __init__(self, recorder, work, failed, told, keep):
        self.recorder = recorder
        self.work = work
        self.failed = failed
        self.told = told
        self.keep = keep
        self.pid = posix.getpid()

    def learn_pause(self):
        """How long the application waited, it says once it knows."""
        global _spent_ns
        _spent_ns = int(os.read(self.told, 32) or _spent_ns)


def _middle(work, says):
    try:
        watcher = posix.fork()
        if watcher == 0:
            _watcher(work)
        os.write(says, b"%d" % watcher)
    except BaseException:
        os.write(says, b"0")
    finally:
        posix._exit(0)


def _watcher(work):
    try:
        _detach(work)
        _signal.alarm(LIMIT_S + 5)
        copy = posix.fork()
        if copy == 0:
            _copy(work)
        status = posix.waitpid(copy, 0)[1]
        if status:
            work.learn_pause()
            work.failed(_reason(status))
    except BaseException:
        pass
    finally:
        posix._exit(0)


def _copy(work):
    status = 1
    try:
        _signal.alarm(LIMIT_S)
        _prefer_for_oom()
        work.learn_pause()
        work.work()
        status = 0
    except BaseException:
        pass
    finally:
        posix._exit(status)


def _reason(status):
    if not posix.WIFSIGNALED(status):
        return "looking at the heap failed in the copy of the process"
    number = posix.WTERMSIG(status)
    if number == _signal.SIGALRM:
        return "looking at the heap took longer than %d s" % LIMIT_S
    because = " (memory was short, or somebody ended it)" if number == _signal.SIGKILL else ""
    return "the copy of the process that looked at the heap was ended by signal %d%s" % (number, because)


def _detach(work):
    """Make a forked process one that cannot act for the application: no signals, no files, no threads, no collections."""
    recorder = work.recorder
    recorder.speaks_for = work.pid
    _signal.set_wakeup_fd(-1)  # it is shared with the application's event loop
    for number in _signal.valid_signals():
        handler = _signal.getsignal(number)
        if number in _ENDS:
            handler = _signal.SIG_DFL
        elif handler not in (_signal.SIG_DFL, _signal.SIG_IGN):
            handler = _signal.SIG_IGN  # such as "reopen your logs", sent to the whole group
        try:
            _signal.signal(number, handler)
        except OSError:
            pass  # SIGKILL, SIGSTOP
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
    gc.disable()
    gc.collect = lambda generation=2: 0  # garbage may have finalizers, and the application will run them itself
    sys.settrace(None)
    sys.setprofile(None)
    sys.setswitchinterval(3600.0)  # threads that a library's at-fork hook started hardly get a turn
    os.nice(5)
    if resource is not None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    _close_files({recorder.fd, recorder.statm, work.told, *work.keep})


def _prefer_for_oom():
    try:
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        try:
            os.write(fd, b"1000")
        finally:
            os.close(fd)
    except OSError:
        pass


def _close_files(keep):
    """Put /dev/null in place of every descriptor: a closed number could be given to us and then be closed by an object of the
    application's that dies here."""
    try:
        numbers = [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        numbers = list(range(1024))
    try:
        null = os.open(os.devnull, os.O_RDWR)
    except OSError:  # a bare root directory
        null = -1
    for number in numbers:
        if number in keep or number == null:
            continue
        try:
            if null >= 0:
                os.fstat(number)  # was it the one that the listing used?
                os.dup2(null, number)
            elif number > 2:
                os.close(number)
        except OSError:
            pass
