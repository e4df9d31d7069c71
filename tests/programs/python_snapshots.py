"""What a copy of the process must not do to the application, one case an argument; prints ``fine`` or a traceback.

Standard library and the agent's own modules, so it runs on every Python from 3.8 on. With ``-W error`` a warning would show.
"""

import contextlib
import gc
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from adapters.python.agent import snapshot
from adapters.python.agent.recorder import Recorder
from adapters.python.agent.results import ToolError

recorder = Recorder(os.devnull)


def refused(work):
    """The reason why there is no answer."""
    try:
        snapshot.answer(snapshot.ask(recorder, work))
    except ToolError as error:
        return str(error)
    raise AssertionError("an answer")


def no_children():
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return True
    return False


class Held:
    """A copy that has begun and does not end before `release`."""

    def __init__(self):
        said, says = os.pipe()
        go, self._goes = os.pipe()

        def work():
            os.write(says, b"%d\n" % os.getpid())
            os.read(go, 1)
            os.write(says, b"done")

        snapshot.run(recorder, work, lambda reason: None, (says, go))
        self._said = said
        self.pid = int(os.read(said, 32))

    def release(self):
        os.write(self._goes, b"x")
        assert os.read(self._said, 32) == b"done"


def answers():
    """Of any size, longer than a pipe holds and than a frame; the application has no child afterwards."""
    for size in (0, 1, 4000, 4096, 300_000):
        data = os.urandom(size)
        assert snapshot.answer(snapshot.ask(recorder, lambda data=data: data)) == data
        assert no_children()
    spent = snapshot.spent_ns()
    assert 0 < spent < time.monotonic_ns()
    assert snapshot.spent_ns() == 0


def unread():
    """An answer that nobody wants holds nobody up."""
    os.close(snapshot.ask(recorder, lambda: bytes(1_000_000)))
    assert no_children()


def read_late():
    """An answer larger than a pipe is whole when its reader comes later than a copy may work."""
    snapshot.LIMIT_S = 1
    answer = snapshot.ask(recorder, lambda: bytes(1_000_000))
    time.sleep(1.5)  # past the limit
    assert snapshot.answer(answer) == bytes(1_000_000)


def reasons():
    """How a copy ended is told."""
    snapshot.LIMIT_S = 1
    assert refused(lambda: os.kill(os.getpid(), signal.SIGSEGV)) == (
        "the copy of the process that looked at the heap was ended by signal 11"
    )
    assert "signal 9 (memory was short, or somebody ended it)" in refused(lambda: os.kill(os.getpid(), signal.SIGKILL))
    assert refused(lambda: 1 // 0) == "looking at the heap failed in the copy of the process"
    assert refused(lambda: os._exit(5)) == "looking at the heap failed in the copy of the process"
    assert refused(signal.pause) == "looking at the heap took longer than 1 s"
    # A large answer of which the half has been written.
    assert "signal 11" in refused(Dying)
    assert no_children()


class Dying(bytes):
    """Bytes that end the process when the second part of them is asked for."""

    def __len__(self):
        return 1_000_000

    def __getitem__(self, part):
        if part.start:
            os.kill(os.getpid(), signal.SIGSEGV)
        return bytes(part.stop)


def reported():
    """The other process that learns of it speaks for this one."""
    said, says = os.pipe()

    def failed(reason):
        os.write(says, f"{reason} {recorder.speaks_for}".encode())

    own = os.getpid()
    snapshot.run(recorder, lambda: os.kill(os.getpid(), signal.SIGSEGV), failed, (says,))
    assert os.read(said, 200) == b"the copy of the process that looked at the heap was ended by signal 11 %d" % own
    assert recorder.speaks_for is None
    assert not recorder.copying


def files():
    """The copy holds none of the application's files: its port is free, and whoever reads its output sees the end."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(1)
    port = listener.getsockname()[1]
    output, own_output = os.pipe()
    held = Held()
    listener.close()
    os.close(own_output)
    with socket.socket() as again:
        again.bind(("127.0.0.1", port))
    assert os.read(output, 1) == b""
    targets = {os.readlink(f"/proc/{held.pid}/fd/{n}") for n in (0, 1, 2)}  # noqa: PTH115  (Path.readlink came with 3.9)
    assert targets == {os.devnull}, targets
    held.release()


def orphaned():
    """The copy lives on when the application has ended, and nobody waits for it: the test reads our output to its end."""
    said, says = os.pipe()
    snapshot.run(recorder, lambda: os.write(says, b"%d" % os.getpid()) and signal.pause(), lambda reason: None, (says,))
    sys.stdout.write(os.read(said, 32).decode() + " ")


def signals():
    """The application's handlers do not run in the copy; it ends by what would end the application."""
    heard: list[int] = []
    read_end, wakeup = socket.socketpair()
    for end in (read_end, wakeup):
        end.setblocking(False)
    signal.set_wakeup_fd(wakeup.fileno())
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, lambda number, frame: heard.append(number))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    held = Held()
    os.kill(held.pid, signal.SIGUSR1)
    held.release()
    assert "signal 15" in refused(lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert not heard
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
    with contextlib.suppress(BlockingIOError):
        raise AssertionError(read_end.recv(1))
    signal.set_wakeup_fd(-1)
    read_end.close()
    wakeup.close()


def sigchld():
    """The application does not hear of our child, and still hears of its own, even when both end at once."""
    heard = []
    signal.signal(signal.SIGCHLD, lambda number, frame: heard.append(os.waitpid(-1, os.WNOHANG)[0]))
    assert snapshot.answer(snapshot.ask(recorder, lambda: b"x")) == b"x"
    assert heard == []

    wait, go = os.pipe()
    own = os.fork()
    if own == 0:
        os.close(go)
        os.read(wait, 1)
        os._exit(0)
    ended: list[bool] = []
    here = os.getpid()

    def end_it():
        if os.getpid() != here or not recorder.copying or ended:
            return
        ended.append(True)
        os.close(go)
        os.waitid(os.P_PID, own, os.WEXITED | os.WNOWAIT)

    os.register_at_fork(after_in_parent=end_it)
    assert snapshot.answer(snapshot.ask(recorder, lambda: b"x")) == b"x"
    assert ended
    assert heard == [own]


def ignored():
    """Where children are reaped by the kernel."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    assert snapshot.answer(snapshot.ask(recorder, lambda: b"x")) == b"x"
    assert no_children()


def collections():
    """No finalizer of the application's runs in the copy by a collection."""
    said, says = os.pipe()

    class Garbage:
        def __del__(self):
            os.write(says, b"finalized")

    gc.disable()
    cycle = Garbage()
    cycle.itself = cycle
    del cycle

    def work():
        gc.set_threshold(1)
        gc.enable()
        gc.disable()
        return b"%d" % gc.collect()

    reading, writing = os.pipe()
    snapshot.run(recorder, lambda: os.write(writing, work()), lambda reason: None, (writing, says))
    assert os.read(reading, 10) == b"0"
    os.set_blocking(said, False)
    with contextlib.suppress(BlockingIOError):
        raise AssertionError(os.read(said, 20))
    assert gc.collect() >= 1


def threads():
    """Forks from a thread while others run, allocate and fork; the copy is not disturbed by threads that hooks start in it."""
    stop = threading.Event()
    counted = []

    def busy():
        while not stop.is_set():
            counted.append([bytes(100) for _ in range(100)])
            counted.clear()

    def forking():
        while not stop.is_set():
            pid = os.fork()
            if pid == 0:
                os._exit(1 if recorder.copying else 0)
            assert os.waitpid(pid, 0)[1] == 0, "a child of the application's took itself for a copy"

    others = [threading.Thread(target=busy) for _ in range(3)] + [threading.Thread(target=forking)]
    if sys.version_info >= (3, 12):  # the application's own fork warns as well
        import warnings

        warnings.filterwarnings("ignore", category=DeprecationWarning, module="__main__")
    os.register_at_fork(after_in_child=lambda: threading.Thread(target=time.sleep, args=(30,), daemon=True).start())
    for thread in others:
        thread.start()
    try:
        for _ in range(10):
            assert snapshot.answer(snapshot.ask(recorder, lambda: b"x")) == b"x"
    finally:
        stop.set()
        for thread in others:
            thread.join()
    assert no_children()


def refusals():
    """When it cannot be made, nothing is left behind."""
    before = sorted(os.listdir("/proc/self/fd"))
    snapshot.headroom.available_bytes = lambda: 1 << 20
    assert "a copy of the process may need" in refused(lambda: b"x")
    snapshot.headroom.available_bytes = lambda: None
    import resource

    if os.geteuid() != 0:  # root's processes are not limited in number
        soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
        resource.setrlimit(resource.RLIMIT_NPROC, (0, hard))
        assert "no copy of the process could be made" in refused(lambda: b"x")
        resource.setrlimit(resource.RLIMIT_NPROC, (soft, hard))
    assert snapshot.answer(snapshot.ask(recorder, lambda: b"x")) == b"x"
    assert sorted(os.listdir("/proc/self/fd")) == before


CASES = {
    case.__name__: case
    for case in (
        answers, unread, read_late, reasons, reported, files, orphaned, signals, sigchld, ignored, collections, threads, refusals,
    )
}  # fmt: skip

if __name__ == "__main__":
    CASES[sys.argv[1]]()
    sys.stdout.write("fine\n")
