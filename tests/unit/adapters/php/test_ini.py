"""Quoting, checked against PHP itself: what goes in must come out of ini_get()."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from adapters.php.ini import define_options, ini_name, quoted_path, render_ini
from harness.errors import UsageError

AWKWARD = [
    "/a b/c", "a=b", "a;b", "#x", "!x", "(a)", "[a]", "{a}", "ünï", "it's", 'a"b', "x\\", "${HOME}", "a|b", "/a|b", "^", "50 %",
    "null space", "ON OFF", "E_ALL x", "-1", "", "a,b:c", "128M", "~/x", "@x", "a&b", "*", "?", "`id`", "$x",
]  # fmt: skip


def ini_get(*options: str) -> str:
    names = [f"x{i}.y" for i in range(len(AWKWARD))]
    code = "".join(f"echo get_cfg_var('{name}'), chr(0);" for name in names)
    done = subprocess.run(["php", *options, "-r", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_values_survive_as_options_and_as_ini_file(tmp_path: Path) -> None:
    settings = {f"x{i}.y": value for i, value in enumerate(AWKWARD)}
    expected = "".join(f"{value}\0" for value in AWKWARD)
    assert ini_get("-n", *define_options(settings)) == expected
    (tmp_path / "php.ini").write_text(render_ini(settings))
    assert ini_get("-c", str(tmp_path / "php.ini")) == expected


def test_constants_keep_their_meaning(tmp_path: Path) -> None:
    php = ["php", "-n", *define_options({"error_reporting": "E_ALL & ~E_NOTICE"}), "-r", "echo error_reporting();"]
    assert subprocess.run(php, capture_output=True, text=True, check=True).stdout == str(32767 & ~8)


@pytest.mark.parametrize("value", ["a\nb", "a\0b", 'it\'s "so"', "it's $x", "it's \\"])
def test_values_that_cannot_be_written_are_refused(value: str) -> None:
    with pytest.raises(UsageError, match="cannot be written safely"):
        render_ini({"precision": value})


@pytest.mark.parametrize("name", ["", "a b", "a=b", "a\nb", "[x]", ";x", "1a", "x" * 200])
def test_names_must_be_names(name: str) -> None:
    with pytest.raises(UsageError, match="not the name"):
        ini_name(name)


def test_paths_are_quoted_or_refused() -> None:
    assert quoted_path(Path("/a b;c/{d}")) == '"/a b;c/{d}"'
    for path in ('/a"b', "/a$b", "/a\\b", "/a\nb", "/a'b", "/a`b"):
        with pytest.raises(UsageError, match="would interpret"):
            quoted_path(Path(path))
