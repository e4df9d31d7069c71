"""The load generator as the session speaks to it: a real one, against a server of the test."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from harness.errors import TargetError
from harness.scenario.reader import parse_scenario
from harness.session import compiling
from harness.session.load_client import LoadClient
from harness.session.pump import Pump
from harness.store.unrecorded import NoRecorder

SCENARIO = """
name: shop
target: {launch: serve, ready: "http://127.0.0.1:1/"}
requests: [{name: home, get: /}]
load: {rounds: 7, requests_per_round: 60}
"""


class Handler(BaseHTTPRequestHandler):
    """Answers once `go` is set."""

    arrived = threading.Event()
    go = threading.Event()

    def do_GET(self) -> None:
        self.arrived.set()
        self.go.wait(100)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_after_a_wait_that_was_cut_short_the_next_request_waits_for_the_one_on_its_way() -> None:
    """As when a program that a tool needs ends during the request: the next tool has its turn."""
    troubled = False

    def periodic() -> None:
        nonlocal troubled
        if troubled:
            Handler.go.set()
        elif Handler.arrived.is_set():
            troubled = True
            raise TargetError("the companion ended")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        plan = compiling.load_plan(parse_scenario(SCENARIO), f"http://127.0.0.1:{server.server_port}", {})
        with Pump(periodic) as pump:
            load = LoadClient(pump, NoRecorder(), plan.to_json())
            try:
                with pytest.raises(TargetError, match="the companion ended"):
                    load.one("home", {}, {}, None, 30)
                first, _ = load.one("home", {}, {}, None, 30)
                second, _ = load.one("home", {}, {}, None, 30)
            finally:
                load.stop()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert (first.status, second.status) == (200, 200)
    assert first.span_id != second.span_id
