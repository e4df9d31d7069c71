"""What a relay keeps of one conversation between a probe and an agent. Pure: bytes in, what may be written out.

Credentials (``Blackfire-Auth``) and signatures never leave this module: a query is known by its `fingerprint`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from enum import Enum, auto

from adapters.blackfire import protocol
from adapters.blackfire.protocol import Kind

FORMAT = "harness-blackfire-relay/1"  # of what is told of a copy
REPLY_CAP_BYTES = 64 * 1024
_LINE_CAP_BYTES = 64 * 1024
_SIGNATURE = re.compile(r"(?:^|&)signature=(.+?)(?:&|\Z)", re.DOTALL)
_SIGNED = re.compile(rb"signature(=|%3D)[^&\s]+", re.IGNORECASE)
_HEADER = re.compile(rb"[A-Za-z_][A-Za-z0-9_-]{0,99}:")
_YAML_NAME = b"blackfire-yaml-size:"
_YAML_LINE = re.compile(rb"blackfire-yaml-size: ?(\d{1,9})", re.IGNORECASE)
_YAML_LINE_CAP = 64
_PING = "request-id-blackfire-yml"


def fingerprint(query: str) -> str:
    """A name for a query that tells nothing of it; its profile and sub-profiles have the same. Empty without a signature."""
    found = _SIGNATURE.search(query)
    return hashlib.sha256(found[1].encode("utf-8", "replace")).hexdigest()[:32] if found else ""


class _State(Enum):
    HEAD = auto()
    BETWEEN = auto()  # after the head: perhaps .blackfire.yaml, then the body
    YAML = auto()
    BODY = auto()
    REST = auto()  # nothing of it is kept


class ProbeSide:
    """Splits what a probe sends. `feed` gives the part of it that belongs to the profile's body, which is still to be redacted.

    ``head`` is complete once ``kind`` is known. Heads beyond the cap and other messages than profiles have no body.
    """

    def __init__(self) -> None:
        self.head = b""
        self.kind: Kind | None = None
        self._state = _State.HEAD
        self._held = b""
        self._yaml_left = 0
        self._yaml_begins = False

    def feed(self, data: bytes) -> bytes:
        """The next piece, of any size."""
        if self._state is _State.HEAD:
            data = self._read_head(data)
        if self._state is _State.YAML:
            return self._pass_yaml(data)
        if self._state is _State.BETWEEN:
            return self._read_between(data)
        return data if self._state is _State.BODY else b""

    def finish(self) -> None:
        """Nothing more comes: what was said so far is the head."""
        if self.kind is None:
            self._name(self._held)

    def _read_head(self, data: bytes) -> bytes:
        self._held += data
        end = self._held.find(b"\n\n")
        if (len(self._held) if end < 0 else end) > protocol.HEAD_CAP_BYTES:
            self._name(self._held[:100])
            self._state, self._held = _State.REST, b""
            return b""
        if end < 0:
            return b""
        rest = self._held[end + 2 :]
        self._name(self._held[: end + 2])
        self._held = b""
        return rest

    def _name(self, head: bytes) -> None:
        self.head, self.kind = head, protocol.kind(head)
        self._state = _State.BETWEEN if self.kind is Kind.PROFILE else _State.REST

    def _read_between(self, data: bytes) -> bytes:
        data = (self._held + data).lstrip(b"\n")
        self._held = b""
        if not data:
            return b""
        if _YAML_NAME.startswith(data[: len(_YAML_NAME)].lower()):
            line, newline, rest = data.partition(b"\n")
            if not newline and len(line) < _YAML_LINE_CAP:
                self._held = line  # not enough to tell
                return b""
            found = _YAML_LINE.fullmatch(line)
            if found:
                self._state, self._yaml_left, self._yaml_begins = _State.YAML, int(found[1]), True
                return self._pass_yaml(rest)
        self._state = _State.BODY
        return data

    def _pass_yaml(self, data: bytes) -> bytes:
        """Over the text; between it and its size is an empty line, which old probes leave out."""
        if self._yaml_begins and data:
            self._yaml_begins = False
            data = data.removeprefix(b"\n")
        skipped = min(self._yaml_left, len(data))
        self._yaml_left -= skipped
        if self._yaml_left or self._yaml_begins:
            return b""
        self._state = _State.BETWEEN
        return self._read_between(data[skipped:])


class AgentSide:
    """The first lines of an agent's answers."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> None:
        """The next piece; what is beyond the cap is passed over."""
        self._held += data[: REPLY_CAP_BYTES - len(self._held)]

    def reply(self) -> Mapping[str, str | None]:
        """``response``: of the last answer (``continue=false&progress=100&wait=0``), ``error``: ``103 Samples quota is out``."""
        told: dict[str, str | None] = {"response": None, "error": None}
        for line in self._held.decode("utf-8", "replace").split("\n"):
            name, colon, value = line.partition(":")
            key = name.strip().lower().removeprefix("blackfire-")
            if colon and key in told and name.lower().startswith("blackfire-"):
                told[key] = value.strip()[:500]
        return told


class Redactor:
    """Takes secrets out of a body line by line, in bounded memory: values of headers that hold command lines and cookies, and
    signatures in the values of others. ``cut``: a line was longer than the limit, and its rest is missing."""

    def __init__(self) -> None:
        self.cut = False
        self._held = b""
        self._skipping = False

    def feed(self, data: bytes) -> bytes:
        """What of it may be written now."""
        out: list[bytes] = []
        if self._skipping:
            _, newline, data = data.partition(b"\n")
            if not newline:
                return b""
            self._skipping = False
            out.append(b"\n")
        lines = (self._held + data).split(b"\n")
        self._held = lines.pop()
        out += [_redacted(line) + b"\n" for line in lines]
        if len(self._held) > _LINE_CAP_BYTES:
            out.append(_redacted(self._held[:_LINE_CAP_BYTES]))
            self.cut = self.cut or not _is_secret(self._held)
            self._held, self._skipping = b"", True
        return b"".join(out)

    def finish(self) -> bytes:
        """The end of a body that does not end with a line."""
        held, self._held = self._held, b""
        return _redacted(held) if held else b""


def _is_secret(line: bytes) -> bool:
    name, colon, _ = line[:100].partition(b":")
    return bool(colon) and name.strip().lower() in protocol.SECRET_HEADERS


def _redacted(line: bytes) -> bytes:
    if _is_secret(line):
        return line.partition(b":")[0] + b": redacted"
    return _SIGNED.sub(rb"signature\1redacted", line) if _HEADER.match(line) else line


def about(head: bytes) -> dict[str, object]:
    """What may be told of a hello: title, kind of probe, abilities, which sub-profile; never the query itself."""
    found = protocol.fields(head)
    query = found.get("blackfire-query", "")
    arguments = dict(part.partition("=")[::2] for part in query.rpartition("&signature=")[2].split("&")[1:])
    probe, *abilities = (part.strip() for part in found.get("blackfire-probe", "").split(","))
    return {
        "fingerprint": fingerprint(query),
        "title": arguments.get("profile_title", "")[:200],
        "sub_profile": arguments.get("sub_profile", "")[:80],
        "probe": probe[:100],
        "abilities": sorted(abilities)[:32],
        "no_profile": "noop" in abilities or _PING in query,
    }
