"""A real run whose every text is a secret, packed: none of them is in the bundle, in no report, in no spelling; and it still says
the same. What is planted where: `PLANTED`, and `tests/programs/python_told_app.py`.
"""

from __future__ import annotations

import base64
import gzip
import html
import json
import random
import re
import sqlite3
import string
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from processes import free_port, harness
from pyarrow import parquet

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
PROGRAMS = Path(__file__).parents[1] / "programs"
_LETTERS = string.ascii_letters + string.digits

# Keys as services make them: nothing but their look says what they are. Wherever a program can put a text.
MADE_UP = (
    "module", "function", "literal", "type", "key", "mapped", "log", "exception", "header", "set_cookie", "folder", "path_part",
    "argument", "endpoint", "raw_artifact", "deleted_row", "rule", "query_key",
)  # fmt: skip
# Words as people choose them, where it is the place that says what they are.
CHOSEN = (
    "password_option", "userinfo", "env_secret", "env_given", "cookie", "header_value", "query", "form_password", "json_secret",
    "basic", "api_key", "title", "customer",
)  # fmt: skip
# What identifies people and machines: not a secret at home, never in a bundle.
PERSONAL = ("customer", "title", "form_email", "query", "env_given")


@dataclass(frozen=True)
class Told:
    """A recorded run, what was planted, its bundle, and what its reports are."""

    run: Path
    bundle: Path
    secrets: Mapping[str, str]
    reports: Mapping[str, bytes]


def planted(seed: int) -> dict[str, str]:
    """Each different, so that one that is found says where it came from."""
    made = random.Random(seed)
    secrets = {}
    for name in MADE_UP:
        middle = "".join(made.choice(_LETTERS) for _ in range(24))
        secrets[name] = f"a7{middle}9Z3k"  # made by a machine for certain: letters and digits alternate
    words = ("wombat", "harvest", "gravel", "lantern", "pickle", "saddle", "tundra", "velvet")
    for name in CHOSEN:
        secrets[name] = f"{made.choice(words)}-{made.choice(words)}-{made.randrange(1000, 9999)}"
    secrets["title"] = f"w {made.choice(words)}{made.randrange(100, 999)}"
    secrets["customer"] = secrets["form_password"]  # a key that memory is held by, and sent in a field
    secrets["form_email"] = f"{made.choice(words)}.{made.choice(words)}{made.randrange(100, 999)}@customers.example.org"
    return secrets


def scenario(directory: Path, secrets: Mapping[str, str]) -> dict[str, Any]:
    port = free_port()
    told = {
        **secrets,
        "directory": str(directory / f"files_{secrets['folder']}"),
        "module": f"stock_{secrets['module']}",
    }
    place = Path(told["directory"])
    place.mkdir()
    (place / f"{told['module']}.py").write_text(
        f"def build_{secrets['function']}(kind):\n"
        f"    rows = [(kind(), bytearray(600), '{secrets['literal']}') for _ in range(3)]\n"
        "    return rows\n"
    )
    (directory / "told.json").write_text(json.dumps(told))
    launch = (
        f"{sys.executable} -m gunicorn python_told_app:app -w 1 -b 127.0.0.1:{port} --no-control-socket"
        f" --env DB_PASSWORD={secrets['password_option']} --env DATABASE_URL=postgres://shop:{secrets['userinfo']}@db.internal/shop"
        f" --env PLAIN={secrets['argument']} --name password={secrets['api_key']}"
    )
    (directory / "rules").mkdir()
    (directory / "rules" / "own.yaml").write_text(
        "rules:\n  - id: call-us\n    causes: [leak.objects]\n    action: Call " + secrets["rule"] + "\n"
        "    because: It grows.\n    expected: help\n    risk: none\n    rollback: none\n    verify: ask\n"
    )
    return {
        "name": "told",
        "target": {
            "runtime": "python", "cwd": str(PROGRAMS), "launch": launch, "ready": f"http://127.0.0.1:{port}/",
            "env": {"TOLD_FILE": str(directory / "told.json"), "SHOP_TOKEN": secrets["env_secret"], "GIVEN": "${GIVEN}"},
        },
        "requests": [
            {
                "name": "home", "get": f"/?session={secrets['query']}&k={secrets['query_key']}",
                "headers": {"X-Tenant": secrets["header_value"], "Authorization": f"Basic {secrets['basic']}"},
                "cookies": {"sid": secrets["cookie"]},
            },
            {
                "name": "keep", "post": f"/keep/{secrets['path_part']}", "weight": 2,
                "form": {"email": secrets["form_email"], "password": secrets["form_password"]},
            },
            {"name": f"order {secrets['endpoint']}", "post": "/other", "json": {"card": {"secret": secrets["json_secret"]}}},
            {"name": "fails", "get": "/fails", "check": {"status": 200}},
        ],
        "load": {"rounds": 7, "requests_per_round": 100, "concurrency": 1, "warmup_rounds": 1, "blocks": 4},
        "profile": {
            "tools": ["tracemalloc", "survivors", "lines", "memory_profiler"], "endpoints": ["keep", "home"],
            "functions": [f"{told['module']}:build_{secrets['function']}"],
        },
        "expect": ["verdict is leak"],
    }  # fmt: skip


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    directory = tmp_path_factory.mktemp("told")
    secrets = planted(20261126)
    (directory / "scenario.yaml").write_text(json.dumps(scenario(directory, secrets)))
    env = {"GIVEN": secrets["env_given"]}
    with harness("run", "scenario.yaml", "--prescriptions", "rules", cwd=directory, env=env) as process:
        code, out, err = process.finish()
        process.assert_nothing_left()
    assert code == 0, f"{out}\n{err}"
    run = Path(out.splitlines()[-1])
    leave_traces(run, secrets)
    bundle = directory / "told.zip"
    assert called("bundle", run, "-o", bundle, cwd=directory, env=env) == f"{bundle}\n".encode()
    reports = {name: called("report", run, "--format", name, cwd=directory) for name in FORMATS}
    reports |= {f"of the run: {path.name}": path.read_bytes() for path in (run / "report.html", run / "report.json")}
    reports["terminal"] = out.encode()
    return Told(run, bundle, secrets, reports)


def called(*arguments: object, cwd: Path, env: Mapping[str, str] | None = None) -> bytes:
    with harness(*arguments, cwd=cwd, env=dict(env or {})) as process:
        code, out, err = process.finish()
    assert code == 0, err
    return out.encode()


def leave_traces(run: Path, secrets: Mapping[str, str]) -> None:
    """What a database keeps of rows that are gone, and files that nobody speaks of."""
    db = sqlite3.connect(run / "run.sqlite")
    db.executescript("PRAGMA journal_mode=WAL; PRAGMA secure_delete=OFF")
    rows = [(1, "note", secrets["deleted_row"] * 20, "{}")] * 500
    db.executemany("INSERT INTO event (t_ns, kind, text, attributes) VALUES (?,?,?,?)", rows)
    db.commit()
    db.execute("DELETE FROM event WHERE kind = 'note'")
    db.commit()
    db.close()
    assert secrets["deleted_row"].encode() in (run / "run.sqlite").read_bytes()
    (run / "artifacts" / f"dump-{secrets['raw_artifact']}.txt").write_text(secrets["raw_artifact"])


def spellings(secret: str) -> Iterator[bytes]:
    """The secret in every form in which a file may hold it."""
    for encoding in ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le"):
        yield secret.encode(encoding)
    yield quote(secret, safe="").encode()
    yield quote_plus(secret).encode()
    yield html.escape(secret).encode()
    yield json.dumps(secret)[1:-1].encode()
    yield secret.encode().hex().encode()
    for shift in range(3):  # base64 of a text that holds it begins at any of three places
        coded = base64.b64encode(b"\0" * shift + secret.encode())
        inner = coded[4 if shift else 0 : -4]
        yield inner
        yield inner.replace(b"+", b"-").replace(b"/", b"_")


def contents(bundle: Path) -> Iterator[tuple[str, bytes]]:
    """The file itself, each member, and every value in the database."""
    yield "the file", bundle.read_bytes()
    with zipfile.ZipFile(bundle) as archive:
        for info in archive.infolist():
            yield f"name {info.filename}", info.filename.encode() + info.comment + info.extra
            data = archive.read(info)
            yield info.filename, data
            if info.filename.endswith(".sqlite"):
                yield from values(data)


def values(data: bytes) -> Iterator[tuple[str, bytes]]:
    db = sqlite3.connect(":memory:")
    db.deserialize(data)
    for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        for row in db.execute(f"SELECT * FROM {table}"):
            yield f"table {table}", " ".join(map(str, row)).encode("utf-8", "replace")
    assert db.execute("PRAGMA freelist_count").fetchone() == (0,)


def unfolded(report: bytes) -> bytes:
    """A report with the compressed blocks of the page unpacked behind it."""
    blocks = re.findall(rb'<script type="text/plain" id="[^"]+">([A-Za-z0-9+/=]+)</script>', report)
    return report + b"".join(gzip.decompress(base64.b64decode(block)) for block in blocks)


def found_in(secrets: Mapping[str, str], places: Iterator[tuple[str, bytes]]) -> list[str]:
    forms = {name: set(spellings(secret)) for name, secret in secrets.items()}
    return sorted(
        {
            f"{name} in {place}"
            for place, data in places
            for name, each in forms.items()
            if any(form in data for form in each)
        }
    )


def test_the_secrets_are_in_the_run(told: Told) -> None:
    """Else the other tests say nothing: nearly all of what was planted is on disk, in the database or beside it."""
    files = [(str(path), path.read_bytes()) for path in told.run.rglob("*") if path.is_file()]
    present = {found.partition(" in ")[0] for found in found_in(told.secrets, iter(files))}
    never_written = {
        "password_option",
        "userinfo",
        "api_key",
        "env_given",
    }  # masked when they were recorded, or not resolved
    assert set(told.secrets) - present <= never_written | {"header", "set_cookie", "argument", "literal"}


def test_no_secret_is_in_the_bundle(told: Told) -> None:
    assert found_in(told.secrets, contents(told.bundle)) == []


def test_what_was_asked_for_is_redacted_too(told: Told, tmp_path: Path) -> None:
    full = tmp_path / "full.zip"
    called("bundle", told.run, "-o", full, "--with-source", "--with-logs", cwd=tmp_path,
           env={"GIVEN": told.secrets["env_given"]})  # fmt: skip
    assert found_in(told.secrets, contents(full)) == []
    with zipfile.ZipFile(full) as archive:
        assert b"log line of /" in archive.read("logs/log-1.txt")


def test_no_secret_is_in_a_report(told: Told) -> None:
    """At home names stay, so the customer's name does; what was sent, and whatever looks like a key, does not."""
    secrets = {name: secret for name, secret in told.secrets.items() if name not in (*PERSONAL, "rule")}
    assert found_in(secrets, ((name, unfolded(data)) for name, data in told.reports.items())) == []
    assert b"hidden-" in unfolded(told.reports["html"])  # names that were masked are still told apart


FORMATS = ("html", "json", "md", "text", "junit", "github")
TIMELINES = ("chrome-trace", "csv", "firefox", "openmetrics", "otlp", "parquet")
PROFILES = ("callgrind", "collapsed", "pprof", "speedscope")


def test_no_secret_is_in_what_is_exported(told: Told, tmp_path: Path) -> None:
    secrets = {name: secret for name, secret in told.secrets.items() if name not in PERSONAL}
    for name in TIMELINES:
        called("export", told.run, "--format", name, "-o", tmp_path / name, cwd=tmp_path)
    for name in PROFILES:
        called("export", told.run, "--profiles", name, "-o", tmp_path / name, cwd=tmp_path)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > len(TIMELINES) + len(PROFILES)
    places = ((str(path.relative_to(tmp_path)), str(path).encode() + plain(path)) for path in files)
    assert found_in(secrets, places) == []


def plain(path: Path) -> bytes:
    data = path.read_bytes()
    if data.startswith(b"PAR1"):
        return str(parquet.read_table(path).to_pylist()).encode()
    return gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data


def test_nor_in_a_report_of_the_bundle_or_its_list(told: Told, tmp_path: Path) -> None:
    places = {
        name: unfolded(called("report", told.bundle, "--format", name, cwd=tmp_path))
        for name in ("html", "json", "text")
    }
    places["list"] = called("bundle", "--list", told.bundle, cwd=tmp_path)
    assert found_in(told.secrets, iter(places.items())) == []
    assert b"left out" in places["list"]
    assert b"log of the target" in places["list"]


def outline(report: dict[str, Any]) -> object:
    """What must be the same: everything but names."""
    findings = [
        (
            f["cause"], f["severity"], f["confidence"], f["growth"], [(e["signal"], e["value"]) for e in f["evidence"]],
            (f["subject"]["location"] or {}).get("line"),
        )
        for f in report["findings"]
    ]  # fmt: skip
    endpoints = [(e["requests"], e["errors"], e["retained_bytes_per_request"], e["ci95"]) for e in report["endpoints"]]
    profiles = [
        (p["tool"], list(p["totals"].values()), [o["values"] for o in p["top_objects"]]) for p in report["profiles"]
    ]
    return (
        report["verdict"]["cause"], report["verdict"]["confidence"], findings, endpoints, profiles, report["ledger"],
        [(e["passed"]) for e in report["expectations"]], report["coverage"]["by_method"],
    )  # fmt: skip


def test_it_says_the_same_elsewhere(told: Told, tmp_path: Path) -> None:
    ours, theirs = (
        json.loads(told.reports["json"]),
        json.loads(called("report", told.bundle, "--format", "json", cwd=tmp_path)),
    )
    assert ours["verdict"]["cause"].startswith("leak")
    assert outline(theirs) == outline(ours)
    location = theirs["findings"][0]["subject"]["location"]
    assert location["line"] == 2
    assert theirs["findings"][0]["subject"]["endpoint"] == "keep"


def test_the_same_run_gives_the_same_bytes(told: Told, tmp_path: Path) -> None:
    called("bundle", told.run, "-o", tmp_path / "again.zip", cwd=tmp_path, env={"GIVEN": told.secrets["env_given"]})
    assert (tmp_path / "again.zip").read_bytes() == told.bundle.read_bytes()


# -- PHP ----------------------------------------------------------------------------------------------------------------

PHP_MADE_UP = (
    "function",
    "class",
    "file",
    "array_key",
    "exception",
    "log",
    "header",
    "path_part",
    "literal",
    "argument",
)
PHP_CHOSEN = ("cookie", "query", "form_password", "ini")
PHP = """<?php
class Order_{class} {{ public $note; function __construct() {{ $this->note = strrev('{literal}'); }} }}
require_once __DIR__ . '/stock_{file}.php';
error_log('seen {log}');
header('X-Reply: {header}');
$kept = build_{function}('{argument}');
if (strpos($_SERVER['REQUEST_URI'], '/fails') === 0) {{
    throw new RuntimeException('no customer {exception}');
}}
echo count($kept);
"""
STOCK = """<?php
function build_{function}($of) {{
    $rows = [];
    foreach (range(1, 50) as $n) {{ $rows['{array_key}'][] = new Order_{class}(); }}
    return $rows;
}}
"""


def php_secrets() -> dict[str, str]:
    secrets = planted(7)
    names = {name: secrets[other] for name, other in zip(PHP_MADE_UP, MADE_UP, strict=False)}
    return names | {name: secrets[other] for name, other in zip(PHP_CHOSEN, CHOSEN, strict=False)}


def test_nor_is_one_of_php_and_its_profiles(tmp_path: Path) -> None:
    """Functions, classes and files as Xdebug names them, a trace of every call, and what php-fpm and nginx were told."""
    secrets, port = php_secrets(), free_port()
    with tempfile.TemporaryDirectory() as place:  # where php-fpm's workers, who are somebody else, may read
        docroot = Path(place, "public")
        docroot.mkdir()
        (docroot / "index.php").write_text(PHP.format(**secrets))
        (docroot / f"stock_{secrets['file']}.php").write_text(STOCK.format(**secrets))
        for path in (Path(place), docroot, *docroot.iterdir()):
            path.chmod(0o755)
        serve = {"docroot": str(docroot), "front_controller": "index.php", "listen": f"127.0.0.1:{port}", "workers": 1,
                 "ini": {"user_agent": secrets["ini"]}}  # fmt: skip
        document = {
            "name": "told-php",
            "target": {"runtime": "php", "ready": f"http://127.0.0.1:{port}/", "php": {"serve": serve}},
            "requests": [
                {"name": "home", "get": f"/a?token={secrets['query']}", "cookies": {"sid": secrets["cookie"]}},
                {
                    "name": "keep",
                    "post": f"/keep/{secrets['path_part']}",
                    "form": {"password": secrets["form_password"]},
                },
                {"name": "fails", "get": "/fails", "check": {"status": 500}},
            ],
            "load": {"rounds": 7, "requests_per_round": 40, "concurrency": 1, "warmup_rounds": 1},
            "profile": {"tools": ["xdebug", "xdebug_trace"], "endpoints": ["keep"]},
        }
        (Path(place) / "scenario.yaml").write_text(json.dumps(document))
        runs = Path(place, "runs")
        out = called("run", f"{place}/scenario.yaml", "--out", runs, cwd=tmp_path).decode()
        run = Path(out.splitlines()[-1])
        bundle = tmp_path / "php.zip"
        called("bundle", run, "-o", bundle, "--with-logs", cwd=tmp_path)
        files = [(str(path), path.read_bytes()) for path in run.rglob("*") if path.is_file()]
        assert {found.partition(" in ")[0] for found in found_in(secrets, iter(files))} >= {
            "function",
            "class",
            "file",
            "query",
        }
        reports = {
            name: unfolded(called("report", run, "--format", name, cwd=tmp_path)) for name in ("html", "json", "text")
        }
    assert found_in(secrets, contents(bundle)) == []
    assert found_in(secrets, iter(reports.items())) == []
    theirs = json.loads(called("report", bundle, "--format", "json", cwd=tmp_path))
    ours = json.loads(reports["json"])
    assert outline(theirs) == outline(ours)
    assert [p["tool"] for p in theirs["profiles"] if p["top_functions"]] == ["xdebug", "xdebug_trace"]
