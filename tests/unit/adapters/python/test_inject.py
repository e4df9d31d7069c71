"""What a running process is made to execute, and what gdb is told."""

import builtins
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.python import attach, inject
from harness.errors import TargetError

PATHS = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=80)


@given(PATHS)
def test_a_snippet_is_one_word_for_gdb_whatever_the_path(path: str) -> None:
    text = inject.snippet(Path("/") / path)
    assert text.isascii()
    assert not {'"', "\\", "\n", "$"} & set(text)
    assert all('"' not in word or word.count('"') == 2 for word in inject.gdb_arguments(1, text))


@pytest.mark.parametrize("name", ["plain.py", 'it\'s "quoted" \\ é.py', "a\nb.py"])
def test_a_snippet_runs_a_file_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("import builtins\nleft_behind = 1\nbuiltins.test_inject_ran = __name__\n")
    space = {"__builtins__": builtins, "open": None, "exec": None}
    try:
        exec(inject.snippet(path), space)
        assert builtins.test_inject_ran == "harness"  # type: ignore[attr-defined]  # set by the file
    finally:
        del builtins.test_inject_ran  # type: ignore[attr-defined]
    assert space.keys() == {"__builtins__", "open", "exec"}


def test_a_snippet_raises_nothing(tmp_path: Path) -> None:
    exec(inject.snippet(tmp_path / "not there.py"), {})
    (tmp_path / "wrong.py").write_text("raise SystemExit(3)")
    exec(inject.snippet(tmp_path / "wrong.py"), {})


def test_the_bootstrap_keeps_hostile_settings_as_they_are(tmp_path: Path) -> None:
    settings = {"HARNESS_TOKEN": "'''\"\\\n{x}%s", "HARNESS_RECORDS": "/é\udcff"}
    answer = tmp_path / "answer"
    text = attach.bootstrap(settings, tmp_path / "no agent here", answer)
    assert text.isascii()
    seen: list[object] = []
    exec(text.replace("\nenter(", "\nseen("), {"seen": lambda *arguments: seen.append(arguments)})
    assert seen == [(settings, str(tmp_path / "no agent here"), str(answer))]
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True, timeout=100)
    assert (done.stdout, done.stderr) == ("", "")
    assert "FileNotFoundError" in answer.read_text()


def test_remote_execution_is_for_the_same_version_only() -> None:
    own = sys.version_info[:2]
    for version in ((3, 8), (3, 13)):
        assert inject.by_remote_exec(version) == ""
    if own >= (3, 14):
        assert inject.by_remote_exec(own) is None
    reason = inject.by_remote_exec((3, 99))
    assert reason is not None
    assert "only a harness under Python 3.99" in reason


def test_without_gdb_there_is_a_next_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TargetError) as caught:
        inject.with_gdb(1, tmp_path / "x.py")
    assert "apt install gdb" in (caught.value.hint or "")


def test_a_path_that_does_not_fit(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="too long"):
        inject.with_gdb(1, Path("/" + "/".join(["x" * 200] * 10)))


def test_gdb_on_a_process_that_is_not_there(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as gone:
        pass
    with pytest.raises(TargetError, match=f"process {gone.pid} has ended"):
        inject.with_gdb(gone.pid, tmp_path / "x.py")
