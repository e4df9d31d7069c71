"""The load generator as the session runs it, and a server that knows what was asked of it: both are real processes."""

from __future__ import annotations

import http.client
import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from processes import DEADLINE_S

from harness.load.plan import LoadPlan

ROW = ("span_id", "endpoint", "phase", "round", "block", "user", "intended", "start", "end", "status", "error", "body_bytes",
       "failed")  # fmt: skip
SERVER = Path(__file__).parents[1] / "programs" / "load_target.py"


class Target:
    """The test server as a process."""

    def __init__(self, *argv: str) -> None:
        self.process = subprocess.Popen([sys.executable, SERVER, *argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout
        self.port: int = json.loads(self.process.stdout.readline())["port"]
        self.url = f"http://127.0.0.1:{self.port}"

    def get(self, path: str) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        try:
            connection.request("GET", path, headers={"connection": "close"})
            return connection.getresponse().read()
        finally:
            connection.close()

    def log(self) -> list[dict[str, Any]]:
        """Requests asked of it so far."""
        log: list[dict[str, Any]] = json.loads(self.get("/log"))
        return log

    def close(self) -> None:
        self.process.communicate(timeout=DEADLINE_S)


class Load:
    """The load generator and the session's side of the protocol."""

    def __init__(self, plan: LoadPlan | None = None, **engine: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "harness.load"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._lines: queue.Queue[bytes] = queue.Queue()
        self.reading = threading.Event()
        self.reading.set()
        self.code: int | None = None
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.spans: list[dict[str, Any]] = []
        self.health: dict[str, Any] = {}
        self.blocks: list[dict[str, Any]] = []
        self.workers: list[dict[str, Any]] = []
        if plan is not None:
            self.send(cmd="plan", plan=plan.to_json(), **engine)
            self.wait("ready")

    def _read(self) -> None:
        assert self.process.stdout
        while line := self.process.stdout.readline():
            self._lines.put(line)
            self.reading.wait()
        self._lines.put(b"")

    def send(self, **command: object) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(command).encode() + b"\n")
        self.process.stdin.flush()

    def next(self) -> dict[str, Any] | None:
        """The next line, spans and health also kept; None at the end."""
        text = self._lines.get(timeout=DEADLINE_S)
        if not text:
            return None
        line: dict[str, Any] = json.loads(text)
        if line["k"] == "spans":
            self.spans += [dict(zip(ROW, row, strict=True)) for row in line["rows"]]
        elif line["k"] == "health":
            self.health = line
        elif line["k"] == "block":
            self.blocks.append(line)
        elif line["k"] == "worker":
            self.workers.append(line)
        return line

    def wait(self, kind: str) -> dict[str, Any]:
        """The next line of this kind; only spans and health may come before."""
        while (line := self.next()) is not None:
            if line["k"] == kind:
                return line
            assert line["k"] in {"spans", "health", "worker"}, line
        pytest.fail(f"ended without {kind!r}: {self.process.stderr.read().decode() if self.process.stderr else ''}")

    def round(self, number: int, requests: int, blocks: int = 1, phase: str = "rounds") -> list[dict[str, Any]]:
        """One round from start to end; its spans."""
        before = len(self.spans)
        self.send(cmd="round", phase=phase, round=number, requests=requests, blocks=blocks)
        for _ in range(blocks):
            self.wait("block")
            self.send(cmd="continue")
        self.wait("round")
        return self.spans[before:]

    def stage(self, **spec: object) -> None:
        self.send(cmd="stage", phase="rounds", **spec)

    def one(self, endpoint: str, **more: object) -> tuple[dict[str, Any], dict[str, str]]:
        self.send(cmd="one", id=7, endpoint=endpoint, phase="profiled", **more)
        line = self.wait("response")
        assert line["id"] == 7
        return dict(zip(ROW, line["span"], strict=True)), line["headers"]

    def finish(self) -> int:
        """End of file on its stdin; its exit code."""
        if self.code is not None:
            return self.code
        assert self.process.stdin
        assert self.process.stdout
        assert self.process.stderr
        self.reading.set()
        self.process.stdin.close()
        try:
            self.code = self.process.wait(DEADLINE_S)
        finally:
            self.process.kill()
            self._reader.join()
            self.stderr = self.process.stderr.read().decode()
            self.process.stderr.close()
            self.process.stdout.close()
            self.process.wait()
        while self.next() is not None:
            pass
        return self.code


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
