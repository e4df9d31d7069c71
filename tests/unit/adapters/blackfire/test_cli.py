"""The driver of the blackfire command against a stand-in for it: command lines, JSON, exit statuses. The vendor's was not at
hand; for that is the live test at the end."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from blackfire_command import EDGES, ENVELOPE, NEW_SHAPE, OLD_SHAPE, UUID, StandInCommand
from hypothesis import given
from hypothesis import strategies as st

from adapters.blackfire.cli import (
    Cli,
    CliResult,
    command_line,
    drive,
    find_cli,
    graph,
    read_graph,
    read_result,
    refusal,
)
from adapters.formats import blackfire_profile
from harness.errors import TargetError, UsageError


@pytest.fixture
def command(tmp_path: Path) -> StandInCommand:
    directory = tmp_path / "bin"
    directory.mkdir()
    return StandInCommand(directory)


def run(command: StandInCommand, result: Path, *words: str, env: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "adapters.blackfire.cli", "--result", str(result), *words],
        env={**os.environ, "PATH": env if env is not None else f"{command.directory}:{os.environ['PATH']}"},
        capture_output=True, text=True, check=False, timeout=100, stdin=subprocess.DEVNULL,
    )  # fmt: skip


SCRIPT = (
    sys.executable,
    "-c",
    "import sys; print('{\"own\": 1}'); print('oops', file=sys.stderr); sys.exit(int(sys.argv[1]))",
)


def test_a_script_under_it(command: StandInCommand, tmp_path: Path) -> None:
    done = run(
        command, tmp_path / "result", "--env", "e-uuid", "--title", "round 3", "run", "--", *SCRIPT, "0", "--", "--json"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith('{"own": 1}\n')
    assert "oops\n" in done.stderr
    told = json.loads((tmp_path / "result").read_text())
    assert (told["uuid"], told["exit_code"], told["problem"], told["envelope"]) == (UUID, 0, "", ENVELOPE)
    assert told["graph_url"].endswith("/graph")
    profile = blackfire_profile.read((tmp_path / "result.bf").read_bytes())
    assert profile.complete
    assert profile.totals["kept_bytes"] == 1_100_000
    values = {profile.frames[f.frame].function: f.inclusive_values for f in profile.functions}
    assert values["App::leak"] == (900_000, 800_000, 1_090_000, 20)
    assert command.calls() == [
        ["help", "--json"],
        ["run", "--json", "--env", "e-uuid", "--title", "round 3", *SCRIPT, "0", "--", "--json"],
        ["profile:graph", "--json", UUID],
    ]


def test_the_scripts_own_status_passes_through(command: StandInCommand, tmp_path: Path) -> None:
    assert run(command, tmp_path / "result", "run", "--", *SCRIPT, "7").returncode == 7
    told = json.loads((tmp_path / "result").read_text())
    assert (told["uuid"], told["exit_code"]) == (UUID, 7)


def test_a_probe_that_sent_nothing(command: StandInCommand, tmp_path: Path) -> None:
    command.tell(run="No data received from the probe, is it installed?")
    assert run(command, tmp_path / "result", "run", "--", *SCRIPT, "0").returncode == 1
    told = json.loads((tmp_path / "result").read_text())
    assert told["uuid"] == ""
    assert told["problem"].startswith("No data received from the probe")
    assert not (tmp_path / "result.bf").exists()


def test_a_graph_that_cannot_be_had_is_said(command: StandInCommand, tmp_path: Path) -> None:
    command.tell(profile_graph=[2, {"code": 2, "message": "bad token", "hint": "log in"}])
    assert run(command, tmp_path / "result", "curl", "--", "http://127.0.0.1/").returncode == 0
    told = json.loads((tmp_path / "result").read_text())
    assert told["uuid"] == UUID
    assert told["problem"].endswith("Blackfire does not accept the credentials: bad token")


def test_without_the_command_there_is_one_error(command: StandInCommand, tmp_path: Path) -> None:
    done = run(command, tmp_path / "result", "run", "--", *SCRIPT, "0", env="/nowhere")
    assert done.returncode == 125
    assert "blackfire cli: Blackfire's command line is not installed" in done.stderr
    assert "Traceback" not in done.stderr
    assert "not installed" in json.loads((tmp_path / "result").read_text())["problem"]


def test_what_it_can_is_asked_for(command: StandInCommand) -> None:
    found = find_cli(str(command.directory))
    assert found.knows("run")
    assert found.knows("curl")
    assert not found.knows("top")
    with pytest.raises(UsageError, match="has no command top"):
        command_line(found, "top", ["x"])
    command.tell(help="old")
    assert find_cli(str(command.directory)).knows("run")
    with pytest.raises(UsageError, match="needs something to profile"):
        command_line(found, "run", [])
    assert command_line(Cli("b"), "run", ["x"], "e", "two\nlines") == (
        "b",
        "run",
        "--json",
        "--env",
        "e",
        "--title",
        "two lines",
        "x",
    )


def test_the_graph_is_asked_for_again_while_it_is_not_there(command: StandInCommand) -> None:
    command.tell(profile_graph=[3, {"message": "not found"}])
    waits: list[float] = []

    def appear(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            command.tell(profile_graph={"graph": {"edges": EDGES}})

    found = graph(find_cli(str(command.directory)), CliResult(0, UUID), appear)
    assert waits == [1.0, 2.0]
    assert found.costs["main()"] == (1, 5000, 4000, 1_100_000, 4_400_000)  # from profile:show
    command.tell(profile_graph=[4, {"message": "no network"}])
    with pytest.raises(TargetError, match="cannot be reached: no network"):
        graph(find_cli(str(command.directory)), CliResult(0, UUID), lambda seconds: None)
    command.tell(profile_graph={"nodes": []})
    with pytest.raises(TargetError, match="it lists no edges"):
        graph(find_cli(str(command.directory)), CliResult(0, UUID, ENVELOPE))


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        (1, UsageError, "command line"),
        (2, UsageError, "credentials"),
        (3, TargetError, "not found"),
        (4, TargetError, "cannot be reached"),
        (9, TargetError, "exit status 9"),
    ],
)
def test_exit_statuses(code: int, kind: type[Exception], said: str) -> None:
    error = refusal("blackfire x", code, b'{"code": 1, "message": "why\\u001b[1m", "hint": "do this"}')
    assert type(error) is kind
    assert said in error.message
    assert (error.message.endswith("why [1m"), error.hint) == (True, "do this")
    assert said in refusal("blackfire x", code, b"words\n").message


def test_both_shapes_of_the_envelope() -> None:
    for shape in (OLD_SHAPE, NEW_SHAPE, {"uuid": UUID, "profile": {"envelope": ENVELOPE}}):
        for indent in (None, 2):
            said = json.dumps(shape, indent=indent).encode()
            for before in (b"", b'{"not": "it"}\n', b"no line end", b'{"id": "open'):
                found = read_result(0, before + said + b"\n", b"")
                assert (found.uuid, found.envelope, found.problem) == (UUID, ENVELOPE, "")
            assert read_result(0, said + b"\nand more\n", b"").uuid == UUID
    failed = {**OLD_SHAPE, "status": {"failure_reason": "corrupt\ndata"}}
    assert (
        read_result(0, json.dumps(failed).encode(), b"").problem == "Blackfire could not make the profile: corrupt data"
    )
    assert read_result(3, b"", b'{"message": "no"}').problem == "no"
    assert read_result(3, b"", b"").problem == "blackfire told of no profile (exit status 3)"
    assert read_result(0, b'{"id": "../../x"}', b"").uuid == ""


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_output_is_read(stdout: bytes, stderr: bytes) -> None:
    assert read_result(0, stdout, stderr).problem
    assert read_result(0, b"{" * 50_000 + stdout, b"[" * 50_000 + stderr).problem


@pytest.mark.parametrize(
    "found",
    [None, 7, {}, {"edges": []}, [7], [{"callee": "x"}], [{"callee": "", "cost": {"wt": 1}}],
     [{"callee": "x", "cost": {"zz": 1}}], [{"callee": "x", "cost": {"wt": 1}}, {"callee": "x", "cost": {"mu": 1}}]],
)  # fmt: skip
def test_what_is_no_graph(found: object) -> None:
    with pytest.raises(ValueError, match="edge"):
        read_graph(found, {})


# --- live ------------------------------------------------------------------------------------------------------------


def test_live_with_the_vendors_command(tmp_path: Path) -> None:
    """Opt-in: one profile of the account's quota."""
    if os.environ.get("HARNESS_BLACKFIRE_LIVE") != "1":
        pytest.skip(
            "NOT RUN: the live test of the blackfire command needs HARNESS_BLACKFIRE_LIVE=1, the command, and an account"
        )
    if shutil.which("blackfire") is None or shutil.which("php") is None:
        pytest.skip("NOT RUN: the live test of the blackfire command: there is no blackfire or no php in PATH")
    done = subprocess.run(
        [sys.executable, "-m", "adapters.blackfire.cli", "--result", str(tmp_path / "r"), "run", "--", "php", "-r", "phpinfo();"],
        capture_output=True, text=True, check=False, timeout=110,
    )  # fmt: skip
    told = json.loads((tmp_path / "r").read_text())
    assert (done.returncode, told["problem"]) == (0, "")
    assert blackfire_profile.read((tmp_path / "r.bf").read_bytes()).functions


def test_what_a_program_leaves_in_the_background_is_not_waited_for() -> None:
    """It has our pipes still, and would keep them as long as it lives."""
    out, err = io.BytesIO(), io.BytesIO()
    result = drive(("/bin/sh", "-c", "sleep 600 & echo $! >&2; echo said"), out, err)
    os.kill(int(err.getvalue()), signal.SIGKILL)  # it is there still
    assert (result.exit_code, out.getvalue()) == (0, b"said\n")
