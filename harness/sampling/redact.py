"""Text that came from a process, made fit to be stored and shown: no secrets, no control characters, not too long.

What is a secret, `harness.redact.secrets` says.
"""

from __future__ import annotations

from typing import Sequence

from ..redact.secrets import without_secret_arguments, without_secrets

COMMAND_CAP = 512  # characters kept
RAW_CAP_BYTES = 4096  # bytes looked at


def printable(text: str) -> str:
    """The text with everything that is not printable written as an escape (``\\x1b``, ``\\u202e``)."""
    return text if text.isprintable() else "".join(c if c.isprintable() else _escape(ord(c)) for c in text)


def command_line(arguments: Sequence[str]) -> str:
    """One line for people out of a process's arguments: redacted, printable, at most `COMMAND_CAP` characters."""
    # A single one is often a title written over the arguments, such as "gunicorn: worker [shop]".
    whole = without_secrets(arguments[0]) if len(arguments) == 1 else " ".join(without_secret_arguments(arguments))
    text = printable(whole)
    return text if len(text) <= COMMAND_CAP else text[: COMMAND_CAP - 1] + "…"


def process_name(comm: bytes) -> str:
    """A process's name as printable text."""
    return printable(comm.decode("utf-8", "replace"))


def _escape(code: int) -> str:
    if code < 0x100:
        return "\\x{:02x}".format(code)
    return "\\u{:04x}".format(code) if code < 0x10000 else "\\U{:08x}".format(code)
