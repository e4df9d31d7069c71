"""One look, at trees written here: what is read, what is left out, what happens to files that are not there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from harness.errors import TargetError
from harness.top.look import Looker
from harness.top.model import Process

PAGE = os.sysconf("SC_PAGE_SIZE")
ROLLUP = """\
5555-7fff ---p 00000000 00:00 0    [rollup]
Rss:                {rss} kB
Pss:                {pss} kB
Pss_Anon:           {pss} kB
Pss_File:              0 kB
Pss_Shmem:             0 kB
Private_Clean:         0 kB
Private_Dirty:       {uss} kB
SwapPss:               1 kB
"""


class Machine:
    """A /proc below a directory."""

    def __init__(self, mount: Path) -> None:
        self.mount = mount
        self.write("meminfo", "MemTotal:  1000 kB\nMemFree:  400 kB\n")

    def write(self, name: str, text: str) -> None:
        path = self.mount / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def process(
        self, pid: int, *, pages: int = 100, faults: int = 1, start: int = 50, comm: str = "app", vsize: int = 9
    ) -> None:
        fields = [
            "S",
            "1",
            *["0"] * 5,
            str(faults),
            *["0"] * 9,
            "3",
            "0",
            str(start),
            str(vsize),
            str(pages),
            "0",
            "77",
            "0",
            "88",
        ]
        self.write(f"{pid}/stat", f"{pid} ({comm}) {' '.join(fields)}\n")
        self.write(f"{pid}/status", "Name:\tapp\nUid:\t33\t0\t0\t0\nVmSwap:\t      8 kB\n")
        self.write(f"{pid}/cmdline", f"/bin/{comm}\0--token\0geheim\0")
        self.write(f"{pid}/cgroup", "0::/app.slice\n")
        self.write(f"{pid}/smaps_rollup", ROLLUP.format(rss=400, pss=300, uss=200))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def by_pid(looker: Looker) -> dict[int, Process]:
    return {process.who.pid: process for process in looker.look().processes}


def test_everything_that_is_read(machine: Machine) -> None:
    machine.process(7)
    look = Looker(str(machine.mount)).look()
    (process,) = look.processes
    assert process.who == (7, 50)
    assert (process.rss, process.pss, process.uss, process.swap, process.swap_pss) == (
        400 << 10,
        300 << 10,
        200 << 10,
        8192,
        1024,
    )
    assert (process.uid, process.threads, process.cgroup, process.ppid) == (33, 3, "/app.slice", 1)
    assert (process.name, process.command, process.program) == ("app", "/bin/app --token ***", "app")
    assert process.image == (77, 88)
    assert not process.stale
    assert look.meminfo == {"MemTotal": 1000 << 10, "MemFree": 400 << 10}
    assert look.complete


def test_what_has_no_memory_is_left_out_and_garbage_too(machine: Machine) -> None:
    machine.process(1)
    machine.process(2, vsize=0)  # a kernel thread
    machine.write("3/stat", "garbage")
    machine.write("4/comm", "no stat: gone")
    assert set(by_pid(Looker(str(machine.mount)))) == {1}


def test_page_tables_that_may_not_be_read_leave_rss(machine: Machine) -> None:
    machine.process(7)
    rollup = machine.mount / "7" / "smaps_rollup"
    rollup.unlink()
    rollup.mkdir()  # EISDIR: an error that says nothing about the process being gone
    (process,) = Looker(str(machine.mount)).look().processes
    assert (process.rss, process.pss, process.uss) == (100 * PAGE, None, None)


def test_before_4_14_smaps_are_summed(machine: Machine) -> None:
    machine.process(7)
    (machine.mount / "7" / "smaps_rollup").rename(machine.mount / "7" / "smaps")
    (process,) = Looker(str(machine.mount)).look().processes
    assert process.pss == 300 << 10


def test_a_process_that_ends_while_it_is_read_is_skipped(machine: Machine) -> None:
    machine.process(7)
    machine.process(8)
    looker = Looker(str(machine.mount))

    def ends(process: Process) -> bool:
        if process.who.pid == 8:
            shutil.rmtree(machine.mount / "8")
        return True

    assert [process.who.pid for process in looker.look(ends).processes] == [7]


def test_a_title_a_reused_pid_and_a_vanished_one_are_seen_at_the_next_look(machine: Machine) -> None:
    machine.process(7)
    machine.process(8)
    looker = Looker(str(machine.mount))
    looker.look()
    machine.process(7, start=99, comm="other")
    shutil.rmtree(machine.mount / "8")
    (process,) = looker.look().processes
    assert (process.who, process.command) == ((7, 99), "/bin/other --token ***")


def test_with_a_budget_a_process_that_did_not_move_keeps_its_walk(machine: Machine) -> None:
    machine.process(7)
    looker = Looker(str(machine.mount), share=1.0, interval_ns=1_000_000_000)
    first = by_pid(looker)[7]
    machine.write("7/smaps_rollup", ROLLUP.format(rss=800, pss=700, uss=600))
    second = by_pid(looker)[7]
    assert (second.pss, second.stale) == (300 << 10, False)
    assert second.known_ns > first.known_ns  # nothing has moved, so it is true of now
    machine.process(7, faults=2)
    machine.write("7/smaps_rollup", ROLLUP.format(rss=800, pss=700, uss=600))
    assert by_pid(looker)[7].pss == 700 << 10


def test_beyond_the_budget_the_old_walk_is_shown_and_marked(machine: Machine) -> None:
    machine.process(7)
    looker = Looker(str(machine.mount), share=1e-9, interval_ns=1)
    first = by_pid(looker)[7]
    machine.process(7, pages=200, faults=2)
    process = by_pid(looker)[7]
    assert process.known_ns == first.known_ns
    assert (process.pss, process.stale, process.rss) == (300 << 10, True, 200 * PAGE)


def test_without_a_budget_all_are_walked_at_every_look(machine: Machine) -> None:
    machine.process(7)
    looker = Looker(str(machine.mount))
    looker.look()
    machine.write("7/smaps_rollup", ROLLUP.format(rss=800, pss=700, uss=600))
    assert by_pid(looker)[7].pss == 700 << 10


def test_a_selection_is_walked_alone_but_families_are_of_all(machine: Machine) -> None:
    machine.process(7)
    machine.process(8)
    look = Looker(str(machine.mount)).look(lambda process: process.who.pid == 8)
    assert [process.who.pid for process in look.processes] == [8]
    assert not look.complete
    assert len(look.families) == 2


def test_no_meminfo_is_unknown(machine: Machine) -> None:
    machine.process(7)
    (machine.mount / "meminfo").unlink()
    assert Looker(str(machine.mount)).look().meminfo == {}


def test_no_processes_at_all_is_an_error_with_a_next_step(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="no process can be read") as caught:
        Looker(str(tmp_path)).look()
    assert caught.value.hint is not None
