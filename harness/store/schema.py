"""The SQLite schema of a run. Documented column by column in docs/store.md; `layout.FORMAT` names its version."""

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE anchor (host TEXT NOT NULL, monotonic_ns INTEGER NOT NULL, wall_ns INTEGER NOT NULL);
CREATE TABLE window (
  id INTEGER PRIMARY KEY, phase TEXT NOT NULL, round INTEGER, block INTEGER,
  start_ns INTEGER NOT NULL, end_ns INTEGER, floor_ns INTEGER);
CREATE TABLE process (
  id INTEGER PRIMARY KEY, host TEXT NOT NULL, pid INTEGER NOT NULL, start_ticks INTEGER NOT NULL, ppid INTEGER NOT NULL,
  comm TEXT NOT NULL, cmdline TEXT NOT NULL, uid INTEGER, pool TEXT NOT NULL, born_ns INTEGER NOT NULL,
  first_seen_ns INTEGER NOT NULL, last_seen_ns INTEGER NOT NULL, ended_ns INTEGER, UNIQUE (host, pid, start_ticks));
CREATE TABLE series (id INTEGER PRIMARY KEY, metric TEXT NOT NULL, process_id INTEGER REFERENCES process, UNIQUE (metric, process_id));
CREATE TABLE sample (series_id INTEGER NOT NULL, t_ns INTEGER NOT NULL, value INTEGER NOT NULL, PRIMARY KEY (series_id, t_ns)) WITHOUT ROWID;
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
