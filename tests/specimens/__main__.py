"""``python tests/specimens --help``."""

import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path[:1] = [str(TESTS), str(TESTS / "support"), str(TESTS.parent)]

from specimens.cli import main  # noqa: E402 - the lines above say where it is

if __name__ == "__main__":
    sys.exit(main())
