"""Rows: sums, unknown parts, order."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from looks import MIB, look, process

from harness.top.grouping import snapshot, total
from harness.top.model import By, Process, Sort, Sum


def name(uid: int) -> str:
    return {0: "root", 33: "www-data"}.get(uid, str(uid))


@dataclass
class Machine:
    processes: list[Process]

    def rows(self, by: By = By.PROCESS, sort: Sort = Sort.PSS) -> list[str]:
        return [row.name for row in snapshot(look(self.processes), None, by, sort, name).rows]


def test_unknown_is_counted_and_never_zero() -> None:
    assert total([]) == Sum(0, 0)
    assert total([1, None, 2]) == Sum(3, 1)
    assert total([None, None]) == Sum(None, 2)
    assert total([0]) == Sum(0, 0)
    assert (Sum(3, 1).total, Sum(3, 0).total, Sum(None, 2).total) == (None, 3, None)


@given(
    st.lists(
        st.tuples(st.none() | st.integers(0, 2**40), st.integers(0, 3), st.sampled_from(["/a", "/b", None])),
        max_size=20,
    ),
    st.sampled_from(By),
    st.sampled_from(Sort),
)
def test_every_grouping_has_the_same_totals(
    parts: list[tuple[int | None, int, str | None]], by: By, sort: Sort
) -> None:
    members = [process(i + 1, pss, uid=uid, cgroup=cgroup) for i, (pss, uid, cgroup) in enumerate(parts)]
    shown = snapshot(look(members), None, by, sort, name)
    assert sum(row.processes for row in shown.rows) == shown.totals.processes == len(members)
    assert sum(row.pss.known or 0 for row in shown.rows) == (shown.totals.pss.known or 0)
    assert sum(row.pss.missing for row in shown.rows) == shown.totals.pss.missing
    assert sum(row.rank for row in shown.rows) == shown.totals.rank


def test_groups() -> None:
    processes = [
        process(10, MIB, uid=0, cgroup="/system", program="nginx", command="nginx: master process"),
        process(11, MIB, uid=33, cgroup="/system", ppid=10, program="nginx", command="nginx: worker process"),
        process(12, 3 * MIB, uid=33, cgroup="/docker/1", program="x"),
        process(13, 9 * MIB, uid=None, cgroup=None, program="y"),
    ]
    machine = Machine(processes)
    assert machine.rows() == ["/bin/p13", "/bin/p12", "nginx: master process", "nginx: worker process"]
    assert machine.rows(By.POOL) == ["/bin/p13", "/bin/p12", "nginx: master process"]
    assert machine.rows(By.CGROUP) == ["(unknown control group)", "/docker/1", "/system"]
    assert machine.rows(By.USER) == ["(unknown user)", "www-data", "root"]
    pool = snapshot(look(processes), None, By.POOL, Sort.PSS, name).rows[-1]
    assert (pool.pid, pool.processes, pool.user, pool.pss) == (10, 2, None, Sum(2 * MIB, 0))


def test_names_of_users_and_groups_are_made_printable() -> None:
    hostile = process(1, cgroup="/a\x1b[31m\nb", uid=7)
    shown = look([hostile])
    assert snapshot(shown, None, By.CGROUP, Sort.PSS, name).rows[0].name == "/a\\x1b[31m\\x0ab"
    assert snapshot(shown, None, By.USER, Sort.PSS, lambda uid: "\u202eevil").rows[0].name == "\\u202eevil"


@pytest.mark.parametrize(
    ("sort", "pids"),
    [
        (Sort.PSS, [3, 1, 2]),  # the unknown one is ranked by its RSS
        (Sort.USS, [1, 2, 3]),
        (Sort.RSS, [3, 1, 2]),
        (Sort.SWAP, [2, 3, 1]),
        (Sort.GROWTH, [2, 1, 3]),
        (Sort.PID, [1, 2, 3]),
        (Sort.NAME, [2, 3, 1]),
    ],
)
def test_orders(sort: Sort, pids: list[int]) -> None:
    then = look([process(1, 5 * MIB), process(2, 2 * MIB)])
    now = look(
        [
            process(1, 6 * MIB, at_s=60, swap=None, command="c"),
            process(2, 4 * MIB, at_s=60, swap=7, command="A"),
            process(3, None, rss=20 * MIB, command="b"),
        ],
        at_s=60,
    )
    assert [row.pid for row in snapshot(now, then, By.PROCESS, sort, name).rows] == pids


def test_growth_of_all_is_in_the_totals() -> None:
    now, then = look([process(1, 3 * MIB, at_s=60), process(2, MIB)], at_s=60), look([process(1, MIB)])
    shown = snapshot(now, then, By.USER, Sort.PSS, name)
    assert shown.totals.growth == (3 * MIB, "pss")
    assert shown.rows[0].growth == shown.totals.growth
    assert shown.growth_over_ns == 60_000_000_000
