"""The command line and the environment of a php-fpm: it writes its title over both, and keeps copies on its heap.

Sources: sapi/fpm/fpm/fpm_env.c (the title, the environment), fpm_process_ctl.c (``saved_argv``, an array of pointers to copies of
the words that ends with NULL, for a reload by SIGUSR2). Where no such array is found, that is said rather than guessed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

# Any, as ini files may name any in ${NAME}; but nothing that tells the loader what to run.
_VARIABLE = re.compile(rb"\0((?!LD_)[A-Za-z_][A-Za-z0-9_]{0,63}=[^\0]{0,4096})(?=\0)")
_MOST_VARIABLES = 1000
_PROGRAM = re.compile(rb"php-fpm[0-9.-]{0,8}\0")
_MOST_HEAP, _MOST_MAPS = 64 << 20, 1 << 20
_MOST_WORDS, _LONGEST_WORD = 256, 4096
_POINTER = 8  # bytes; PHP on 32 bits is not looked into


@dataclass(frozen=True, slots=True)
class Held:
    """``argv``: empty when it was not found. ``environment``: what looks like a variable, at most 1000."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]


def held_by_fpm(process: Path) -> Held | None:
    """What the heap of a php-fpm says; None when its memory may not be read. ``process`` is its directory in /proc."""
    try:
        with open(process / "maps", "rb") as maps, open(process / "mem", "rb", buffering=0) as memory:
            for line in maps.read(_MOST_MAPS).splitlines():
                if line.endswith(b"[heap]"):
                    start, end = (int(edge, 16) for edge in line.split(b" ", 1)[0].split(b"-"))
                    return read_heap(os.pread(memory.fileno(), min(end - start, _MOST_HEAP), start), start)
    except (OSError, ValueError, OverflowError):
        return None
    return Held((), {})


def read_heap(heap: bytes, address: int) -> Held:
    """Pure. ``address``: of the first byte."""
    environment = pairs(match[1] for match in islice(_VARIABLE.finditer(heap), _MOST_VARIABLES))
    found = [_words(heap, address, m.start()) for m in _PROGRAM.finditer(heap)]
    return Held(max(found, key=len, default=()), environment)


def pairs(entries: Iterable[bytes]) -> dict[str, str]:
    """``NAME=value`` entries as a mapping; of two with one name the first counts, as for getenv()."""
    found: dict[str, str] = {}
    for entry in entries:
        name, equals, value = os.fsdecode(entry).partition("=")
        if equals:
            found.setdefault(name, value)
    return found


def _words(heap: bytes, address: int, inside: int) -> tuple[str, ...]:
    """The words of an array that begins with a pointer to the string around ``inside``; () when there is none."""
    first = (address + heap.rfind(b"\0", 0, inside) + 1).to_bytes(_POINTER, "little")
    array = heap.find(first)
    while array != -1:
        words = _array(heap, address, array) if array % _POINTER == 0 else ()
        if words:
            return words
        array = heap.find(first, array + 1)
    return ()


def _array(heap: bytes, address: int, at: int) -> tuple[str, ...]:
    words: list[str] = []
    for position in range(at, at + _MOST_WORDS * _POINTER, _POINTER):
        pointer = int.from_bytes(heap[position : position + _POINTER], "little")
        if pointer == 0:
            return tuple(words) if words and "=" not in words[0] else ()
        start = pointer - address
        end = heap.find(b"\0", start, start + _LONGEST_WORD) if 0 <= start < len(heap) else -1
        if end == -1:
            break
        words.append(os.fsdecode(heap[start:end]))
    return ()
