"""What engines say of containers, as podman 4.3 and Docker 20.10 write it, and what else may come."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from harness.errors import TargetError, UsageError
from harness.targets.containers import (
    Mounted,
    begin_of,
    checked_name,
    find,
    inside_pid,
    is_here,
    life_of,
    look_again,
    parse_inspect,
    parse_nspid,
)
from harness.targets.engines.spec import Engine, EngineError, NoSuchContainerError

ID = "594048ae494a5dda4f3da61901868e71bca8f0fd691d107ab5fa8418b8084343"
STATE = {
    "Status": "running", "Running": True, "Paused": False, "Restarting": False, "OOMKilled": False, "Dead": False,
    "Pid": 15515, "ExitCode": 0, "Error": "", "StartedAt": "2026-11-26T12:39:39.007467105Z",
    "FinishedAt": "0001-01-01T00:00:00Z",
}  # fmt: skip
HOST = {"Memory": 67108864, "MemorySwap": 134217728, "MemoryReservation": 0, "NanoCpus": 0, "PidsLimit": 2048}
MOUNTS = [
    {"Type": "bind", "Source": "/srv/agent", "Destination": "/harness", "Mode": "", "RW": True, "Propagation": ""}
]
PODMAN: dict[str, Any] = {
    "Id": ID, "Name": "web", "ImageName": "localhost/shop:latest", "State": STATE, "HostConfig": HOST, "Mounts": MOUNTS,
    "Config": {"Image": "localhost/shop:latest", "Env": ["PASSWORD=hunter2"]}, "RestartCount": 0,
}  # fmt: skip
DOCKER: dict[str, Any] = {
    **PODMAN, "Name": "/web", "Config": {"Image": "shop", "Env": ["PASSWORD=hunter2"]},
    "HostConfig": {**HOST, "PidsLimit": None, "MemorySwap": -1},
}  # fmt: skip
del DOCKER["ImageName"]


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()


def of_state(**changes: object) -> bytes:
    return as_json({**PODMAN, "State": {**STATE, **changes}})


class Told:
    """An engine that knows one container."""

    label = "told"

    def __init__(self, answer: bytes | EngineError) -> None:
        self.answer = answer

    def inspect(self, name: str) -> bytes:
        if isinstance(self.answer, EngineError):
            raise self.answer
        return self.answer

    def run(self, *_: object, **__: object) -> Any: ...

    def archive(self, *_: object) -> bytes: ...  # type: ignore[empty-body]

    def extract(self, *_: object) -> None: ...


def test_podman_and_docker() -> None:
    podman, docker = parse_inspect(as_json([PODMAN])), parse_inspect(as_json(DOCKER))
    assert (podman.id, podman.name, podman.image, podman.pid) == (ID, "web", "localhost/shop:latest", 15515)
    assert (docker.id, docker.name, docker.image, docker.pid) == (ID, "web", "shop", 15515)
    assert (podman.memory_bytes, podman.memory_and_swap_bytes, podman.most_processes) == (64 << 20, 128 << 20, 2048)
    assert (docker.memory_bytes, docker.memory_and_swap_bytes, docker.most_processes) == (64 << 20, None, None)
    assert podman.mounts == docker.mounts == (Mounted("/srv/agent", "/harness", True),)
    assert "hunter2" not in f"{podman}{docker}"


def test_one_that_has_ended() -> None:
    state = parse_inspect(of_state(Running=False, Status="exited", Pid=0, ExitCode=137, OOMKilled=True))
    assert (state.running, state.pid, state.exit_code, state.oom_killed) == (False, None, 137, True)
    assert life_of(state) is None


def test_without_limits() -> None:
    state = parse_inspect(as_json({**PODMAN, "HostConfig": {"Memory": 0, "MemorySwap": 0, "PidsLimit": 0}}))
    assert (state.memory_bytes, state.memory_and_swap_bytes, state.most_processes) == (None, None, None)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[]", b"null", b"{}", b"[{}, {}]", b"\xff\xfe", b"[" * 100_000, as_json({**PODMAN, "Id": "../../etc"}),
        as_json({**PODMAN, "Id": 5}), as_json({**PODMAN, "State": []}), as_json([PODMAN, PODMAN]),
    ],
)  # fmt: skip
def test_what_is_no_container(data: bytes) -> None:
    with pytest.raises(EngineError):
        parse_inspect(data)


def test_strange_words_are_cut_and_strange_numbers_unknown() -> None:
    strange = {
        **PODMAN, "Name": "a\x1b[31mb" + "x" * 5000, "Mounts": [None, {"Source": 3}, {"Source": "rel", "Destination": "/x"}],
        "HostConfig": {"Memory": "many", "PidsLimit": True, "MemorySwap": 1 << 80},
        "State": {**STATE, "Pid": 1 << 40, "OOMKilled": "yes"},
    }  # fmt: skip
    state = parse_inspect(as_json(strange))
    assert "\x1b" not in state.name
    assert len(state.name) <= 200
    assert state.mounts == ()
    assert (state.memory_bytes, state.most_processes, state.memory_and_swap_bytes) == (None, None, None)
    assert (state.pid, state.oom_killed) == (None, None)


@pytest.mark.parametrize("name", ["", "-rm", "a/b", "a b", "a;b", "$(id)", "x" * 129, "ä", "a\n"])
def test_names_are_matched_strictly(name: str) -> None:
    with pytest.raises(UsageError):
        checked_name(name)


def test_the_first_engine_that_knows_it() -> None:
    engines: list[Engine] = [Told(NoSuchContainerError("one: no such container")), Told(as_json(DOCKER))]
    engine, state = find("web", engines)
    assert engine is engines[1]
    assert state.id == ID
    with pytest.raises(TargetError, match="one: no such container"):
        find("web", engines[:1])
    with pytest.raises(TargetError, match="neither docker nor podman"):
        find("web", [])


def test_while_it_is_being_made_anew_there_is_none() -> None:
    assert look_again(Told(NoSuchContainerError("gone")), "web") is None
    with pytest.raises(EngineError):
        look_again(Told(EngineError("busy")), "web")


def test_lives_are_told_apart_by_when_they_began(tmp_path: Path) -> None:
    pid = os.getpid()
    life = life_of(parse_inspect(of_state(Pid=pid)))
    assert life is not None
    assert life.begin == begin_of(pid)
    assert life.lasts()
    assert not life.lasts(tmp_path)
    process = tmp_path / str(pid)
    process.mkdir()
    (process / "stat").write_text(f"{pid} (a) b) S " + " ".join(["1"] * 18) + f" {life.begin + 1} 0\n")
    assert not life.lasts(tmp_path), "another process got the pid"
    (process / "stat").write_text(f"{pid} (a) Z " + " ".join(["1"] * 18) + f" {life.begin} 0\n")
    assert not life.lasts(tmp_path), "a zombie has ended"


def test_a_pid_of_another_machine_is_not_the_containers(tmp_path: Path) -> None:
    """This very process is in no container of that id, and not the first of its namespace."""
    life = life_of(parse_inspect(of_state(Pid=os.getpid())))
    assert life is not None
    assert not is_here(life)
    process = tmp_path / str(os.getpid())
    process.mkdir()
    (process / "cgroup").write_text(f"0::/system.slice/docker-{ID}.scope\n")
    assert is_here(life, tmp_path)
    (process / "cgroup").write_text("0::/\n")
    (process / "status").write_text("Name:\ta\nNSpid:\t4711\t1\n")
    assert is_here(life, tmp_path), "without a group of its own it is still the first in there"


@pytest.mark.parametrize(
    ("status", "inner"),
    [
        (b"Name:\tx\nNSpid:\t4711\n", 4711),
        (b"Name:\tx\nNSpid:\t4711\t7\nNSpgid:\t1\t2\n", 7),
        (b"NSpid:\t4711\t90\t3\n", 3),
        (b"Name:\tNSpid:\t1\n", None),
        (b"", None),
    ],
)
def test_ids_inside(status: bytes, inner: int | None) -> None:
    assert parse_nspid(status) == inner


def test_our_own_id_is_the_same_inside() -> None:
    assert inside_pid(os.getpid()) is not None
    assert inside_pid(1 << 22) is None


# --- ports ----------------------------------------------------------------------------------------------------------


def with_ports(ports: object) -> bytes:
    return as_json({**PODMAN, "NetworkSettings": {"Ports": ports}})


def test_published_ports() -> None:
    ports = {
        "8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}, {"HostIp": "::1", "HostPort": "8080"}],
        "53/udp": [{"HostIp": "", "HostPort": "53"}],
        "9000/tcp": None,
    }
    assert parse_inspect(with_ports(ports)).published == (8080, 8080)
    assert parse_inspect(as_json(PODMAN)).published == ()


@pytest.mark.parametrize(
    "ports",
    [
        7, [], {"8000/tcp": 7}, {"8000/tcp": [7]}, {"8000/tcp": [{"HostPort": 8080}]}, {"8000/tcp": [{"HostPort": "65536"}]},
        {"8000/tcp": [{"HostPort": "-1"}]}, {"8000/tcp": [{"HostPort": "٣"}]}, {"8000/tcp": [{"HostPort": "9" * 5000}]},
    ],
)  # fmt: skip
def test_ports_that_are_none(ports: object) -> None:
    assert parse_inspect(with_ports(ports)).published == ()


def test_of_many_ports_some_are_taken() -> None:
    many = {f"{port}/tcp": [{"HostPort": str(port)}] for port in range(1000, 1200)}
    assert len(parse_inspect(with_ports(many)).published) == 64
