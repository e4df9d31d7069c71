"""``/proc/PID/cgroup``."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.sampling.sources import pid_cgroup
from harness.sampling.sources.pid_cgroup import Membership, parse


@pytest.mark.parametrize(
    ("text", "membership", "memory"),
    [
        ("0::/system.slice/nginx.service\n", Membership("/system.slice/nginx.service", None), "/system.slice/nginx.service"),
        ("4:memory:/docker/3f4a\n1:cpu,cpuacct:/x\n0::/\n", Membership("/", "/docker/3f4a"), "/docker/3f4a"),
        ("7:cpu,memory:/a:b:c\n", Membership(None, "/a:b:c"), "/a:b:c"),
        ("1:name=memory:/no\n3:cpuset:/no\n", Membership(None, None), None),
        ("0::/gone (deleted)\n", Membership("/gone (deleted)", None), "/gone (deleted)"),
        ("0::/../sibling", Membership("/../sibling", None), "/../sibling"),
        ("", Membership(None, None), None),
        ("0:\n0\n::\n5:memory\n", Membership(None, None), None),
    ],
)  # fmt: skip
def test_versions_and_hybrids(text: str, membership: Membership, memory: str | None) -> None:
    assert parse(text.encode()) == membership
    assert membership.memory == memory


@given(st.binary(max_size=300))
def test_garbage_never_raises(data: bytes) -> None:
    parsed = parse(data)
    assert all(path is None or path.startswith("/") for path in parsed)


def test_this_process_is_somewhere() -> None:
    assert pid_cgroup.read("/proc", os.getpid()).memory is not None


def test_a_process_that_is_gone_raises() -> None:
    with pytest.raises(OSError, match="No such"):
        pid_cgroup.read("/proc", 4_194_305)
