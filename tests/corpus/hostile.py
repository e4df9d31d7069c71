"""Files that somebody made to use up memory or time, or to end a reader in an error it does not expect. Small once packed."""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Callable, Mapping

_CALLGRIND = b"# callgrind format\nversion: 1\nevents: Ir\n\n"
_XDEBUG = (
    b"version: 1\ncreator: xdebug 3.2.0 (PHP 8.2.36)\ncmd: x\npart: 1\npositions: line\n\n"
    b"events: Time_(10ns) Memory_(bytes)\n\n"
)
_MEMPROF = b"version: 1\ncmd: unknown\npositions: line\nevents: MemorySize BlocksCount\n\n"
_TRACE = b"Version: 3.2.0\nFile format: 4\nTRACE START [2026-11-23 10:15:00.000000]\n"
_GCSTATS = b"Garbage Collection Report\nversion: 1\ncreator: xdebug 3.2.0 (PHP 8.2.36)\n\n"
_PROBE = b"file-format: BlackfireProbe\n"
_HEAP = b"--- symbol\nbinary=x\n0x08 f\n---\n--- profile\n" + struct.pack("<5Q", 0, 3, 0, 0, 0)
_HEADS = {
    "callgrind": _CALLGRIND, "cachegrind": _XDEBUG, "memprof": _MEMPROF, "xdebug_trace": _TRACE, "xdebug_gcstats": _GCSTATS,
    "blackfire_probe": _PROBE, "xhprof": b'{"ct":',
}  # fmt: skip
_MIB = 1 << 20


def hostile_files() -> Mapping[str, tuple[str, Callable[[], bytes]]]:
    """Name -> name of the format, and what makes the file."""
    found: dict[str, tuple[str, Callable[[], bytes]]] = {}
    for name, head in _HEADS.items():
        found[f"{name}: one endless line"] = name, lambda head=head: _packed(head + b"x" * (96 * _MIB))
        found[f"{name}: empty lines"] = name, lambda head=head: _packed(head + b"\n" * (6 * _MIB))
        found[f"{name}: NUL"] = name, lambda head=head: _packed(head + b"\0" * (32 * _MIB))
        found[f"{name}: nothing behind the head"] = name, lambda head=head: head
    found |= {
        "callgrind: 450000 names": ("callgrind", lambda: _CALLGRIND + _many(b"fn=(%d) f%d\n1 1\n")),
        "callgrind: 450000 lines of calls": (
            "callgrind",
            lambda: _CALLGRIND + b"fn=f\n" + _many(b"cfn=g\ncalls=1 %d\n%d 1\n"),
        ),
        "callgrind: everybody calls everybody": ("callgrind", _tangled),
        "callgrind: a chain of 30000 functions": ("callgrind", _chain),
        "memprof: 450000 paths": ("memprof", lambda: _MEMPROF + _many(b"fn=f%d\n1 %d 1\n\n")),
        "memprof: one path 50000 deep": ("memprof", _deep_dump),
        "memprof: a stack that is longer than the file": ("memprof", lambda: _HEAP + struct.pack("<3Q", 1, 2**63, 8)),
        "memprof: stacks of a million": (
            "memprof",
            lambda: _HEAP + struct.pack("<2Q", 1, _MIB) + struct.pack("<Q", 8) * _MIB,
        ),
        "xhprof: nested JSON": ("xhprof", lambda: b'{"a":' * 500_000),
        "xhprof: a long JSON list": ("xhprof", lambda: b'{"ct":[' + b"1," * (4 * _MIB)),
        "xhprof: an array that says it is large": ("xhprof", lambda: b'a:999999999:{s:1:"a";'),
        "xhprof: nested arrays": ("xhprof", lambda: b'a:1:{s:1:"a";' * 500_000),
        "xhprof: 450000 calls": ("xhprof", lambda: b"a:450000:{" + _many(b's:7:"%07d";a:1:{s:2:"ct";i:%d;}')),
        "xhprof: 20000 calls in a circle": ("xhprof", _circle),
        "blackfire_probe: 450000 costs": (
            "blackfire_probe",
            lambda: _PROBE + b"\n" + _many(b"f%d==>g%d//1 1 1 1 1\n"),
        ),
        "cachegrind: 450000 names": ("cachegrind", lambda: _XDEBUG + _many(b"fl=(1) a\nfn=(%d) f%d\n1 1 1\n\n")),
        "xdebug_trace: calls that never end": (
            "xdebug_trace",
            lambda: _TRACE + _many(b"%d\t%d\t0\t0.1\t1\tf\t1\t\t/a\t1\t0\n"),
        ),
    }
    return found


def _packed(data: bytes) -> bytes:
    return gzip.compress(data, 1, mtime=0)


def _many(line: bytes, count: int = 450_000) -> bytes:
    return b"".join(line % ((number,) * line.count(b"%")) for number in range(1, count))


def _tangled() -> bytes:
    calls = (b"fn=f%d\n1 1\n" % a + b"".join(b"cfn=f%d\ncalls=1 1\n1 9\n" % b for b in range(300)) for a in range(300))
    return _CALLGRIND + b"".join(calls)


def _chain() -> bytes:
    return _CALLGRIND + b"".join(b"fn=f%d\n1 1\ncfn=f%d\ncalls=1 1\n1 1\n" % (n, n + 1) for n in range(30_000))


def _deep_dump() -> bytes:
    inner = b"fn=f\n1 1 1\n\n"
    return _MEMPROF + inner + b"fn=f\n1 1 1\ncfn=f\ncalls=1 1\n1 1 1\n\n" * 50_000


def _circle() -> bytes:
    costs = {f"f{n}==>f{(n + 1) % 20_000}@1": {"ct": 1, "wt": 1} for n in range(20_000)}
    return json.dumps(costs, separators=(",", ":")).encode()
