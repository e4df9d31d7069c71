"""Fetching results: links, pipes, sizes, half-written lines."""

import json
import os
from pathlib import Path

import pytest

from adapters.python import collect
from adapters.python.collect import RecordScanner, copy_result, read_result, wait_for
from harness.model.span import ToolRecord

SPAN = "0123456789abcdef"


def line(span: str = SPAN, file: str | None = "a.json", pid: int = 1) -> bytes:
    record = {
        "k": "tool",
        "rt": "python",
        "pid": pid,
        "t": 1,
        "span": span,
        "tool": "tracemalloc",
        "file": file,
        "error": None,
        "v": {},
    }
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


@pytest.fixture
def records(tmp_path: Path) -> Path:
    (tmp_path / "records").mkdir()
    return tmp_path / "records" / "python-1.ndjson"


@pytest.fixture
def scanner(tmp_path: Path) -> RecordScanner:
    return RecordScanner(tmp_path, "records/python-*.ndjson")


def test_half_a_line_is_read_when_it_is_whole(records: Path, scanner: RecordScanner) -> None:
    text = line()
    records.write_bytes(b'{"k":"req"}\n' + text[:20])
    assert scanner.new_tool_records() == []
    with records.open("ab") as stream:
        stream.write(text[20:])
    assert [r.span_id for r in scanner.new_tool_records()] == [SPAN]
    assert scanner.new_tool_records() == []


def test_a_line_across_chunks(records: Path, scanner: RecordScanner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect, "_CHUNK_BYTES", 300)
    records.write_bytes(b"x" * 100 + b"\n" + line("1" * 16) + b"y" * 1000 + b"\n" + line("2" * 16))
    assert [r.span_id for r in scanner.new_tool_records()] == ["1" * 16, "2" * 16]


def test_names_with_paths_are_no_records(records: Path, scanner: RecordScanner) -> None:
    records.write_bytes(line(file="../../etc/passwd") + line(file=".hidden") + line(file="a/b"))
    assert scanner.new_tool_records() == []


def test_records_files_that_are_not_files_are_left_alone(records: Path, scanner: RecordScanner, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(line())
    records.symlink_to(tmp_path / "elsewhere")
    os.mkfifo(records.with_name("python-2.ndjson"))
    records.with_name("python-3.ndjson").mkdir()
    assert scanner.new_tool_records() == []


def test_waiting_ends(records: Path, scanner: RecordScanner) -> None:
    records.write_bytes(line("1" * 16))
    found: list[ToolRecord] = []
    assert wait_for(scanner, lambda record: found.append(record) or False, 0) is None  # type: ignore[func-returns-value]  # None is the point
    assert [r.span_id for r in found] == ["1" * 16]


def test_a_result_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"{}")
    assert read_result(tmp_path, "a.json", os.getpid()) == b"{}"


def test_what_a_worker_cannot_have_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    (tmp_path / "symlink").symlink_to(secret)
    (tmp_path / "hardlink").hardlink_to(secret)
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "directory").mkdir()
    for name in ("symlink", "hardlink", "fifo", "directory", "missing"):
        with pytest.raises(ValueError, match="the result"):
            read_result(tmp_path, name, os.getpid())
    (tmp_path / "large").write_bytes(b"x" * 11)
    monkeypatch.setattr(collect, "RESULT_CAP_BYTES", 10)
    with pytest.raises(ValueError, match="larger"):
        read_result(tmp_path, "large", os.getpid())


def test_a_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.json").write_bytes(b"{}")
    monkeypatch.setattr(collect, "_owners", lambda pid, owner: {owner + 1})
    with pytest.raises(ValueError, match="belongs to uid"):
        read_result(tmp_path, "a.json", os.getpid())


def test_a_large_result_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect, "_CHUNK_BYTES", 3)
    (tmp_path / "a.bin").write_bytes(b"0123456789")
    found = copy_result(tmp_path, "a.bin", os.getpid(), tmp_path / "copy", 10)
    assert (tmp_path / "copy").read_bytes() == b"0123456789"
    assert found.st_uid == os.geteuid()


def test_a_copy_is_refused_as_a_result_is(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"0123456789")
    (tmp_path / "symlink").symlink_to(tmp_path / "a.bin")
    with pytest.raises(ValueError, match="cannot open"):
        copy_result(tmp_path, "symlink", os.getpid(), tmp_path / "copy", 10)
    with pytest.raises(ValueError, match="at most 0 MiB are collected"):
        copy_result(tmp_path, "a.bin", os.getpid(), tmp_path / "copy", 9)
    assert not (tmp_path / "copy").exists()
