"""What is asked of ``kubectl exec``, against its documented contract; no cluster is there."""

from __future__ import annotations

import sys
from pathlib import Path, PurePosixPath

import kubectl_standin
import pytest

from harness.errors import TargetError, UsageError
from harness.targets.connectors.kubectl import KubectlConnector, PodPlace, parse_place
from harness.targets.connectors.spec import Connector, FileTooLong

POD = kubectl_standin.POD


@pytest.fixture
def kubectl(tmp_path: Path) -> str:
    program = tmp_path / "kubectl"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -I {kubectl_standin.__file__} "$@"\n')
    program.chmod(0o755)
    return str(program)


@pytest.fixture
def pod(kubectl: str) -> Connector:
    return KubectlConnector(PodPlace(POD, "staging", "web", "kind-test"), kubectl)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("shop-1", PodPlace("shop-1")),
        ("staging/shop-1", PodPlace("shop-1", "staging")),
        ("staging/shop-1:side.car", PodPlace("shop-1", "staging", "side.car")),
        ("shop-1:web", PodPlace("shop-1", None, "web")),
    ],
)
def test_places(text: str, place: PodPlace) -> None:
    assert parse_place(text) == place


@pytest.mark.parametrize("text", ["", "-n", "Shop", "a/b/c", "a b", "shop-", "a:", "/a", "a;b", "x" * 300, "--help"])
def test_what_is_no_place(text: str) -> None:
    with pytest.raises(UsageError):
        parse_place(text)


def test_contexts_are_matched_too() -> None:
    assert parse_place("a", "gke_project_zone/x@y:z").context == "gke_project_zone/x@y:z"
    with pytest.raises(UsageError):
        parse_place("a", "--kubeconfig=/etc/shadow")


def test_words_reach_the_program_as_they_are(pod: Connector) -> None:
    words = ["a b", "$HOME", "'", '"', "*", "\n", "ä", ""]
    done = pod.run([sys.executable, "-c", "import sys; print(sys.argv[1:])", *words])
    assert done.output.decode() == f"{words}\n"


def test_streams_and_codes(pod: Connector) -> None:
    done = pod.run(["sh", "-c", "cat; echo no >&2; exit 7"], stdin=b"\0\xff" * 100_000)
    assert (done.code, done.output, done.complaints) == (7, b"\0\xff" * 100_000, b"no\n")
    assert pod.run(["true"]).complaints == b""
    assert pod.run(["false"]).code == 1, "which is not the 1 of a pod that is not there"
    assert pod.run(["sh", "-c", "exit 0"], cap_bytes=10).code == 0


def test_what_kubectl_says_first_is_not_the_commands(kubectl: str) -> None:
    done = KubectlConnector(PodPlace(POD), kubectl).run(["sh", "-c", "echo own >&2"])
    assert done.complaints == b"own\n"


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (PodPlace("there"), "not found"),
        (PodPlace(POD, None, "nope"), "container not found"),
        (PodPlace(POD, None, None, "nope"), "does not exist"),
    ],
)
def test_pods_that_are_not_there(kubectl: str, place: PodPlace, said: str) -> None:
    with pytest.raises(TargetError, match=said):
        KubectlConnector(place, kubectl).run(["true"])


def test_without_kubectl() -> None:
    with pytest.raises(TargetError, match="cannot start"):
        KubectlConnector(PodPlace(POD), "/nonexistent/kubectl").run(["true"])


def test_files(pod: Connector, tmp_path: Path) -> None:
    path = PurePosixPath(tmp_path / "a file")
    pod.put(b"\0one", path)
    assert (tmp_path / "a file").stat().st_mode & 0o777 == 0o600
    assert pod.get(path, 4) == b"\0one"
    with pytest.raises(TargetError):
        pod.put(b"two", path)
    assert pod.get(path, 100) == b"\0one"
    with pytest.raises(FileTooLong):
        pod.get(path, 3)
    (tmp_path / "link").symlink_to(tmp_path / "a file")
    for name in ("link", "nothing", ""):
        assert pod.get(PurePosixPath(tmp_path / name), 100) is None
    with pytest.raises(TargetError, match="no exact path"):
        pod.get(PurePosixPath("etc/passwd"), 100)


def test_a_command_line_for_pipes(pod: Connector, kubectl: str) -> None:
    assert pod.command(["sampler", "--x"]) == [
        kubectl, "--context=kind-test", "--namespace=staging", "exec", "--stdin", "--container=web", POD, "--", "sampler", "--x",
    ]  # fmt: skip
