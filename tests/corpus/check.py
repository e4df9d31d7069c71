"""Have every format read every damaged and hostile file, in a process of its own whose memory is limited.

    python -m tests.corpus.check mutations COUNT SEED
    python -m tests.corpus.check hostile

Prints one JSON object: what went wrong, how many files gave a profile and how many a reason, the most memory it had.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from harness.plugins.formats import FileFormat, head_of, recognised
from harness.plugins.registry import load_formats
from harness.report.profile_view import Choice, Source, document, text
from tests.corpus.hostile import hostile_files
from tests.corpus.mutations import mutations
from tests.corpus.samples import samples
from tests.support.sound_profiles import assert_sound

_LIMIT_BYTES = 2 << 30  # of address space, so that no mistake takes the machine down


def main(arguments: list[str]) -> None:
    """Run the part that is asked for."""
    resource.setrlimit(resource.RLIMIT_AS, (_LIMIT_BYTES, _LIMIT_BYTES))
    formats = {format_.name: format_ for format_ in load_formats()}
    files = _hostile() if arguments[0] == "hostile" else _mutated(int(arguments[1]), int(arguments[2]))
    seen: Counter[str] = Counter()
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "profile"
        for name, format_name, data in files:
            path.write_bytes(data)
            del data
            try:
                seen[f"{format_name} {_outcome(formats[format_name], path)}"] += 1
                recognised(head_of(path), tuple(formats.values()))
            except BaseException:  # noqa: BLE001  # whatever it is, it is what we look for
                wrong.append(f"{name}\n{traceback.format_exc(limit=-3)}")
    print(json.dumps({"wrong": wrong[:5], "seen": seen, "peak_mib": _peak_mib()}))  # noqa: T201  # its result


def _outcome(format_: FileFormat, path: Path) -> str:
    try:
        profile = format_.read(path)
    except ValueError:
        return "refused"
    assert_sound(profile)
    source = Source("file", format_.name, format_.title)
    assert all(letter.isprintable() or letter == "\n" for letter in text(source, profile, Choice()))
    document(source, profile, Choice()).encode("ascii")
    return "read"


def _mutated(count: int, seed: int) -> Iterator[tuple[str, str, bytes]]:
    known = samples()
    everything = [sample for group in known.values() for sample in group]
    for name, group in known.items():
        for sample_number, sample in enumerate(group):
            for number, data in enumerate(mutations(sample, everything, seed, count)):
                yield f"{name}, sample {sample_number}, mutation {number} of seed {seed}", name, data


def _hostile() -> Iterator[tuple[str, str, bytes]]:
    for name, (format_name, make) in hostile_files().items():
        yield name, format_name, make()


def _peak_mib() -> int:
    """Of this program alone: ``ru_maxrss`` begins with what the process was before."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) >> 10


if __name__ == "__main__":
    main(sys.argv[1:])
