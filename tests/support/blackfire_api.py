"""A stand-in for Blackfire's HTTP API, made from what the genuine php-sdk asked. Nothing of blackfire.io is in it."""

from __future__ import annotations

import ast
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CAPTURE = Path(__file__).parents[1] / "fixtures" / "captures" / "blackfire" / "php-sdk-2.5.13-api-requests.txt"
CLIENT_ID, CLIENT_TOKEN = "cid", "ctok"
PROFILE_UUID = "11111111-2222-4333-8444-555555555555"
COLLAB_TOKEN = "aaaaaaaa-0000-4000-8000-000000000000"
SIGNATURE = "c2lnbmVkIGJ5IGEgc3RhbmQtaW4"
QUERY_STRING = (
    f"expires=4000000000&userId=u&agentIds=request-id-{PROFILE_UUID}&collabToken={COLLAB_TOKEN}"
    f"&profileSlot=0&signature={SIGNATURE}"
)
ENVELOPE = {"ct": 120, "wt": 14629, "cpu": 13368, "io": 1261, "nw": 0, "mu": 1318277, "pmu": 4458759}
TOKENS = [
    {"type": "personal", "collabToken": COLLAB_TOKEN, "name": "Jane", "search_identifiers": []},
    {
        "type": "env",
        "collabToken": "bbbbbbbb-0000-4000-8000-000000000000",
        "name": "shop",
        "search_identifiers": ["shop-id"],
    },
]
_LINE = re.compile(r"([A-Z]+) (\S+) (\{.*?\}) ?(.*)")

Answer = tuple[int, object]


def captured() -> list[tuple[str, str, dict[str, str], str]]:
    """Method, path, headers, body of each request of the php-sdk."""
    found = []
    for line in CAPTURE.read_text().splitlines():
        match = _LINE.fullmatch(line)
        assert match, line
        found.append((match[1], match[2], ast.literal_eval(match[3]), match[4]))
    return found


class StandInApi:
    """Answers like the API as far as it is known. ``special``: what a path answers instead, one after another; ``polls``: how
    often a profile is not ready."""

    def __init__(self, port: int, polls: int = 1) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.asked: list[tuple[str, str, dict[str, str], str]] = []
        self.special: dict[str, list[Answer]] = {}
        self._polls = polls
        self._signed = 0

    def answer(self, method: str, path: str, headers: dict[str, str], body: str) -> Answer:
        self.asked.append((method, path, headers, body))
        if self.special.get(path):
            return self.special[path].pop(0)
        if headers.get("Authorization") != captured()[0][2]["Authorization"]:
            return 401, {"message": f"Bad credentials {headers.get('Authorization')}"}
        if (method, path) == ("GET", "/api/v1/collab-tokens"):
            return 200, {"collabTokens": TOKENS}
        if (method, path) == ("POST", "/api/v1/signing"):
            options = {"aggreg_samples": 10, "flag_cpu": 1, "flag_memory": 1, "flag_timespan": 1}
            query = QUERY_STRING + (str(self._signed) if self._signed else "")  # no two signatures are the same
            self._signed += 1
            return 201, {"uuid": PROFILE_UUID, "query_string": query, "options": options, "_links": {}}
        if (method, path) == ("GET", f"/api/v1/profiles/{PROFILE_UUID}"):
            self._polls -= 1
            if self._polls >= 0:
                return 200, {"uuid": PROFILE_UUID, "status": {"name": "queued", "code": 0}}
            links = {"graph_url": {"href": "https://blackfire.io/profiles/x/graph"}}
            status = {"name": "finished", "code": 64, "failure_reason": None}
            return 200, {"uuid": PROFILE_UUID, "status": status, "envelope": ENVELOPE, "_links": links}
        if method == "PUT" and path.startswith(f"/api/v1/profiles/{PROFILE_UUID}"):
            return 200, {}
        return 404, {"message": "Not found"}


@contextmanager
def stand_in_api(polls: int = 1) -> Iterator[StandInApi]:
    """The stand-in on a port of the loopback interface."""

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            status, said = api.answer(self.command, self.path, dict(self.headers), self.rfile.read(size).decode())
            body = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = _serve  # noqa: N815  (names of the base class)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        api = StandInApi(server.server_port, polls)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()
