"""The small captures of every format, unpacked: what the mutations start from."""

from __future__ import annotations

import gzip
from pathlib import Path

_CAPTURES = Path(__file__).parents[1] / "fixtures" / "captures"
_FILES = {
    "blackfire_probe": ("blackfire/py-wsgi.bf", "blackfire/php-fallback-v1.bf"),
    "cachegrind": ("xdebug/edge.cachegrind",),
    "callgrind": ("callgrind/plain.callgrind", "callgrind/instr.callgrind", "callgrind/parts.callgrind.gz"),
    "memprof": ("memprof/app.callgrind", "memprof/app.heap"),
    "xdebug_gcstats": ("xdebug/collector.gcstats",),
    "xdebug_trace": ("xdebug/edge.xt",),
    "xhprof": ("xhprof/tideways.json", "xhprof/tideways.xhprof"),
}


def samples() -> dict[str, tuple[bytes, ...]]:
    """By name of the format."""
    return {name: tuple(_content(_CAPTURES / file) for file in files) for name, files in _FILES.items()}


def _content(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data
