"""smaps by class: every class on text and on real processes; both ways of parsing; bounded memory."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.metric import describe
from harness.sampling.sources import pid_smaps, pid_smaps_classes, pieces
from harness.sampling.sources.pid_smaps_classes import CLASSES, MappedNames, SmapsClasses

KIB, MIB = 1024, 1 << 20
FIXTURES = Path(__file__).parents[3] / "fixtures" / "proc"
SMAPS = sorted(path.relative_to(FIXTURES) for path in FIXTURES.glob("*/*/smaps"))
ORDER = (
    "Size", "KernelPageSize", "Rss", "Pss", "Shared_Dirty", "Private_Clean", "Private_Dirty", "Anonymous", "AnonHugePages",
    "Private_Hugetlb", "Swap", "SwapPss",
)  # fmt: skip


def entry(
    start: int, kib: int, access: str = "rw-p", name: str = "", inode: int = 0, flags: str = "ac", **fields: int
) -> str:
    """One mapping as the kernel prints it."""
    identity = f"fe:00 {inode}" if inode else "00:00 0"
    values = {"Size": kib, "Rss": kib, "Pss": kib, "Private_Dirty": kib, **fields}
    lines = "".join(f"{field}:{values.get(field, 0):16} kB\n" for field in ORDER)
    header = f"{start:x}-{start + kib * KIB:x} {access} 00000000 {identity}".ljust(73)
    return f"{header}{name}\n{lines}VmFlags: rd wr mr mw me {flags} \n"


def classes(*entries: str) -> dict[str, int]:
    """Class -> Rss in KiB."""
    found = pid_smaps_classes.parse("".join(entries).encode())
    assert found is not None
    return {kind: (sums.rss or 0) // KIB for kind, sums in found.classes.items()}


def line_by_line(data: bytes, monkeypatch: pytest.MonkeyPatch) -> SmapsClasses | None:
    """The fallback alone."""
    with monkeypatch.context() as patch:
        patch.setattr(pid_smaps_classes, "_entry_pattern", lambda _: None)
        return pid_smaps_classes.parse(data)


PROGRAM = entry(0x55AA00000000, 4, "r-xp", "/usr/bin/php8.2", 5)
OPCACHE = entry(0x7F0000900000, 4, "r-xp", "/usr/lib/php/20220829/opcache.so", 900)


@pytest.mark.parametrize(
    ("access", "name", "inode", "kind"),
    [
        ("rw-p", "[heap]", 0, "heap"),
        ("rw-p", "[stack]", 0, "main_stack"),
        ("rw-p", "[stack:1234]", 0, "thread_stack"),
        ("rw-p", "[anon: glibc: pthread stack: 77]", 0, "thread_stack"),
        ("rw-p", "[anon:zend_fiber_stack]", 0, "thread_stack"),
        ("---p", "[anon:zend_fiber_stack]", 0, "reserved"),
        ("rw-p", "[anon: glibc: malloc arena]", 0, "anonymous"),
        ("rw-p", "", 0, "anonymous"),
        ("r--p", "", 0, "anonymous"),
        ("---p", "", 0, "reserved"),
        ("rwxp", "", 0, "jit"),
        ("r-xp", "[anon:jit]", 0, "jit"),
        ("rw-s", "", 0, "shared_anonymous"),
        ("rw-s", "/dev/zero (deleted)", 9, "shared_anonymous"),
        ("rw-s", "[anon_shmem:table]", 9, "shared_anonymous"),
        ("r-xs", "/dev/zero (deleted)", 9, "jit"),
        ("rw-p", "/dev/zero", 9, "anonymous"),
        ("rw-p", "/anon_hugepage (deleted)", 9, "anonymous"),
        ("rw-s", "/anon_hugepage (deleted)", 9, "shared_anonymous"),
        ("rw-s", "/memfd:pool (deleted)", 9, "memfd"),
        ("r-xs", "/memfd:sljit (deleted)", 9, "jit"),
        ("rw-s", "/dev/shm/psm_1", 9, "shm"),
        ("rw-s", "/SYSV0000002a (deleted)", 9, "sysv"),
        ("r-xp", "[vdso]", 0, "vdso"),
        ("r--p", "[vvar_vclock]", 0, "vdso"),
        ("--xp", "[vsyscall]", 0, "vdso"),
        ("r--p", "/usr/lib/libx.so.1.2", 9, "library"),
        ("r--p", "/usr/lib/_ssl.cpython-311-x86_64-linux-gnu.so (deleted)", 9, "library"),
        ("r-xp", "/opt/plugin.bin", 9, "library"),
        ("r--p", "/usr/lib/locale/locale-archive", 9, "data_file"),
        ("rw-s", "/srv/a.so.db", 9, "data_file"),
        ("r--p", "/etc/ld.so.cache", 9, "data_file"),
        ("rw-s", "/tmp/apc.Ab12Cd (deleted)", 9, "data_file"),
        ("rw-s", "/dev/shm/apc.shm.Ab12Cd", 9, "shm"),
        ("rwxp", "/tmp/ffiAb12Cd (deleted)", 9, "jit"),
        ("rw-s", "anon_inode:[io_uring]", 9, "other"),
        ("rw-s", "/[aio] (deleted)", 9, "other"),
        ("rw-s", "/dev/dri/card0", 9, "other"),
        ("rw-s", "[something new]", 0, "other"),
    ],
)
def test_every_class(access: str, name: str, inode: int, kind: str) -> None:
    assert classes(PROGRAM, entry(0x7F0000000000, 40, access, name, inode)) == {kind: 40, "executable": 4}
    assert kind in CLASSES


@pytest.mark.parametrize(
    ("access", "name"),
    [
        ("rw-s", "/dev/zero (deleted)"),
        ("rw-s", "/tmp/apc.Ab12Cd (deleted)"),
        ("rw-s", "/tmp/.ZendSem.Ab12Cd (deleted)"),
        ("rw-s", "/dev/shm/ZendAccelerator.9"),
    ],
)
def test_shared_memory_of_php(access: str, name: str) -> None:
    found = classes(PROGRAM, entry(0x7F0000000000, 40, access, name, 9), OPCACHE)
    assert found == {"executable": 4, "opcache_apcu": 40, "library": 4}


def test_the_jit_buffer_in_opcaches_segment_is_told_apart() -> None:
    segment = entry(0x7F0000000000, 64, "rw-s", "/dev/zero (deleted)", 9)
    code = entry(0x7F0000010000, 16, "r-xs", "/dev/zero (deleted)", 9)
    assert classes(PROGRAM, segment, code, OPCACHE) == {"executable": 4, "opcache_apcu": 64, "jit": 16, "library": 4}


def test_pages_of_an_image_belong_to_it_whatever_their_access() -> None:
    parts = [
        entry(0x7F0000000000 + n * MIB, 8, access, "/usr/lib/plugin", 9)
        for n, access in enumerate(("r--p", "r-xp", "rw-p"))
    ]
    assert classes(PROGRAM, *parts) == {"executable": 4, "library": 24}


def test_a_writable_alias_of_generated_code() -> None:
    name = "/memfd:doublemapper (deleted)"
    assert classes(PROGRAM, entry(0x7F0000000000, 8, "rw-s", name, 9), entry(0x7F0000100000, 8, "r-xs", name, 9)) == {
        "executable": 4, "jit": 16,
    }  # fmt: skip


GUARD = entry(0x7F0000000000, 4, "---p", Rss=0)
ABOVE = 0x7F0000001000


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ((GUARD, entry(ABOVE, 8192)), {"reserved": 0, "thread_stack": 8192}),
        ((GUARD, entry(ABOVE, 12)), {"reserved": 0, "thread_stack": 12}),
        ((GUARD, entry(ABOVE, 8)), {"reserved": 0, "anonymous": 8}),
        ((GUARD, entry(ABOVE + 4096, 8192)), {"reserved": 0, "anonymous": 8192}),
        ((GUARD, entry(ABOVE, 8192, "rwxp")), {"reserved": 0, "jit": 8192}),
        # the full arena below ends in a page without access, the next begins at a multiple of 64 MiB
        ((entry(0x7F0003FFF000, 4, "---p", Rss=0), entry(0x7F0004000000, 132)), {"reserved": 0, "anonymous": 132}),
        # the unused rest of an arena is no guard
        ((entry(0x7F0000000000, 65404, "---p", Rss=0), entry(0x7F0003FDF000, 132)), {"reserved": 0, "anonymous": 132}),
    ],
)
def test_thread_stacks_by_shape(entries: tuple[str, ...], expected: dict[str, int]) -> None:
    assert classes(*entries) == expected


ARENA = 0x7F0004000000


@pytest.mark.parametrize(
    ("entries", "arenas"),
    [
        ((entry(ARENA, 132), entry(ARENA + 132 * KIB, 65404, "---p", Rss=0)), 132),
        ((entry(ARENA, 132, name="[anon: glibc: malloc arena]"), entry(ARENA + 132 * KIB, 65404, "---p", Rss=0)), 132),
        ((entry(ARENA, 65536, flags="nr ac"),), 65536),  # all of it in use
        ((entry(ARENA, 65536),), None),  # a mapping as large, which happens to lie there
        ((entry(ARENA, 132), entry(ARENA + 132 * KIB, 70000, "---p", Rss=0)), 132),  # its rest and a guard are one mapping
        ((entry(ARENA, 132), entry(ARENA + 136 * KIB, 65400, "---p", Rss=0)), None),  # something lies between
        ((entry(ARENA, 132), entry(ARENA + 132 * KIB, 65400, "---p", Rss=0)), None),  # not up to the end
        ((entry(ARENA, 132), entry(ARENA + 132 * KIB, 65404, "r--p")), None),
        ((entry(ARENA, 132),), None),
        ((entry(ARENA + 4096, 132), entry(ARENA + 136 * KIB, 65400, "---p", Rss=0)), None),  # from elsewhere
        ((entry(ARENA, 132, name="/srv/data", inode=9), entry(ARENA + 132 * KIB, 65404, "---p", Rss=0)), None),
    ],
)  # fmt: skip
def test_arenas_of_threads_are_a_part_of_what_is_anonymous(entries: tuple[str, ...], arenas: int | None) -> None:
    found = pid_smaps_classes.parse("".join(entries).encode())
    assert found is not None
    assert (None if found.arenas is None else found.arenas.rss) == (None if arenas is None else arenas * KIB)
    assert found.values().get("process.smaps.malloc_arena.rss") == (None if arenas is None else arenas * KIB)
    assert "malloc_arena" not in found.classes
    assert arenas is None or (found.classes["anonymous"].rss or 0) == arenas * KIB


@pytest.mark.parametrize(
    "stack", [(entry(0x7E0000000000, 4, "---p", Rss=0), entry(0x7E0000001000, 8192, flags="ac nh")),
              (entry(0x7E0000001000, 8192, name="[anon: glibc: pthread stack: 7]"),)]
)  # fmt: skip
def test_where_stacks_are_marked_other_fenced_memory_is_none(stack: tuple[str, ...]) -> None:
    found = classes(*stack, GUARD, entry(ABOVE, 1024))
    assert found == {"reserved": 0, "thread_stack": 8192, "anonymous": 1024}


def test_sums_are_bytes() -> None:
    fields = {"Rss": 40, "Pss": 30, "Private_Clean": 4, "Private_Dirty": 16, "Private_Hugetlb": 2, "Anonymous": 36}
    data = entry(0x7F0000000000, 64, "rw-p", "", 0, "ac", **fields, AnonHugePages=8, Swap=12)
    found = pid_smaps_classes.parse((data + data.replace("7f00", "7e00")).encode())
    assert found is not None
    assert {name: value // KIB for name, value in found.values().items() if not name.endswith("count")} == {
        "process.smaps.anonymous.size": 128,
        "process.smaps.anonymous.rss": 80,
        "process.smaps.anonymous.pss": 60,
        "process.smaps.anonymous.uss": 44,
        "process.smaps.anonymous.swap": 24,
        "process.smaps.anonymous.anon_huge": 16,
        "process.smaps.anonymous.anonymous": 72,
    }
    assert found.values()["process.smaps.anonymous.count"] == 2
    assert {describe(name).unit for name in found.values()} == {"bytes", "count"}


def test_a_field_that_a_mapping_lacks_is_unknown_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    second = entry(0x7F0000100000, 4).replace(f"Swap:{0:16} kB\n", "")
    found = pid_smaps_classes.parse((PROGRAM + second).encode())
    assert found is not None
    assert [sums.swap for sums in found.classes.values()] == [None, None]
    assert [sums.rss for sums in found.classes.values()] == [4 * KIB, 4 * KIB]
    assert found == line_by_line((PROGRAM + second).encode(), monkeypatch)


def test_the_largest_data_files_are_named() -> None:
    files = [entry(0x7F0000000000 + n * MIB, 40, "r--s", f"/srv/{n}.db", 100 + n, Pss=n) for n in range(12)]
    again = entry(0x7F1000000000, 40, "r--s", "/srv/3.db", 103, Pss=30)
    found = pid_smaps_classes.parse("".join([*files, again]).encode())
    assert found is not None
    assert [file.name for file in found.data_files] == [f"/srv/{n}.db" for n in (3, 11, 10, 9, 8, 7, 6, 5)]
    assert found.data_files[0] == ("/srv/3.db", 80 * KIB, 80 * KIB, 33 * KIB)


def test_a_file_name_cannot_reach_the_terminal_or_pose_as_a_field() -> None:
    name = "/srv/\x1b[2J\\012Rss: 999 kB\\012[heap]" + "x" * 5000
    found = pid_smaps_classes.parse(entry(0x7F0000000000, 4, "r--s", name, 9).encode())
    assert found is not None
    assert found.data_files[0].name.startswith("/srv/\\x1b[2J\\012Rss: 999 kB")
    assert len(found.data_files[0].name) == 256
    assert found.classes["data_file"].rss == 4 * KIB


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["/usr/lib/libc.so.6"], MappedNames("glibc", "/usr/lib/libc.so.6", None, None, None, None)),
        (["/lib/libc-2.31.so"], MappedNames("glibc", "/lib/libc-2.31.so", None, None, None, None)),
        (["/lib/ld-musl-x86_64.so.1"], MappedNames("musl", "/lib/ld-musl-x86_64.so.1", None, None, None, None)),
        (
            ["/lib/libc.so.6", "/lib/libjemalloc.so.2"],
            MappedNames("jemalloc", "/lib/libc.so.6", None, None, None, None),
        ),
        (["/lib/libtcmalloc_minimal.so.4"], MappedNames("tcmalloc", None, None, None, None, None)),
        (["/lib/libmimalloc.so.2.0"], MappedNames("mimalloc", None, None, None, None, None)),
        (["/x/libpython3.11.so.1.0"], MappedNames(None, None, "/x/libpython3.11.so.1.0", None, None, None)),
        (
            ["/x/libphp8.2.so", "/x/opcache.so (deleted)", "/x/apcu.so"],
            MappedNames(None, None, None, "/x/libphp8.2.so", "/x/opcache.so", "/x/apcu.so"),
        ),
        (["/x/notlibc.so.6.txt", "/x/opcache.so.bak/y"], MappedNames(None, None, None, None, None, None)),
    ],
)
def test_what_names_tell(names: list[str], expected: MappedNames) -> None:
    data = "".join(entry(0x7F0000000000 + n * MIB, 4, "r--p", name, 9 + n) for n, name in enumerate(names))
    found = pid_smaps_classes.parse(data.encode())
    assert found is not None
    assert found.names == expected


def test_nothing_is_not_zero() -> None:
    assert pid_smaps_classes.parse(b"") is None
    assert pid_smaps_classes.parse(b"Rss: 4 kB\n") is None


def test_beyond_the_files_told_apart_each_mapping_speaks_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pid_smaps_classes, "_MOST_FILES", 2)
    late = [entry(0x7F1000000000 + n * MIB, 4, access, "/x/late", 50) for n, access in enumerate(("r--p", "r-xp"))]
    found = classes(PROGRAM, entry(0x7F0000000000, 4, "r--s", "/srv/a", 8), *late)
    assert found == {"executable": 4, "data_file": 8, "library": 4}


def test_there_are_captures() -> None:
    assert SMAPS


@pytest.mark.parametrize("path", SMAPS, ids=str)
def test_fixtures_both_ways_and_in_sum(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = (FIXTURES / path).read_bytes()
    found = pid_smaps_classes.parse(data)
    assert found is not None
    assert found == line_by_line(data, monkeypatch)
    walk = pid_smaps.parse(data)
    assert walk is not None
    sums = found.classes.values()
    assert sum(s.rss or 0 for s in sums) == walk.rss
    assert sum(s.pss or 0 for s in sums) == walk.pss
    assert sum(s.uss or 0 for s in sums) == walk.uss
    assert sum(s.swap or 0 for s in sums) == walk.swap
    assert sum(s.mappings for s in sums) == data.count(b"\nRss:")
    assert {"heap", "main_stack"} & set(found.classes)


# What tests/fixtures/capture_proc.py mapped -> the class it belongs to, where that is all there is of the class.
ALONE = {"memfd": "memfd", "shm": "shm", "sysv": "sysv", "zero": "shared_anonymous", "executable": "jit"}
MAPPED = [path.parent for path in SMAPS if (FIXTURES / path.parts[0] / "mappings.json").exists()]


@pytest.mark.parametrize("path", MAPPED, ids=str)
def test_captured_memory_of_every_kind(path: Path) -> None:
    told = json.loads((FIXTURES / path.parent / "mappings.json").read_text())
    data = (FIXTURES / path / "smaps").read_bytes()
    found = pid_smaps_classes.parse(data)
    assert found is not None
    for name, kind in ALONE.items():
        assert (found.classes[kind].size, found.classes[kind].mappings) == (told[name]["bytes"], 1), name
    assert found.classes["data_file"].size == told["file_shared"]["bytes"] + told["file_private"]["bytes"]
    assert found.data_files[0].name.endswith("/data\\012Rss: 4 kB")
    assert (found.classes["heap"].size or 0) >= told["heap"]["bytes"]
    assert (found.classes["reserved"].size or 0) >= told["reserved"]["bytes"]
    if b" nh" in data:  # else all the fenced mappings of this specimen look like stacks
        assert (found.classes["thread_stack"].size, found.classes["thread_stack"].mappings) == (
            told["stack_of_thread"]["bytes"],
            1,
        )
        assert (found.classes["anonymous"].size or 0) >= told["anonymous"]["bytes"] + told["thp"]["bytes"]
    assert found.names.allocator == "glibc"


@pytest.mark.parametrize("path", SMAPS, ids=str)
@pytest.mark.parametrize("size", [1, 333, 5000])
def test_pieces_add_up_wherever_they_are_cut(path: Path, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "PIECE_BYTES", size)
    mount, pid = FIXTURES / path.parts[0], int(path.parts[1])
    assert pid_smaps_classes.read(str(mount), pid) == pid_smaps_classes.parse((FIXTURES / path).read_bytes())


@given(
    st.lists(
        st.one_of(
            st.sampled_from([PROGRAM, OPCACHE, GUARD, entry(ABOVE, 64), "Rss: 4 kB\n", "VmFlags: rd\n", "7f00-", " kB\n", "\0"]),
            st.integers(0, 2**70).map(lambda n: f"Pss: {n} kB\n"),
            st.text(max_size=5),
        ),
        max_size=30,
    ).map(lambda parts: "".join(parts).encode())
)  # fmt: skip
def test_torn_and_mixed_text(data: bytes) -> None:
    found = pid_smaps_classes.parse(data)
    if found is not None:
        assert set(found.classes) <= set(CLASSES)
        assert all(0 <= value < 2**63 for value in found.values().values())


def test_memory_does_not_grow_with_mappings(tmp_path: Path) -> None:
    def peak(mappings: int) -> int:
        (tmp_path / "7").mkdir(exist_ok=True)
        with (tmp_path / "7" / "smaps").open("w") as file:
            file.writelines(entry(0x7F0000000000 + n * 8192, 4) for n in range(mappings))
        tracemalloc.start()
        found = pid_smaps_classes.read(str(tmp_path), 7)
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert found is not None
        assert found.classes["anonymous"].mappings == mappings
        return peak_bytes

    assert peak(20_000) < 2 * peak(1_000) < 2 * MIB


@pytest.fixture
def specimen_process(tmp_path: Path) -> Iterator[tuple[int, dict[str, int], str]]:
    """A process with memory of every kind: pid, touched bytes by class, the awkwardly named data file."""
    program = Path(__file__).with_name("memory_of_every_kind.py")
    command = [sys.executable, "-I", "-S", str(program), str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        told = json.loads(child.stdout.readline())
        yield child.pid, told["touched"], told["file"]


def test_a_live_process_with_memory_of_every_kind(specimen_process: tuple[int, dict[str, int], str]) -> None:
    pid, touched, file = specimen_process
    found = pid_smaps_classes.read("/proc", pid)
    assert found is not None
    for kind in ("memfd", "shm", "sysv", "shared_anonymous", "jit"):
        assert found.classes[kind].rss == touched[kind], kind
        assert found.classes[kind].mappings == 1, kind
    assert found.classes["data_file"].rss is not None
    assert found.classes["data_file"].rss >= touched["data_file"]
    assert found.classes["thread_stack"].mappings == touched["threads"]
    assert found.classes["anonymous"].rss is not None
    assert found.classes["anonymous"].rss >= touched["anonymous"]
    assert found.classes["executable"].rss
    assert found.classes["main_stack"].mappings == 1
    assert found.names.libc is not None
    named = {data_file.name: data_file for data_file in found.data_files}
    assert named[file].rss == touched["data_file"]


def test_a_live_process_adds_up_to_its_rollup(specimen_process: tuple[int, dict[str, int], str]) -> None:
    pid = specimen_process[0]
    found, rollup = pid_smaps_classes.read("/proc", pid), pid_smaps.read_rollup("/proc", pid)
    assert found is not None
    assert rollup is not None
    # The rollup leaves out [vsyscall]; pages shared with other processes may be reclaimed or change hands between the two reads.
    noise = 256 * KIB
    assert sum(s.rss or 0 for s in found.classes.values()) == pytest.approx(rollup.rss, abs=noise)
    assert sum(s.uss or 0 for s in found.classes.values()) == pytest.approx(rollup.uss, abs=noise)


def test_gone() -> None:
    with pytest.raises(OSError, match="smaps") as caught:
        pid_smaps_classes.read("/proc", 2**22 + 1)
    assert caught.value.errno == errno.ENOENT
