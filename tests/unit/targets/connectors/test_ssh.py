from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from harness.errors import TargetError, UsageError
from harness.targets.connectors.ssh import SshConnector, SshPlace, parse_place


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("ssh://staging-1", SshPlace("staging-1")),
        ("ssh://Staging.Alias/", SshPlace("Staging.Alias")),
        ("ssh://deploy@10.0.0.7:2222", SshPlace("10.0.0.7", "deploy", 2222)),
        ("ssh://deploy@[fe80::1%25eth0]:22", None),
        ("ssh://[2001:db8::1]", SshPlace("2001:db8::1")),
    ],
)
def test_addresses(url: str, place: SshPlace | None) -> None:
    if place is not None:
        assert parse_place(url) == place
    else:
        assert parse_place(url).user == "deploy"


@pytest.mark.parametrize(
    "url",
    ["", "staging-1", "http://a", "ssh://", "ssh://-oProxyCommand=x", "ssh://-a@b", "ssh://a/b", "ssh://a:0x5", "ssh://a:99999", "ssh://u:secret@a",
     "ssh://a?b", "ssh://a b", "ssh://a\nb", "ssh://$(id)", "ssh://a;b", "ssh://@a"],
)  # fmt: skip
def test_what_is_no_address_never_reaches_the_client(url: str) -> None:
    with pytest.raises(UsageError, match="no address of a host") as caught:
        parse_place(url)
    assert "secret" not in str(caught.value)


def test_host_keys_are_checked_as_the_user_has_set_it_up() -> None:
    words = SshConnector(SshPlace("a", "b", 5)).command(["true", "two words"])
    assert not any("StrictHostKeyChecking" in word or "UserKnownHostsFile" in word or word == "-F" for word in words)
    assert words[-6:] == ["-l", "b", "-p", "5", "a", "true 'two words'"]
    assert "BatchMode=yes" in words


@pytest.mark.parametrize("name", ["a b", "a%b", "a:b", "x" * 70])
def test_a_temporary_directory_whose_name_ssh_reads_otherwise_is_not_used(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / name))
    connector = SshConnector(SshPlace("a"), "true")
    try:
        hold, _ = connector.tunnel(["cat"])
        assert [word for word in hold if word.startswith("ControlPath=/tmp/harness-ssh-")]
    finally:
        connector.close()


def test_a_tunnel_is_asked_for_without_what_the_configuration_forwards() -> None:
    connector = SshConnector(SshPlace("a", "b"))
    try:
        hold, forward = connector.tunnel(["cat"])
        (path,) = [word for word in hold if word.startswith("ControlPath=")]
        assert {"ControlMaster=yes", "ControlPersist=no", "ClearAllForwardings=yes", "BatchMode=yes"} <= set(hold)
        assert hold[-4:] == ["-l", "b", "a", "cat"]
        assert forward == ["ssh", "-F", "/dev/null", "-o", path, "-O", "forward", "a", "-R"]
        assert Path(path.partition("=")[2]).parent.stat().st_mode & 0o777 == 0o700
    finally:
        connector.close()
    assert not Path(path.partition("=")[2]).parent.exists()


def _client(tmp_path: Path, does: str) -> SshConnector:
    """A program in the place of the client: what comes over SSH is another's."""
    program = tmp_path / "ssh"
    program.write_text(f'#!/bin/sh\ncase "$*" in *"-O exit"*) exit ;; esac\n{does}\n')
    program.chmod(0o755)
    return SshConnector(SshPlace("host"), str(program))


def test_a_flood_over_the_line_is_cut_and_ends(tmp_path: Path) -> None:
    connector = _client(tmp_path, "yes >&2 & yes & sleep 0.3; kill $!; kill %1 2>/dev/null; exit 0")
    done = connector.run(["x"], cap_bytes=1000)
    assert done.output == b"y\n" * 500
    assert len(done.complaints) == 1000
    connector.close()


def test_a_flood_without_end_is_given_up(tmp_path: Path) -> None:
    connector = _client(tmp_path, "exec yes")
    with pytest.raises(TargetError, match=r"did not answer within 0\.3 s"):
        connector.run(["x"], timeout_s=0.3)
    connector.close()


def test_a_process_that_keeps_the_connection_holds_nobody_up(tmp_path: Path) -> None:
    """As ControlPersist does: it has our standard error, and stays."""
    connector = _client(tmp_path, "echo told >&2; sleep 30 >/dev/null & echo $!; exit 3")
    done = connector.run(["x"], timeout_s=20)
    os.kill(int(done.output), signal.SIGKILL)
    assert (done.code, done.complaints) == (3, b"told\n")
    connector.close()


def test_a_client_that_is_not_there(tmp_path: Path) -> None:
    connector = SshConnector(SshPlace("host"), str(tmp_path / "none"))
    with pytest.raises(TargetError, match="no ssh command here"):
        connector.run(["x"])
    connector.close()
