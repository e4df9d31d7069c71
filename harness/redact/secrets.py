"""Find and mask what looks like a secret in a text. Every pattern works in linear time: the text is the target's to choose.

Three kinds are found: values next to a telling name (``--password x``, ``API_KEY=x``, ``Cookie: x``, ``-p x``), parts of URLs
(user info, all of a query string), and words that look like nothing a person would write (keys, tokens, hashes).
"""

from __future__ import annotations

import re
from typing import Callable, List, Sequence

MASK = "***"

_NAME = (
    r"(?:pass|pwd|secret|token|credential|cookie|auth|bearer|dsn|signature|session[-_.]?id|csrf"
    r"|(?:api|access|private|secret|encryption)[-_.]?key)[\w.\-]{0,40}"
)
_FULL_NAME = r"[\w.\-]{0,40}" + _NAME
_VALUE = r"""("(?:\\.|[^"\\])*"?|'(?:\\.|[^'\\])*'?|\S+)"""

# One argument of several: an option whose value comes next, and assignments, headers and -pX, whose value fills the rest.
_OPTION = re.compile(r"--?" + _FULL_NAME + r"|(?-i:-p)", re.IGNORECASE)
_ASSIGNMENT = re.compile(r"(-{0,2}" + _FULL_NAME + r"\s?[=:]\s?|(?-i:-p))(.+)", re.IGNORECASE | re.DOTALL)
_TELLING = re.compile(_FULL_NAME, re.IGNORECASE)
_USER_OPTION = re.compile(r"-u|--user|--proxy-user")  # curl -u user:X

# The same inside one string: sh -c "...", titles, JSON, source code.
_INLINE_ASSIGNMENT = re.compile(_NAME + r"""["']?\s?[=:]\s?(?:(?:bearer|basic)\s+)?""" + _VALUE, re.IGNORECASE)
_INLINE_OPTION = re.compile(
    r"(?:(?<![\w\-])--?" + _FULL_NAME + r"""["']?[\s,]+|(?<!\S)(?-i:-p)\s*)""" + _VALUE, re.IGNORECASE
)
# An address as shown carries "a=b&c=d"; of a question with a mark at its end nothing is taken.
_QUERY = re.compile(r"""(?<=[\w/.~%\-\])])\?[^\s"'<>?=]{0,200}=[^\s"'<>?]*""")
_BEARER = re.compile(r"\b(bearer|basic)\s+[\w.~+/\-]{8,}=*", re.IGNORECASE)
_PEM = re.compile(r"-----BEGIN [A-Z ]{1,40}-----[^-]*(?:-----END [A-Z ]{1,40}-----)?")
_WORD = re.compile(r"\S+")

# Words of services that say themselves that they are keys, then anything long without a space that may be one.
_KNOWN = (
    r"(?:[spr]k_(?:live|test)|whsec)_[A-Za-z0-9]{8,}|gh[pousr]_[A-Za-z0-9]{8,}|github_pat_\w{8,}|glpat-[\w\-]{8,}"
    r"|xox[abeoprs]-[\w\-]{8,}|A[KS]IA[0-9A-Z]{12,}|AIza[\w\-]{16,}|eyJ[\w\-]{6,}(?:\.[\w\-]*){0,4}|ya29\.[\w\-]{8,}"
    r"|SG\.[\w\-]{8,}(?:\.[\w\-]*)?|\$2[aby]\$[\w./$]{8,}|\$argon2\w*\$\S+"
)
_LONGEST = 4096  # letters looked at as one word
_CANDIDATE = re.compile(
    r"(?<![A-Za-z0-9])(?:" + _KNOWN + r")|[A-Za-z0-9+](?:[A-Za-z0-9+=]|[_\-](?=[A-Za-z0-9+])){15,%d}" % _LONGEST
)
_KNOWN_WORD = re.compile(_KNOWN)
_PARTS = re.compile(r"[_\-=+]+")
_RUNS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[0-9]+")  # a word with a capital is one
_BASE64 = re.compile(r"(?<![\w/+.\-])[A-Za-z0-9+]+(?:/[A-Za-z0-9+]*){1,40}={0,2}(?![\w/+.\-])")
_FOLDER = re.compile(r"(?:^|/)[a-z]{3,}(?:/|$)")
_HEX = re.compile(r"[0-9a-f]+|[0-9A-F]+")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def looks_secret(name: str) -> bool:
    """Whether a name, of a variable, header or field, says that its value is a secret."""
    return _TELLING.fullmatch(name) is not None


def looks_random(word: str) -> bool:
    """Whether a word of letters, digits, ``_-+=`` looks made by a machine and not by a person who names things.

    Names change their kind of letter seldom (``OrderLine2Factory``: 5 runs in 17 letters), keys at every other letter. Digits
    alone are numbers, not keys.
    """
    if _KNOWN_WORD.fullmatch(word) or _UUID.fullmatch(word):
        return True
    parts = _PARTS.split(word)
    return any(map(_random, parts)) or (len(parts) <= 3 and _random("".join(parts)))


def _random(part: str) -> bool:
    if len(part) < 16:
        return False
    runs = _RUNS.findall(part)
    digits = sum(map(str.isdigit, part))
    if digits == len(part):
        return False
    if len(part) >= 20 and digits >= 3 and _HEX.fullmatch(part):
        return True
    mixed = sum(before.isdigit() != after.isdigit() for before, after in zip(runs, runs[1:]))
    return (mixed >= 3 and len(runs) * 5 >= len(part)) or len(runs) * 3 >= len(part)


def _random_base64(word: str) -> bool:
    """Of base64 with slashes: no folder is called like its parts."""
    whole = word.replace("/", "").replace("+", "").rstrip("=")
    return len(whole) >= 20 and any(map(str.isdigit, whole)) and not _FOLDER.search(word) and _random(whole)


def without_random(text: str, put: Callable[[str], str] = lambda _: MASK) -> str:
    """The text with every word that looks like a key replaced by what ``put`` makes of it."""
    if len(text) < 9:  # shorter than any of them
        return text
    if "/" in text:
        text = _BASE64.sub(lambda found: put(found.group()) if _random_base64(found.group()) else found.group(), text)
    return _CANDIDATE.sub(lambda found: put(found.group()) if looks_random(found.group()) else found.group(), text)


def without_secrets(text: str) -> str:
    """The text with everything in it that looks like a secret written as ``***``. Doing it again changes nothing."""
    return without_random(without_values(text))


def without_values(text: str) -> str:
    """The text without what is told apart by where it is: values of telling names, user info, query strings, keys in PEM."""
    if "://" in text and "@" in text:
        text = _WORD.sub(lambda word: _without_userinfo(word.group()), text)
    if "?" in text:
        text = without_queries(text)
    if "-----BEGIN" in text:
        text = _PEM.sub(MASK, text)
    text = _INLINE_OPTION.sub(_mask_value, text)
    text = _INLINE_ASSIGNMENT.sub(_mask_value, text)
    return _BEARER.sub(lambda found: found.group(1) + " " + MASK, text)


def without_queries(text: str, put: Callable[[str], str] = lambda _: MASK) -> str:
    """The text with the query string of each address in it replaced: ``/cart?***``."""
    return _QUERY.sub(lambda found: "?" + put(found.group()[1:]), text)


def without_secret_arguments(arguments: Sequence[str]) -> List[str]:
    """The same for a program and its arguments, of which one may be the name and the next one the value."""
    result = list(arguments[:1])
    for previous, argument in zip(arguments, arguments[1:]):
        if _OPTION.fullmatch(previous):
            result.append(MASK)
        elif _USER_OPTION.fullmatch(previous) and ":" in argument:
            result.append(argument.partition(":")[0] + ":" + MASK)
        else:
            assignment = _ASSIGNMENT.fullmatch(argument)
            result.append(assignment.group(1) + MASK if assignment else without_secrets(argument))
    return result


def _mask_value(found: re.Match[str]) -> str:
    return found.group()[: found.start(1) - found.start()] + MASK


def _without_userinfo(word: str) -> str:
    """``redis://:secret@host/0`` -> ``redis://***@host/0``; the last @ counts, for passwords are not always encoded."""
    start, end = word.find("://"), word.rfind("@")
    return word[: start + 3] + MASK + word[end:] if 0 <= start < end else word
