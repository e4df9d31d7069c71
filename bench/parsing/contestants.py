"""Who takes part, and what each says of a profile."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
YARDSTICK = "wc -l"


@dataclass(frozen=True, slots=True)
class Contestant:
    """``gives``: what it says. ``slow``: takes the medium profile. ``missing``: what to install, where it is not there."""

    name: str
    gives: str
    argv: tuple[str, ...]  # the profile comes last
    slow: bool = False
    missing: str = ""


def _ours(name: str, gives: str, reader: str, what: str, *, slow: bool = False) -> Contestant:
    return Contestant(name, gives, (sys.executable, str(HERE / "ours.py"), reader, what), slow)


def contestants(one_pass: Path) -> tuple[Contestant, ...]:
    """All of them, the yardstick first; ``one_pass`` is the compiled C program."""
    return (
        Contestant(YARDSTICK, "lines", ("wc", "-l")),
        Contestant("C, newlines byte by byte", "lines", (str(one_pass), "newlines")),
        Contestant("C, one pass, trusting", "time and memory, self and edges, no names", (str(one_pass), "edges")),
        _ours("ours, compiled, flat", "time and memory, self and edges", "compiled", "flat"),
        _ours("ours, compiled", "the same, inclusive, exact tree", "compiled", "tree"),
        _ours("ours, in Python, flat", "time and memory, self and edges", "python", "flat", slow=True),
        _ours("ours, in Python", "the same, inclusive, exact tree", "python", "tree", slow=True),
        Contestant(
            "gprof2dot", "time, self and edges", (sys.executable, "-m", "gprof2dot", "-f", "callgrind", "-o", "/dev/null"),
            slow=True, missing="" if importlib.util.find_spec("gprof2dot") else "pip install gprof2dot",
        ),
        Contestant(
            "callgrind_annotate", "time and memory, self", ("callgrind_annotate", "--threshold=100"),
            slow=True, missing="" if shutil.which("callgrind_annotate") else "apt install valgrind",
        ),
        _speedscope(),
    )  # fmt: skip


def _speedscope() -> Contestant:
    bundles = sorted((HERE / "node_modules" / "speedscope" / "dist" / "release").glob("speedscope-*.js"))
    missing = "npm install --no-package-lock --prefix bench/parsing" if not bundles else ""
    if shutil.which("node") is None:
        missing = "apt install nodejs npm"
    bundle = str(bundles[0]) if bundles else ""
    argv = ("node", str(HERE / "speedscope.js"), bundle)
    return Contestant("speedscope's importer", "time and memory, tree, guessed", argv, slow=True, missing=missing)
