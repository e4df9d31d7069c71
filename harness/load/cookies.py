"""The cookies of one virtual user, as far as one host needs them.

`http.cookiejar` costs more than the rest of a request, and its stores have no bounds. This one knows name, value, path,
secure and expiry, forgets the oldest of more than 64 cookies and refuses one above 4 KiB. Every cookie belongs to the host of
the plan (RFC 6265 ignores ports): the client asks no other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

_MAX_COOKIES = 64
_MAX_COOKIE_CHARS = 4096


@dataclass(frozen=True, slots=True)
class _Cookie:
    value: str
    path: str
    secure: bool
    expires_s: float | None  # wall clock; None: with the user


class CookieJar:
    """Cookies by (path, name). ``host`` is what a ``Domain`` attribute must match."""

    def __init__(self, host: str) -> None:
        self._host = host.lower()
        self._cookies: dict[tuple[str, str], _Cookie] = {}

    def store(self, set_cookies: Iterable[str], request_path: str, now_s: float) -> None:
        """Take over ``Set-Cookie`` values from a response to ``request_path``; what is malformed or foreign is ignored."""
        for text in set_cookies:
            self._store(text, request_path, now_s)

    def header(self, path: str, *, secure: bool, now_s: float, extra: Mapping[str, str] | None = None) -> str:
        """The ``Cookie`` value for a request, longest path first; ``extra`` wins over stored ones. Empty when there is none."""
        if not self._cookies and not extra:
            return ""
        chosen: dict[str, str] = {}
        for (_, name), cookie in sorted(self._cookies.items(), key=lambda item: -len(item[1].path)):
            alive = cookie.expires_s is None or cookie.expires_s > now_s
            if alive and (secure or not cookie.secure) and _path_matches(path, cookie.path):
                chosen.setdefault(name, cookie.value)
        chosen.update(extra or {})
        return "; ".join(f"{name}={value}" for name, value in chosen.items())

    def _store(self, text: str, request_path: str, now_s: float) -> None:
        if len(text) > _MAX_COOKIE_CHARS:
            return
        first, *rest = text.split(";")
        name, equals, value = (part.strip() for part in first.partition("="))
        if not name or not equals:
            return
        attributes = {key.strip().lower(): val.strip() for key, _, val in (part.partition("=") for part in rest)}
        if not self._domain_matches(attributes.get("domain", "").lstrip(".").lower()):
            return
        path = attributes.get("path", "")
        if not path.startswith("/"):
            path = request_path.rpartition("/")[0] or "/"
        expires_s = _expiry(attributes, now_s)
        self._cookies.pop((path, name), None)
        if expires_s is not None and expires_s <= now_s:
            return
        self._cookies[path, name] = _Cookie(value, path, "secure" in attributes, expires_s)
        if len(self._cookies) > _MAX_COOKIES:
            del self._cookies[next(iter(self._cookies))]

    def _domain_matches(self, domain: str) -> bool:
        return not domain or self._host == domain or self._host.endswith("." + domain)


def _expiry(attributes: Mapping[str, str], now_s: float) -> float | None:
    try:
        if "max-age" in attributes:
            return now_s + int(attributes["max-age"])
        if "expires" in attributes:
            return parsedate_to_datetime(attributes["expires"]).timestamp()
    except (ValueError, OverflowError):
        pass
    return None


def _path_matches(path: str, cookie_path: str) -> bool:
    if not path.startswith(cookie_path):
        return False
    return len(path) == len(cookie_path) or cookie_path.endswith("/") or path[len(cookie_path)] == "/"
