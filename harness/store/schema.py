"""The SQLite schema of a run. Documented column by column in docs/store.md; `layout.FORMAT` names its version."""

from harness.store.chunk import ASCII_FIRST, LATIN_SHIFT, LONGEST, MOST_DIGITS, RADIX

_ASCII_LAST = ASCII_FIRST + RADIX - 1


def _symbol(text: str) -> str:
    """SQL for the code of the character of ``text`` at position.i."""
    found = f"unicode(substr({text}, position.i + 1, 1))"
    return f"{found} - {ASCII_FIRST} - {LATIN_SHIFT} * ({found} > {_ASCII_LAST})"


def _digits(width: int) -> str:
    """SQL for the code that ``width`` characters of chunk.text at position.i stand for."""
    return " + ".join(
        f"{RADIX ** (width - 1 - k)} * (unicode(substr(text, {width} * position.i + {k + 1}, 1)) - {ASCII_FIRST})"
        for k in range(width)
    )


_CODE = "\n    ".join(
    ["CASE width WHEN 0 THEN 0", f"WHEN 1 THEN {_symbol('text')}"]
    + [f"WHEN {width} THEN {_digits(width)}" for width in range(2, MOST_DIGITS + 1)]
    + ["ELSE CAST(substr(text, width * position.i + 1, width) AS INTEGER) END"]
)
_IN_TAIL = "SELECT value FROM sample_tail WHERE tick_id = tick.id AND series_id = chunk.series_id"

# One plain join, so that SQLite merges it into the query that uses it and reads only the series asked for. CROSS JOIN fixes the
# order of the three; a chunk without a base is open: its values are in the tail.
_SAMPLE = f"""
CREATE VIEW sample (series_id, t_ns, value) AS
SELECT chunk.series_id, tick.t_ns,
  CASE WHEN base IS NULL THEN ({_IN_TAIL}) ELSE base + step * position.i + scale * (
    {_CODE}) END
FROM chunk CROSS JOIN position ON position.i < chunk.n CROSS JOIN tick ON tick.id = first_tick + tick_step * position.i
  + CASE WHEN ticks IS NULL THEN 0 ELSE {_symbol("ticks")} END
WHERE base IS NOT NULL OR EXISTS ({_IN_TAIL});
"""  # noqa: S608  # constants only

_SAMPLES = f"""
CREATE TABLE lane (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE tick (id INTEGER PRIMARY KEY, t_ns INTEGER NOT NULL);
CREATE TABLE series (
  id INTEGER PRIMARY KEY, metric TEXT NOT NULL, process_id INTEGER REFERENCES process, lane_id INTEGER NOT NULL REFERENCES lane,
  UNIQUE (metric, process_id));
CREATE TABLE sample_tail (
  tick_id INTEGER NOT NULL, series_id INTEGER NOT NULL, value INTEGER NOT NULL, PRIMARY KEY (tick_id, series_id)) WITHOUT ROWID;
CREATE TABLE chunk (
  series_id INTEGER NOT NULL REFERENCES series, first_tick INTEGER NOT NULL, tick_step INTEGER NOT NULL, ticks TEXT, n INTEGER NOT NULL,
  base INTEGER, step INTEGER NOT NULL, scale INTEGER NOT NULL, width INTEGER NOT NULL, text TEXT,
  PRIMARY KEY (series_id, first_tick)) WITHOUT ROWID;
CREATE INDEX chunk_open ON chunk (series_id) WHERE base IS NULL;
CREATE TABLE position (i INTEGER PRIMARY KEY);
WITH RECURSIVE counted (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM counted WHERE i < {LONGEST - 1})
  INSERT INTO position SELECT i FROM counted;
"""  # noqa: E501, S608  (one table reads best on one line; constants only)

_OBJECTS = """
CREATE TABLE object_type (id INTEGER PRIMARY KEY, runtime TEXT NOT NULL, name TEXT NOT NULL, UNIQUE (runtime, name));
CREATE TABLE object_tally (
  process_id INTEGER NOT NULL REFERENCES process, t_ns INTEGER NOT NULL, type_id INTEGER NOT NULL REFERENCES object_type,
  count INTEGER NOT NULL, bytes INTEGER NOT NULL, every INTEGER NOT NULL, PRIMARY KEY (process_id, t_ns, type_id)) WITHOUT ROWID;
CREATE VIEW object_count (process_id, t_ns, runtime, type, count, bytes, every) AS
SELECT process_id, t_ns, runtime, name, count, bytes, every FROM object_tally JOIN object_type ON object_type.id = type_id;
"""

_RUN = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE anchor (host TEXT NOT NULL, monotonic_ns INTEGER NOT NULL, wall_ns INTEGER NOT NULL);
CREATE TABLE window (
  id INTEGER PRIMARY KEY, phase TEXT NOT NULL, round INTEGER, block INTEGER,
  start_ns INTEGER NOT NULL, end_ns INTEGER, floor_ns INTEGER);
CREATE TABLE process (
  id INTEGER PRIMARY KEY, host TEXT NOT NULL, pid INTEGER NOT NULL, start_ticks INTEGER NOT NULL, ppid INTEGER NOT NULL,
  comm TEXT NOT NULL, cmdline TEXT NOT NULL, uid INTEGER, pool TEXT NOT NULL, born_ns INTEGER NOT NULL,
  first_seen_ns INTEGER NOT NULL, last_seen_ns INTEGER NOT NULL, ended_ns INTEGER, UNIQUE (host, pid, start_ticks));
CREATE TABLE endpoint (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE span (
  id INTEGER PRIMARY KEY, span_id TEXT NOT NULL, endpoint_id INTEGER NOT NULL REFERENCES endpoint, phase TEXT NOT NULL,
  round INTEGER, block INTEGER, user INTEGER NOT NULL, intended_ns INTEGER, start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL,
  status INTEGER, error TEXT, body_bytes INTEGER NOT NULL, failed_checks TEXT);
CREATE TABLE record (
  id INTEGER PRIMARY KEY, source TEXT NOT NULL, pid INTEGER NOT NULL, span_id TEXT, sequence INTEGER, start_ns INTEGER, end_ns INTEGER,
  wall_end_ns INTEGER, name TEXT NOT NULL, status INTEGER, first_in_process INTEGER, data TEXT NOT NULL);
CREATE TABLE boot (source TEXT NOT NULL, pid INTEGER NOT NULL, ppid INTEGER, t_ns INTEGER NOT NULL, runtime_version TEXT NOT NULL, argv TEXT NOT NULL);
CREATE TABLE tool (source TEXT NOT NULL, pid INTEGER NOT NULL, span_id TEXT, t_ns INTEGER NOT NULL, tool TEXT NOT NULL, file TEXT, error TEXT, data TEXT NOT NULL);
CREATE TABLE event (id INTEGER PRIMARY KEY, t_ns INTEGER NOT NULL, kind TEXT NOT NULL, process_id INTEGER REFERENCES process, text TEXT NOT NULL, attributes TEXT NOT NULL);
CREATE TABLE artifact (
  id INTEGER PRIMARY KEY, tool TEXT NOT NULL, adapter TEXT NOT NULL, path TEXT, status TEXT NOT NULL, span_id TEXT, endpoint TEXT, pid INTEGER,
  t_ns INTEGER NOT NULL, size_bytes INTEGER, detail TEXT NOT NULL, attributes TEXT NOT NULL);
CREATE TABLE missing (signal TEXT PRIMARY KEY, reason TEXT NOT NULL, costs TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE tail (file TEXT PRIMARY KEY, offset INTEGER NOT NULL) WITHOUT ROWID;
"""  # noqa: E501  (one table reads best on one line)

SCHEMA = _RUN + _SAMPLES + _OBJECTS + _SAMPLE
