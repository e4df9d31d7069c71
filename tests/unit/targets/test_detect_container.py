"""What runs in a container, on small made-up /proc trees; for real: tests/integration/test_containers.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_proc import FakeProc

from harness.errors import TargetError
from harness.targets.containers import ContainerState, parse_inspect
from harness.targets.detect_container import detect_container

ID = "5e" * 32


def recognise(comm: str, cmdline: str, exe: str) -> str | None:
    return "python" if "gunicorn" in cmdline else None


@pytest.fixture
def proc(tmp_path: Path) -> FakeProc:
    """A shell as the first process of a container, gunicorn below it, and a gunicorn that is not in it."""
    made = FakeProc(tmp_path)
    made.listen(("0100007F", 8000, 70), ("0100007F", 9000, 71))
    for pid, comm, cmdline, inodes in (
        (10, "sh", "sh -c gunicorn app", ()),
        (11, "gunicorn", "/usr/bin/python3 /usr/bin/gunicorn app", (70,)),
        (12, "gunicorn", "/usr/bin/python3 /usr/bin/gunicorn app", (70,)),
        (9, "gunicorn", "/usr/bin/python3 /usr/bin/gunicorn other", (71,)),
    ):
        made.process(pid, 1, comm, cmdline, *inodes)
        where = f"0::/docker/{ID}\n" if pid != 9 else "0::/system.slice\n"
        (made.root / str(pid) / "cgroup").write_text(where)
        (made.root / str(pid) / "stat").write_text(f"{pid} ({comm}) S 1 {'0 ' * 17}77 0\n")
    for pid in ("10", "self"):
        (made.root / pid / "ns").mkdir(parents=True)
        (made.root / pid / "ns" / "net").symlink_to("net:[1]")
    return made


def state(name: str = "shop-web-1", **changes: object) -> ContainerState:
    said = {"Id": ID, "Name": name, "State": {"Running": True, "Pid": 10}, "HostConfig": {}, **changes}
    return parse_inspect(json.dumps(said).encode())


def test_the_program_below_a_shell_and_the_port_it_listens_on(proc: FakeProc) -> None:
    found = detect_container(
        state(), lambda comm, line, exe: None if comm == "sh" else recognise(comm, line, exe), proc.root
    )
    assert (found.name, found.container, found.runtime, found.attach) == ("shop-web-1", "shop-web-1", "python", None)
    assert found.url == "http://127.0.0.1:8000"
    assert found.found == ("the container shop-web-1: gunicorn (pid 11), 3 processes, python",)


def test_a_published_port_comes_first(proc: FakeProc) -> None:
    ports = {"Ports": {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}}
    assert detect_container(state(NetworkSettings=ports), recognise, proc.root).url == "http://127.0.0.1:8080"


def test_a_port_in_a_network_of_its_own_is_none_here(proc: FakeProc) -> None:
    (proc.root / "10" / "ns" / "net").unlink()
    (proc.root / "10" / "ns" / "net").symlink_to("net:[2]")
    found = detect_container(state("x" * 100), recognise, proc.root)
    assert found.url is None
    assert "no port of it is published" in found.found[1]
    assert found.name == "x" * 64


def test_one_that_does_not_run(proc: FakeProc) -> None:
    stopped = state(State={"Running": False, "Pid": 0})
    with pytest.raises(TargetError, match="the container shop-web-1 does not run on this machine"):
        detect_container(stopped, recognise, proc.root)
