"""docs/store.md: its queries run on a run, and its table lists what is there."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from pathlib import Path

import pytest

from harness.model.process import ProcessInfo, ProcessKey
from harness.model.run import RunManifest, RunStatus
from harness.store import layout
from harness.store.writer import Recorder

DOCUMENT = (Path(__file__).parents[3] / "docs" / "store.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"^```sql\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
KEY = ProcessKey("", 100, 5)


@pytest.fixture
def db(tmp_path: Path) -> contextlib.closing[sqlite3.Connection]:
    """A run of ten minutes that is still being recorded when its recorder is gone."""
    recorder = Recorder(tmp_path)
    recorder.manifest(
        RunManifest(layout.FORMAT, "id", "0", "shop", "", {}, {}, "any", 0, 10**9, None, RunStatus.RECORDING, "", {})
    )
    recorder.process(ProcessInfo(KEY, 1, "worker", "worker", 0, "app", 0, 0, 0, None))
    for second in range(1, 601):
        memory = [(f"process.memory.{name}", KEY, second << 20) for name in ("pss", "rss")]
        recorder.samples(second * 10**9, [*memory, ("system.meminfo.MemAvailable", None, (700 - second) << 20)])
    recorder.commit()
    path = tmp_path / layout.DATABASE
    return contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True))


def test_queries_give_what_their_comments_say(db: contextlib.closing[sqlite3.Connection]) -> None:
    with db as connection:
        pss, growth, available = (connection.execute(query).fetchall() for query in QUERIES)
    assert pss == [(second - 1, 100, second) for second in range(1, 601)]
    assert growth == [(100, "worker", 1 << 20, 600 << 20)]
    assert available == [(minute, 700 - min(60 * minute + 59, 600)) for minute in range(11)]


def test_every_table_is_described(db: contextlib.closing[sqlite3.Connection]) -> None:
    with db as connection:
        names = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')")}
    listed = set(re.findall(r"`(\w+)[` ]", DOCUMENT))
    assert names <= listed


def test_every_way_to_write_a_code_is_described() -> None:
    table = DOCUMENT[DOCUMENT.index("| `width` |") : DOCUMENT.index("`ticks` holds")]
    assert len(table.splitlines()) - 3 == 4
    assert layout.FORMAT in DOCUMENT
