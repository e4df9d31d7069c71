"""The tool ``blackfire`` of PHP with a real PHP, our relay, and stand-ins for everything of the vendor's: extension, agent, API,
command. That the genuine ones agree with them was not tested; see docs/blackfire.md."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
from blackfire_agent import OK, StandInAgent, stand_in_agent
from blackfire_api import CLIENT_ID, CLIENT_TOKEN, SIGNATURE, StandInApi, stand_in_api
from blackfire_command import StandInCommand
from php_target import DEADLINE_S, PROGRAMS, Target, end_group, started
from processes import free_port, wait_for

from adapters.php.adapter import ADAPTER
from harness.errors import HarnessError, UsageError
from harness.model.profile import Artifact, ArtifactStatus
from harness.plugins.spec import Check, CheckLevel, LaunchPlan, ProfiledResponse, Stage, Trigger

pytestmark = pytest.mark.integration

PAGE = PROGRAMS / "php_blackfire_standin.php"


@dataclass(frozen=True)
class World:
    """A page under the built-in server behind our relay, and the stand-ins around it."""

    target: Target
    agent: StandInAgent
    api: StandInApi
    relay: subprocess.Popen[bytes]

    def profiled(self, trigger: Trigger | None = None) -> tuple[list[Artifact], httpx.Response]:
        trigger = trigger or ADAPTER.trigger(self.target.context, "blackfire")
        headers = dict(trigger.headers)
        response = httpx.get(f"{self.target.prepared.base_url}/page", headers=headers, timeout=DEADLINE_S)
        answer = ProfiledResponse(
            "ab" * 8, "page", response.status_code, 1, 2, {k.lower(): v for k, v in response.headers.items()}
        )
        return list(ADAPTER.collect(self.target.context, trigger, answer, self.target.artifacts)), response


@pytest.fixture(scope="module")
def variables() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HTTP_PROXY", "http_proxy", "BLACKFIRE_HOME", "XDG_CONFIG_HOME", "BLACKFIRE_ENV"):
            patch.delenv(name, raising=False)
        yield patch


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, variables: pytest.MonkeyPatch) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("blackfire-php")
    with stand_in_api() as api, stand_in_agent() as agent, ExitStack() as stack:
        variables.setenv("BLACKFIRE_CLIENT_ID", CLIENT_ID)
        variables.setenv("BLACKFIRE_CLIENT_TOKEN", CLIENT_TOKEN)
        variables.setenv("BLACKFIRE_ENDPOINT", api.url)
        section = {"agent": agent.address, "listen": f"tcp://127.0.0.1:{free_port()}"}
        target = Target(directory / "work", {"blackfire": section}, directory, ("blackfire",))
        address = f"127.0.0.1:{free_port()}"
        page = LaunchPlan("page", ("php", "-S", address, str(PAGE)), {}, directory, ready=f"tcp://{address}")
        plans = target.prepare(page).plans
        assert [(p.name, p.measured, p.stage) for p in plans] == [
            ("page", True, Stage.MAIN), ("blackfire-relay", False, Stage.PROFILE)
        ]  # fmt: skip
        stack.enter_context(started(plans[0], target.log))
        relay = stack.enter_context(started(replace(plans[1], ready=None), target.log))
        _await(section["listen"])
        yield World(target, agent, api, relay)


def _await(url: str) -> None:
    def listens() -> bool:
        try:
            socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), 1).close()
        except OSError:
            return False
        return True

    wait_for(listens, url, DEADLINE_S)


def test_a_request_is_signed_relayed_and_collected(world: World) -> None:
    world.agent.heard.clear()
    [artifact], response = world.profiled()
    assert response.text.endswith("served")
    assert response.headers["x-blackfire-response"].startswith("continue=false")
    assert (artifact.status, artifact.detail) == (ArtifactStatus.COMPLETE, "")
    assert artifact.path == f"php-blackfire-{'ab' * 8}.bf"
    assert artifact.attributes["found_by"] == "query"
    profile = world.target.parsed(artifact)
    [leak] = [f for f in profile.functions if profile.frames[f.frame].function == "leak"]
    held = next(n for n, v in enumerate(profile.value_types) if v.name == "memory_held")
    assert leak.inclusive_values[held] > 1000 * 1000
    assert profile.totals["kept_bytes"] == leak.inclusive_values[held]
    # the agent has heard everything, and nothing secret is in the run's files
    [heard] = world.agent.heard
    assert heard.startswith(b"Blackfire-Auth: standin-id:standin-token\nBlackfire-Query: expires=")
    assert SIGNATURE.encode() in heard
    assert b"token=hidden" in heard
    files = [path for path in world.target.context.work_dir.rglob("*") if path.is_file()]
    assert any(path.suffix == ".bf" for path in files)
    for secret in (SIGNATURE, CLIENT_TOKEN, "standin-token", "hidden"):
        assert not [path for path in files if secret.encode() in path.read_bytes()], secret


def test_a_request_without_the_header_is_left_alone(world: World) -> None:
    world.agent.heard.clear()
    [artifact], response = world.profiled(Trigger("blackfire"))
    assert response.text.endswith("served")
    assert not [name for name in response.headers if "blackfire" in name]
    assert world.agent.heard == []
    assert artifact.status is ArtifactStatus.MISSING
    assert "the response has no word of Blackfire" in artifact.detail


def test_what_the_agent_refuses_is_said(world: World) -> None:
    world.agent.reply = b"Blackfire-Error: 103 Samples quota is out\n\n"
    try:
        [artifact], response = world.profiled()
    finally:
        world.agent.reply = OK
    assert response.status_code == 200
    assert (artifact.status, artifact.path) == (ArtifactStatus.MISSING, None)
    assert artifact.detail == "the agent refused: 103 Samples quota is out"


def test_what_blackfire_does_not_sign_is_one_error(world: World) -> None:
    world.api.special["/api/v1/signing"] = [(402, {"message": "no more"})]
    with pytest.raises(HarnessError, match="quota of this Blackfire account is used up: no more"):
        ADAPTER.trigger(world.target.context, "blackfire")


# --- scripts ---------------------------------------------------------------------------------------------------------


def test_a_script_under_the_command(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "bin"
    directory.mkdir()
    command = StandInCommand(directory)
    context = replace(world.target.context, work_dir=tmp_path / "work")
    context.work_dir.mkdir()
    [prepared, _] = ADAPTER.prepare(context, [LaunchPlan("job", ("php", str(PAGE)), {}, tmp_path)]).plans
    assert any("blackfire.agent_socket" in word for word in prepared.argv)
    trigger = ADAPTER.trigger(context, "blackfire", prepared.argv)
    assert trigger.argv is not None
    done = subprocess.run(
        trigger.argv, env={**os.environ, "PATH": f"{directory}:{os.environ['PATH']}"}, capture_output=True, text=True,
        check=False, timeout=DEADLINE_S,
    )  # fmt: skip
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "served{"), done.stderr
    run = next(call for call in command.calls() if call[0] == "run")
    assert run == ["run", "--json", "--title", "harness", "php", str(PAGE)]  # without our agent, and to no relay
    response = ProfiledResponse("", "each_round", 0, 1, 2, {})
    [artifact] = ADAPTER.collect(context, trigger, response, tmp_path / "artifacts")
    assert (artifact.status, artifact.detail) == (ArtifactStatus.COMPLETE, "")
    assert artifact.path is not None
    profile = ADAPTER.parse("blackfire", tmp_path / "artifacts" / artifact.path)
    assert profile.totals["kept_bytes"] == 1_100_000
    # another time the probe sends nothing
    command.tell(run="No data received from the probe")
    again = ADAPTER.trigger(context, "blackfire", prepared.argv)
    assert again.argv != trigger.argv
    [missing] = ADAPTER.collect(context, again, response, tmp_path / "artifacts")
    assert missing.detail == "blackfire run was ended before it told anything"
    subprocess.run(again.argv or (), env={**os.environ, "PATH": f"{directory}:{os.environ['PATH']}"}, check=False,
                   timeout=DEADLINE_S, capture_output=True)  # fmt: skip
    [missing] = ADAPTER.collect(context, again, response, tmp_path / "artifacts")
    assert missing.detail == "No data received from the probe: is Blackfire's extension in this PHP?"
    with pytest.raises(UsageError, match="profiles no worker that goes on"):
        ADAPTER.trigger(context, "blackfire", prepared.argv, ends=False)


# --- what is missing is said before the run --------------------------------------------------------------------------


def checks(world: World, **section: str) -> dict[str, Check]:
    blackfire = {"agent": world.agent.address, "listen": f"tcp://127.0.0.1:{free_port()}", **section}
    context = replace(world.target.context, options={"blackfire": blackfire})
    plan = LaunchPlan("page", ("php", "-S", f"127.0.0.1:{free_port()}", str(PAGE)))
    found = ADAPTER.preflight(context, [plan])
    return {c.name: c for c in found if c.name.startswith("php.blackfire")}


def test_what_is_missing_is_said_before_the_run(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = checks(world)
    assert found["php.blackfire.account"].message == "credentials from the environment"
    assert [name for name, c in found.items() if c.level is CheckLevel.ERROR] == ["php.blackfire.extension"]
    assert "Blackfire's extension is not in php" in found["php.blackfire.extension"].message
    monkeypatch.delenv("BLACKFIRE_CLIENT_TOKEN")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "file").touch()
    found = checks(world, agent=f"unix://{tmp_path}/file", listen=world.agent.address.replace("127.0.0.1", "localhost"))
    assert "no client token" in found["php.blackfire.account"].message
    assert found["php.blackfire.agent"].message.endswith("file is not a socket")
    found = checks(world, agent=f"tcp://127.0.0.1:{free_port()}")
    assert "agent cannot be reached" in found["php.blackfire.agent"].message
    assert found["php.blackfire.agent"].fix is not None
    with pytest.raises(UsageError, match="neither unix:///PATH nor tcp://HOST:PORT"):
        checks(world, agent="8307")
    with pytest.raises(UsageError, match="are the same"):
        checks(world, listen=world.agent.address)
    context = replace(world.target.context, options={})
    [missing] = [c for c in ADAPTER.preflight(context, ()) if c.name == "php.blackfire"]
    assert "needs target.php.blackfire" in missing.message


def test_a_run_that_cannot_have_it_ends_before_it_begins(tmp_path: Path, world: World) -> None:
    port = free_port()
    (tmp_path / "scenario.yaml").write_text(
        f"name: x\ntarget: {{runtime: php, launch: 'php -S 127.0.0.1:{port} {PAGE}', ready: 'http://127.0.0.1:{port}/',\n"
        f"  php: {{blackfire: {{agent: '{world.agent.address}', listen: 'tcp://127.0.0.1:{free_port()}'}}}}}}\n"
        "requests: [{name: home, get: /}]\nprofile: [blackfire]\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "harness", "run", "scenario.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False,
        timeout=250,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "Blackfire's extension is not in php" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_the_relay_the_page_is_served_and_the_reason_known(world: World) -> None:
    """The last of all: it ends the relay."""
    end_group(world.relay)
    [artifact], response = world.profiled()
    assert response.text.endswith("served")
    assert artifact.status is ArtifactStatus.MISSING
    assert artifact.detail.startswith("Blackfire's extension answered: 101")
