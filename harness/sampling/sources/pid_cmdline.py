"""``/proc/PID/cmdline``: NUL-separated arguments, or whatever title the process wrote over them."""

from __future__ import annotations

from ..reading import process_directory, read_file

CAP_BYTES = 1 << 16


def parse(data: bytes) -> tuple[str, ...]:
    """The arguments; bytes that are not UTF-8 are replaced. Empty for kernel threads and zombies.

    Titles leave padding behind (trailing NULs, spaces), which is dropped.
    """
    text = data.decode("utf-8", "replace").rstrip("\0 ")
    return tuple(text.split("\0")) if text else ()


def read(mount: str, pid: int, cap_bytes: int = CAP_BYTES) -> tuple[str, ...]:
    """Raises OSError."""
    return parse(read_file(process_directory(mount, pid) + "/cmdline", cap_bytes))
