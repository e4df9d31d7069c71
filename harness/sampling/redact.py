"""Text that came from a process, made fit to be stored and shown: no secrets, no control characters, not too long.

Masking too much can be undone by looking at the machine; a leaked secret cannot. So whatever looks like a secret is masked,
``-p 8000`` included. Every pattern works in linear time: the text is the process's to choose.
"""

from __future__ import annotations

import re
from typing import Sequence

COMMAND_CAP = 512  # characters kept
RAW_CAP_BYTES = 4096  # bytes looked at
_MASK = "***"

_NAME = (
    r"(?:pass|pwd|secret|token|credential|cookie|auth|bearer|dsn|signature"
    r"|(?:api|access|private|secret|encryption)[-_.]?key)[\w.\-]{0,40}"
)
_FULL_NAME = r"[\w.\-]{0,40}" + _NAME
_VALUE = r"""("(?:\\.|[^"\\])*"?|'(?:\\.|[^'\\])*'?|\S+)"""

# One argument of several: an option whose value comes next, and assignments, headers and -pX, whose value fills the rest.
_OPTION = re.compile(r"--?" + _FULL_NAME + r"|(?-i:-p)", re.IGNORECASE)
_ASSIGNMENT = re.compile(r"(-{0,2}" + _FULL_NAME + r"\s?[=:]\s?|(?-i:-p))(.+)", re.IGNORECASE | re.DOTALL)
_USER_OPTION = re.compile(r"-u|--user|--proxy-user")  # curl -u user:X

# The same inside one string: sh -c "...", titles, JSON, source code, query strings.
_INLINE_ASSIGNMENT = re.compile(_NAME + r"""["']?\s?[=:]\s?(?:(?:bearer|basic)\s+)?""" + _VALUE, re.IGNORECASE)
_INLINE_OPTION = re.compile(
    r"(?:(?<![\w\-])--?" + _FULL_NAME + r"""["']?[\s,]+|(?<!\S)(?-i:-p)\s*)""" + _VALUE, re.IGNORECASE
)
_WORD = re.compile(r"\S+")


def printable(text: str) -> str:
    """The text with everything that is not printable written as an escape (``\\x1b``, ``\\u202e``)."""
    return text if text.isprintable() else "".join(c if c.isprintable() else _escape(ord(c)) for c in text)


def command_line(arguments: Sequence[str]) -> str:
    """One line for people out of a process's arguments: redacted, printable, at most `COMMAND_CAP` characters."""
    # A single one is often a title written over the arguments, such as "gunicorn: worker [shop]".
    text = printable(_inline(arguments[0]) if len(arguments) == 1 else " ".join(_arguments(arguments)))
    return text if len(text) <= COMMAND_CAP else text[: COMMAND_CAP - 1] + "…"


def process_name(comm: bytes) -> str:
    """A process's name as printable text."""
    return printable(comm.decode("utf-8", "replace"))


def _arguments(arguments: Sequence[str]) -> list[str]:
    result = list(arguments[:1])
    for previous, argument in zip(arguments, arguments[1:]):
        if _OPTION.fullmatch(previous):
            result.append(_MASK)
        elif _USER_OPTION.fullmatch(previous) and ":" in argument:
            result.append(argument.partition(":")[0] + ":" + _MASK)
        else:
            assignment = _ASSIGNMENT.fullmatch(argument)
            result.append(assignment.group(1) + _MASK if assignment else _inline(argument))
    return result


def _inline(text: str) -> str:
    if "://" in text and "@" in text:
        text = _WORD.sub(lambda word: _without_userinfo(word.group()), text)
    text = _INLINE_OPTION.sub(_mask_value, text)
    return _INLINE_ASSIGNMENT.sub(_mask_value, text)


def _mask_value(found: re.Match[str]) -> str:
    return found.group()[: found.start(1) - found.start()] + _MASK


def _without_userinfo(word: str) -> str:
    """``redis://:secret@host/0`` -> ``redis://***@host/0``; the last @ counts, for passwords are not always encoded."""
    start, end = word.find("://"), word.rfind("@")
    return word[: start + 3] + _MASK + word[end:] if 0 <= start < end else word


def _escape(code: int) -> str:
    if code < 0x100:
        return "\\x{:02x}".format(code)
    return "\\u{:04x}".format(code) if code < 0x10000 else "\\U{:08x}".format(code)
