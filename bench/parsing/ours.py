"""Read a profile with our parser: ours.py compiled|python tree|flat FILE. "flat" gives the tree up at once, so that inclusive
values come from the edges."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parents[2]))

from adapters.formats.cachegrind import read_cachegrind
from adapters.formats.cachegrind_text import Limits

if __name__ == "__main__":
    reader, what, profile = sys.argv[1:]
    limits = Limits() if what == "tree" else Limits(tree=0)
    read = read_cachegrind(Path(profile), compiled=reader == "compiled", limits=limits)
    assert read.functions
    assert read.edges
    assert bool(read.tree) == (what == "tree"), read.notes
