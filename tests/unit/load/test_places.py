"""How workers on other hosts find the master. What comes over SSH is another's: here a shell says it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from harness.load.engines import EngineError
from harness.load.plan_json import JsonObject
from harness.load.swarm.places import HOLD, Meeting, Place, lay, start_tunnel
from harness.load.swarm.processes import Team


def _place(hold: str, forward: str = "echo >&2 '  no\x1b[2J forwarding '; echo more >&2; exit 255") -> Place:
    return Place("load-1", 1, ("true",), ("sh", "-c", hold), ("sh", "-c", forward, "sh"))


def _lay(place: Place) -> str:
    async def carry_out() -> str:
        tunnel = await start_tunnel(place)
        try:
            return await lay(place, tunnel, "/here/m")
        finally:
            assert tunnel.stdin is not None
            tunnel.stdin.close()
            await tunnel.wait()

    return asyncio.run(carry_out())


def test_a_private_directory_is_there_as_long_as_the_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 80)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    asked = tmp_path / "asked"
    there = _lay(_place(f"echo Welcome; {HOLD}", f'ls -ld "${{1%%/m:*}}" >{asked}; echo "$1" >>{asked}'))
    mode, ends = asked.read_text().splitlines()
    assert mode.startswith("drwx------")
    assert ends == f"{there}:/here/m"
    assert there.startswith("/tmp/harness-load-"), "a socket's path must be short"
    assert not Path(there).parent.exists()


def test_a_temporary_directory_of_another_name_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = tmp_path / "a b"
    odd.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", "a b")
    with pytest.raises(EngineError, match="its path has letters that cannot be used; is TMPDIR set there"):
        _lay(_place(HOLD))
    assert not list(odd.iterdir())


@pytest.mark.parametrize(
    ("says", "told"),
    [
        ("echo 'Permission denied (publickey).' >&2; exit 255", "cannot reach load-1 over SSH: Permission denied (publickey)."),
        ("exit 255", "cannot reach load-1 over SSH: no reason given"),
        ("echo 'mktemp: full' >&2; exit 1", "load-1 has no directory for the load workers' socket: mktemp: full"),
        ("echo harness-load /tmp/harness-load-aaaaaaaaaa:/etc/x; cat", "has no directory"),
        ("echo harness-load /tmp/../harness-load-aaaaaaaaa; cat", "has no directory"),
        ("echo harness-load -oProxyCommand=x; cat", "has no directory"),
        (f"echo harness-load /tmp/{'a' * 90}/harness-load-aaaaaaaaaa; cat", "has no directory"),
        ("head -c 100000 /dev/zero; cat", "has no directory"),
        ("echo harness-load /tmp/harness-load-aaaaaaaaaa; cat", r"through the SSH connection (no?[2J forwarding)"),
    ],
)  # fmt: skip
def test_what_the_other_end_may_say(says: str, told: str) -> None:
    noise = "yes | head -n 100; "  # a greeting may be long, and has an end
    with pytest.raises(EngineError) as caught:
        _lay(_place(says.replace("; cat", f"; {noise}cat")))
    assert told in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_client_that_is_not_there() -> None:
    with pytest.raises(EngineError, match="cannot connect to load-1: /no/such/ssh: No such file"):
        asyncio.run(start_tunnel(Place("load-1", 1, ("true",), ("/no/such/ssh",), ("x",))))


def test_where_workers_meet_the_master() -> None:
    assert Meeting("10.0.0.5", 5557).words == "10.0.0.5 5557"
    assert Meeting("/tmp/x/m").words == "/tmp/x/m"


def test_workers_from_elsewhere_have_a_way_to_come() -> None:
    bare = {"name": "load-1", "workers": 2, "command": ["ssh"], "hold": [], "forward": []}
    for options in ({"remote_workers": 1}, {"workers": 0, "places": [bare]}):
        with pytest.raises(ValueError, match="need an address to come to"):
            Team.from_options(JsonObject(dict(options), "options"))
    team = Team.from_options(JsonObject({"workers": 1, "places": [bare], "listen": "[::1]:5557"}, "options"))
    assert (team.size, team.listen) == (3, ("::1", 5557))
    tunnelled = {**bare, "hold": ["ssh"], "forward": ["ssh"]}
    assert Team.from_options(JsonObject({"workers": 0, "places": [tunnelled]}, "options")).listen is None
