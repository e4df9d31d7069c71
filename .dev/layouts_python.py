"""Where the fields are in CPython's structures, one table line for each build, out of its headers.

    .venv/bin/python .dev/layouts_python.py                 lines of all CPythons found here (installed, or managed by pyenv)
    .venv/bin/python .dev/layouts_python.py DIRECTORY...    of the include directories named, such as /usr/include/python3.11
    .venv/bin/python .dev/layouts_python.py --update ...    and write them into the table that the package ships

Needs a C compiler and the headers (Debian: gcc, python3-dev or pythonX.Y-dev). The C program is compiled against each set of
headers and run; nothing of Python is linked or run. Lines of builds whose headers are not here stay in the table.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

PROGRAM = Path(__file__).with_suffix(".c")
TABLE = Path(__file__).parents[1] / "harness/sampling/outside/python/layouts.jsonl"
HEADER = {"format": 1, "unit": "bytes"}


def include_directories() -> list[Path]:
    """Of our own interpreter, of those in /usr and of those that pyenv manages, where they have the internal headers."""
    candidates = [
        Path(sysconfig.get_path("include")),
        *Path("/usr/include").glob("python3.*"),
        *Path("/usr/local/include").glob("python3.*"),
        *Path.home().glob(".pyenv/versions/3.*/include/python3.*"),
    ]
    return sorted({path.resolve() for path in candidates if supported(path)})


def supported(directory: Path) -> bool:
    """3.8 to 3.14, with the headers inside. (A free-threaded build's directory ends in "t".)"""
    minor = directory.name.removeprefix("python3.")
    return minor.isdigit() and 8 <= int(minor) <= 14 and (directory / "internal").is_dir()


def table_line(directory: Path) -> str:
    """The table line of one build. Raises subprocess.CalledProcessError when it does not compile."""
    with tempfile.TemporaryDirectory() as scratch:
        program = f"{scratch}/layout"
        includes = [f"-I{directory}", f"-I{directory}/internal"]
        subprocess.run(["cc", "-w", "-DNDEBUG", *includes, str(PROGRAM), "-o", program], check=True)
        return subprocess.run([program], check=True, capture_output=True, text=True).stdout.strip()


def key(text: str) -> tuple[int, int]:
    """What tells builds apart, and their order."""
    fields = json.loads(text)
    return fields["hex"], fields["sizeof_runtime"]


def committed() -> list[str]:
    """The lines of the table, without its header."""
    return TABLE.read_text().splitlines()[1:] if TABLE.exists() else []


def merged(old: list[str], new: list[str]) -> list[str]:
    """One line for each build, sorted; new ones win."""
    lines = {key(text): text for text in [*old, *new]}
    return [lines[k] for k in sorted(lines)]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directories", nargs="*", type=Path, metavar="DIRECTORY")
    parser.add_argument("--update", action="store_true", help="write the lines into the table")
    options = parser.parse_args()
    directories = options.directories or include_directories()
    if not directories:
        sys.stderr.write("No headers of CPython 3.8 to 3.14 were found. On Debian: apt install python3-dev\n")
        return 1
    lines = merged([], [table_line(directory) for directory in directories])
    sys.stdout.write("".join(line + "\n" for line in lines))
    if options.update:
        TABLE.write_text("\n".join([json.dumps(HEADER), *merged(committed(), lines)]) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
