"""``harness run`` on a terminal: the live view, the fifteen lines it ends with, and the terminal as it was."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import pytest
from on_terminal import ended, on_a_terminal
from processes import free_port
from screen import Terminal

pytestmark = pytest.mark.integration
SERVER = Path(__file__).parents[1] / "programs" / "plain_server.py"


def scenario(directory: Path) -> None:
    port = free_port()
    data = {
        "name": "live",
        "target": {
            "launch": shlex.join([sys.executable, str(SERVER), str(port)]),
            "ready": f"http://127.0.0.1:{port}/ok",
        },
        "requests": [{"name": "keep", "get": "/keep?n=20000"}],
        "load": {"rounds": 7, "requests_per_round": 60, "blocks": 3, "warmup_rounds": 1, "settle": "100ms"},
        "profile": "none",
        "sample": {"interval": "200ms"},
        "guard": {"latency_p99": "20s"},
    }
    (directory / "scenario.yaml").write_text(json.dumps(data))


def test_a_run_shows_phase_traffic_memory_early_words_and_guard_rails_in_place(
    tmp_path: Path, terminal: Terminal
) -> None:
    scenario(tmp_path)
    modes = terminal.modes()
    with on_a_terminal(terminal, tmp_path, "run", "scenario.yaml") as run:
        terminal.read_until(lambda s: "rounds" in s.text and "latency p99" in s.text, "traffic")
        terminal.read_until(lambda s: re.search(r"requests +[0-9.]+/s", s.text) is not None, "a rate")
        terminal.read_until(lambda s: "so far: app grows, +" in s.text, "a word about the rounds so far")
        assert "guard: latency p99" in terminal.screen.text
        assert ended(terminal, run) == 0
        assert run.process.stdout is not None
        said = run.process.stdout.read().splitlines()
    assert terminal.modes() == modes
    assert terminal.screen.text.count("so far: app") == 1, "frames replace each other"
    assert "rounds 7/7: 60 requests" in terminal.screen.text, "what lasts scrolls past above the view"
    assert said[0].startswith("✗ leak")
    assert len(said) <= 16
    assert [line.split(":")[0] for line in said[-3:-1]] == ["report", "more"]
    assert Path(said[-1]).is_dir()


def test_plain_lines_hold_the_same_words(tmp_path: Path, terminal: Terminal) -> None:
    scenario(tmp_path)
    with on_a_terminal(terminal, tmp_path, "run", "scenario.yaml", "--plain") as run:
        assert ended(terminal, run) == 0
    assert "\x1b" not in terminal.raw
    assert "so far: app grows, +" in terminal.screen.text.replace("\n", " ")
