"""The text that asks a probe for one profile: made by us, checked by us, good for one time.

A query is ``<challenge>&signature=<signature>&<arguments>``, passed on by probes as it is. Blackfire signs challenges with its
own key; ours carry a number that is used once (``agentIds=request-id-<uuid>``) and an HMAC-SHA256 in place of the signature,
which only our receiver can check. So nobody else can start profiles by sending the header.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

NIL = str(uuid.UUID(int=0))
DEFAULT_ARGUMENTS: Mapping[str, str] = {
    "aggreg_samples": "1",
    "flag_cpu": "1",
    "flag_memory": "1",
    "flag_no_builtins": "1",  # builtins make the numbers and the file many times larger
    "flag_timespan": "1",
    "timespan_threshold": "1",  # ms
    "flag_yml": "0",
}
QUERY_CAP = 8192
SUB_PROFILES_CAP = 100
_USED_CAP = 100_000
_SIGNATURE = re.compile(r"(?:^|&)signature=(.+?)(?:&|\Z)", re.DOTALL)
_REQUEST = re.compile(r"request-id-([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\Z")
_SUB_PROFILE = re.compile(r"([0-9a-f]{0,32})(?::|%3A)([0-9a-f]{1,32})\Z")


@dataclass(frozen=True, slots=True)
class Query:
    """What a probe is given, and the number by which its profile is found again."""

    text: str
    request_id: str


def issue(
    secret: bytes, expires_s: int, arguments: Mapping[str, str] = DEFAULT_ARGUMENTS, *, yaml: bool = False
) -> Query:
    """A fresh query; ``expires_s``: seconds since the epoch. ``yaml``: ask for .blackfire.yaml instead of a profile."""
    request_id = str(uuid.uuid4())
    ids = f"request-id-{request_id}" + (",request-id-blackfire-yml" if yaml else "")
    challenge = f"expires={expires_s}&userId={NIL}&agentIds={ids}&collabToken=local&profileSlot={NIL}"
    rest = "&".join(f"{quote(key)}={quote(value)}" for key, value in arguments.items())
    return Query(f"{challenge}&signature={_sign(secret, challenge)}&{rest}", request_id)


class Refused(Exception):  # noqa: N818  (a refusal is an answer, not an error of ours)
    """The query does not start a profile; the text says why, without a colon: the Python probe splits there."""


@dataclass(frozen=True, slots=True)
class Claim:
    """An accepted query. ``name`` is unique and safe in a path; ``sub_profile``: ``parent:child`` of a nested one, or empty."""

    request_id: str
    name: str
    sub_profile: str = ""
    title: str = ""


@dataclass(slots=True)
class Authority:
    """Remembers what has been used. One receiver has one."""

    secret: bytes
    _used: dict[str, set[str]] = field(default_factory=dict)  # request id -> sub-profiles that came

    def admit(self, text: str, now_s: float) -> Claim:
        """Accept a query once, and each sub-profile of it once. Raises Refused."""
        if len(text) > QUERY_CAP:
            raise Refused("the query is too long")
        challenge, _, rest = text.partition("&signature=")
        found = _SIGNATURE.search(text)
        if found is None or not hmac.compare_digest(
            found[1].encode("utf-8", "replace"), _sign(self.secret, challenge).encode()
        ):
            raise Refused("the query was not made by this run")
        fields = dict(part.partition("=")[::2] for part in challenge.split("&"))
        if now_s > int(fields["expires"]):
            raise Refused("the query has expired")
        request = _REQUEST.match(fields["agentIds"].partition(",")[0])
        if request is None:
            raise Refused("the query has no request id")
        arguments = dict(part.partition("=")[::2] for part in rest.split("&")[1:])
        return self._use(request[1], arguments)

    def _use(self, request_id: str, arguments: Mapping[str, str]) -> Claim:
        title = arguments.get("profile_title", "")[:200]
        sub = arguments.get("sub_profile", "")
        children = self._used.get(request_id)
        if not sub:
            if children is not None:
                raise Refused("the query was used before")
            if len(self._used) >= _USED_CAP:
                raise Refused("too many queries in one run")
            self._used[request_id] = set()
            return Claim(request_id, request_id, title=title)
        nested = _SUB_PROFILE.match(sub)
        if children is None or nested is None:
            raise Refused("a sub-profile without its profile")
        if nested[2] in children:
            raise Refused("the sub-profile came before")
        if len(children) >= SUB_PROFILES_CAP:
            raise Refused("too many sub-profiles of one request")
        children.add(nested[2])
        return Claim(request_id, f"{request_id}-{nested[2]}", f"{nested[1]}:{nested[2]}", title)


def _sign(secret: bytes, challenge: str) -> str:
    digest = hmac.digest(secret, challenge.encode("utf-8", "replace"), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
