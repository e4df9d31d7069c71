"""The compiled reader of cachegrind blocks under AddressSanitizer and UBSan: the corpus, changed at random with fixed seeds."""

from __future__ import annotations

import gzip
import subprocess
from pathlib import Path

import pytest

from adapters.formats.kernel_source import SOURCE

ROOT = Path(__file__).parents[4]
CORPUS = sorted((ROOT / "tests" / "corpus" / "cachegrind").iterdir())
CAPTURES = ROOT / "tests" / "fixtures" / "captures" / "xdebug"
ROUNDS = 1500


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tests/support/cachegrind_fuzz.c`, compiled with the sanitizers, which end it at the first thing they find."""
    program = tmp_path_factory.mktemp("fuzz") / "fuzz"
    source = ROOT / "tests" / "support" / "cachegrind_fuzz.c"
    sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    argv = [
        "gcc",
        "-std=gnu11",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-O1",
        "-g",
        *sanitizers,
        f"-I{SOURCE.parent}",
        "-o",
        str(program),
    ]
    done = subprocess.run([*argv, str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return program


def test_no_input_makes_it_touch_what_is_not_its_own(fuzzer: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.write_bytes(gzip.decompress((CAPTURES / "small.cachegrind.gz").read_bytes())[:30_000])
    files = [*CORPUS, CAPTURES / "edge.cachegrind", small]
    done = subprocess.run([fuzzer, str(ROUNDS), *files], capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr[-4000:]
    assert ROUNDS * len(files) / 4 < int(done.stdout), "most inputs are refused at their beginning: they test little"


def test_the_sanitizers_would_notice(fuzzer: Path, tmp_path: Path) -> None:
    """The same driver with a fault put into the source."""
    fault = SOURCE.read_text().replace("if (n > NAME_MOST) n = NAME_MOST;", "n += 4096;")
    assert fault != SOURCE.read_text()
    (tmp_path / "_cachegrind.c").write_text(fault)
    program = tmp_path / "faulty"
    source = ROOT / "tests" / "support" / "cachegrind_fuzz.c"
    argv = ["gcc", "-std=gnu11", "-O1", "-fsanitize=address", f"-I{tmp_path}", "-o", str(program), str(source)]
    subprocess.run(argv, check=True)
    done = subprocess.run([program, "0", CAPTURES / "edge.cachegrind"], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "AddressSanitizer" in done.stderr
