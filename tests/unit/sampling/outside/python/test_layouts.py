"""The table of layouts: what is in it, which line a target gets, and that it is what the headers say."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

import harness.sampling
from harness.sampling.outside.python import layouts
from harness.sampling.outside.refusal import Refused

CHECKOUT = Path(__file__).parents[5]
PY311, PY312, PY313 = 0x030B, 0x030C, 0x030D
TABLE = layouts.shipped()


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("layouts_python", CHECKOUT / ".dev/layouts_python.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def own_head(version: str, **changes: int) -> list[int]:
    """The first words of the ``_PyRuntime`` of a build that describes itself as its line says."""
    layout = next(layout for layout in TABLE if layout.version == version)
    head = [0] * layouts.DEBUG_WORDS
    head[0] = int.from_bytes(b"xdebugpy", "little")
    for name, place in layout.offsets.items():
        if name.startswith("debug."):
            what = name.removeprefix("debug.")
            head[place // 8] = changes.get(
                what, layout.gc_bytes if what == "sizeof_gc" else layout.offsets.get(what, 0)
            )
    return head


def test_one_line_for_each_build_in_order(tool: ModuleType) -> None:
    lines = tool.committed()
    assert lines == tool.merged(lines, [])
    assert {layout.minor for layout in TABLE} >= {0x0308, 0x0309, 0x030A, PY311, PY312, PY313}


def test_what_the_headers_here_say(tool: ModuleType) -> None:
    assert shutil.which("cc"), "this test compiles against Python's headers: apt install gcc"
    directories = tool.include_directories()
    own = Path(sysconfig.get_path("include")).resolve()
    assert own in directories, f"the headers of our own Python are not in {own}: apt install python3-dev"
    committed = {tool.key(line): line for line in tool.committed()}
    for directory in directories:
        line = tool.table_line(directory)
        assert committed.get(tool.key(line)) == line, f"run .dev/layouts_python.py --update {directory}"


def test_it_is_found_in_a_zipped_package(tmp_path: Path) -> None:
    archive = tmp_path / "sampling.zip"
    package = Path(harness.sampling.__file__).parent
    with zipfile.ZipFile(archive, "w") as into:
        for path in package.rglob("*"):
            if path.suffix in (".py", ".jsonl"):
                into.write(path, Path("sampling") / path.relative_to(package))
    program = "from sampling.outside.python import layouts; print(len(layouts.shipped()), layouts.__file__)"
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path[0] = {str(archive)!r}; {program}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == [str(len(TABLE)), f"{archive}/sampling/outside/python/layouts.py"]


def test_another_format_is_not_read() -> None:
    with pytest.raises(ValueError, match="format"):
        layouts.parse(b'{"format": 2}\n')


@pytest.mark.parametrize("layout", TABLE, ids=lambda layout: layout.version)
def test_every_line_is_found_by_its_size(layout: layouts.Layout) -> None:
    head = own_head(layout.version)
    (found,) = layouts.candidates(TABLE, layout.minor, layout.version, layout.runtime_bytes, head)
    assert found.version == layout.version
    assert found.offsets.items() >= layout.offsets.items()
    if layout.minor < PY313:  # embedded, no version to be had
        (found,) = layouts.candidates(TABLE, None, "", layout.runtime_bytes, head)
        assert found.minor == layout.minor


def test_an_unknown_size_is_refused_with_the_way_out() -> None:
    with pytest.raises(Refused, match=r"version 3\.11, sizeof\(_PyRuntime\) 4711; .*layouts_python\.py --update"):
        layouts.candidates(TABLE, PY311, "3.11.99", 4711, [0] * layouts.DEBUG_WORDS)
    with pytest.raises(Refused, match="version unknown"):
        layouts.candidates(TABLE, None, "", 4711, ())


def test_a_size_of_another_version_is_refused() -> None:
    with pytest.raises(Refused):
        layouts.candidates(TABLE, PY312, "3.12.0", 166688, [0] * layouts.DEBUG_WORDS)


def test_a_build_that_describes_itself_differently_is_refused() -> None:
    for change in ("interpreter.gc", "thread.next", "sizeof_gc", "gc.collecting", "runtime.interpreters_head"):
        with pytest.raises(Refused):
            layouts.candidates(TABLE, PY313, "3.13.0", 283320, own_head("3.13.0", **{change: 7}))


def test_an_unknown_size_that_describes_itself_has_only_what_can_be_proved() -> None:
    found = layouts.candidates(TABLE, PY313, "3.13.2", 283352, own_head("3.13.0"))
    assert {layout.offsets["gc.generations"] for layout in found} == {20, 24}  # the collector's own lists will tell
    assert not layouts.OPTIONAL & {name for layout in found for name in layout.offsets}


def test_free_threaded_builds_say_so() -> None:
    head = own_head("3.13.0")
    assert not layouts.free_threaded(PY313, head)
    head[2] = 1
    assert layouts.free_threaded(PY313, head)
    assert not layouts.free_threaded(PY312, head)
    assert not layouts.free_threaded(None, ())
    for bad in ([0] * layouts.DEBUG_WORDS, ()):
        with pytest.raises(Refused, match="_Py_DebugOffsets"):
            layouts.free_threaded(PY313, bad)
