"""/proc/slabinfo."""

from __future__ import annotations

from pathlib import Path

from harness.sampling.sources import slabinfo

HEADER = b"slabinfo - version: 2.1\n# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab>\n"


def slab(**caches: tuple[int, int]) -> bytes:
    lines = [f"{name} 1 {count} {size} 1 1 : tunables 0 0 0\n" for name, (count, size) in caches.items()]
    return HEADER + "".join(lines).encode()


def test_objects_times_size(linux_4_9: Path) -> None:
    caches = slabinfo.parse((linux_4_9 / "slabinfo").read_bytes())
    assert caches["dentry"] == 321300 * 192
    assert caches["xfs_inode"] == 0
    assert len(caches) == 6


def test_captured(captured: Path) -> None:
    data = (captured / "slabinfo").read_bytes()
    assert len(slabinfo.parse(data)) == len(data.splitlines()) - 2
    reported = slabinfo.Selection()(data)
    assert {"system.slab.dentry", "system.slab.sock_inode_cache", "system.slab.proc_inode_cache"} <= set(reported)


def test_the_largest_and_the_telling_ones_are_reported() -> None:
    filler = {f"big-{n}": (1000 + n, 100) for n in range(30)}
    reported = slabinfo.Selection()(slab(**filler, dentry=(1, 192), UNIX=(1, 900), xfs_inode=(0, 900)))
    largest = {f"system.slab.big-{n}" for n in range(10, 30)}
    assert set(reported) == largest | {"system.slab.dentry", "system.slab.UNIX"}


def test_a_cache_once_reported_stays() -> None:
    choose = slabinfo.Selection()
    choose(slab(small=(1, 8)))
    filler = {f"big-{n}": (1000, 100) for n in range(30)}
    assert choose(slab(**filler, small=(0, 8)))["system.slab.small"] == 0


def test_the_number_of_caches_is_bounded() -> None:
    assert len(slabinfo.Selection()(slab(**{f"inode-{n}_inode": (1, 8) for n in range(1000)}))) == 128
