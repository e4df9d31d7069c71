"""Process ids of containers: small, and used again after every restart."""

from __future__ import annotations

from dataclasses import replace

from harness.model.process import ProcessInfo, ProcessKey
from harness.model.span import BootRecord, RequestRecord
from harness.store.lives import InsidePids, same_pid

SECOND = 1_000_000_000


def info(pid: int, born_s: int, ended_s: int | None = None) -> ProcessInfo:
    ended_ns = None if ended_s is None else ended_s * SECOND
    key = ProcessKey("", pid, born_s * 100)
    return ProcessInfo(key, 1, "python3", "", 33, "web", born_s * SECOND, born_s * SECOND, born_s * SECOND, ended_ns)


def request(pid: int, at_s: float) -> RequestRecord:
    at_ns = int(at_s * SECOND)
    return RequestRecord("python-agent", pid, None, 1, at_ns, at_ns + 1000, None, "GET /", 200, False, {})


class Pool:
    def __init__(self) -> None:
        self.alive = [info(500, 10), info(501, 10)]
        self.inner = {500: 7, 501: 8, 600: 7, 601: 8}
        self.pids = InsidePids(lambda: self.alive, self.inner.get)
        self.pids.look()

    def restart(self, at_s: int) -> None:
        for one in self.alive:
            self.pids.ended(replace(one, ended_ns=at_s * SECOND))
        self.alive = [info(600, at_s + 5), info(601, at_s + 5)]
        self.pids.look()


def test_by_number_and_time() -> None:
    pool = Pool()
    assert pool.pids.outside(7, 20 * SECOND) == 500
    assert pool.pids.outside(9, 20 * SECOND) is None
    assert pool.pids.outside(7, 5 * SECOND) is None, "it was not born yet"
    pool.restart(30)
    assert pool.pids.outside(7, 20 * SECOND) == 500
    assert pool.pids.outside(7, 40 * SECOND) == 600
    assert pool.pids.outside(7, None) == 600
    assert pool.pids.outside(7, 34 * SECOND) is None


def test_a_life_that_began_and_ended_while_the_line_was_down_has_its_records() -> None:
    """All of it is told at once. In a container its id inside could not be asked for any more."""
    for read, found in ((same_pid, 700), ({700: 700}.get, None)):
        pids = InsidePids(list, read)
        pids.ended(info(700, 10, 20))
        assert pids.outside(700, 15 * SECOND) == found
        assert pids.outside(700, 30 * SECOND) is None


def test_two_that_had_the_number_at_once_are_not_guessed_at() -> None:
    pool = Pool()
    pool.alive.append(info(600, 10))
    pool.pids.look()
    assert pool.pids.outside(7, 20 * SECOND) is None
    assert pool.pids.outside(8, 20 * SECOND) == 501


def test_records() -> None:
    pool = Pool()
    placed = pool.pids.placed(request(8, 20))
    assert isinstance(placed, RequestRecord)
    assert placed == replace(request(8, 20), pid=501)
    boot = pool.pids.placed(BootRecord("python-agent", 8, 7, 11 * SECOND, "3.11.2", "gunicorn"))
    assert isinstance(boot, BootRecord)
    assert (boot.pid, boot.ppid) == (501, 500)
    assert pool.pids.placed(request(99, 20)) is None
