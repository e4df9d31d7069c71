"""Addresses as Blackfire writes them: ``unix:///PATH`` or ``tcp://HOST:PORT``. Pure."""

from __future__ import annotations

from urllib.parse import urlsplit


def checked_address(url: str) -> str:
    """The same address; ValueError when it is none."""
    parts = urlsplit(url)
    try:
        good = bool(parts.path) if parts.scheme == "unix" else parts.scheme == "tcp" and parts.hostname and parts.port
    except ValueError:  # a port beyond 65535
        good = False
    if not good:
        raise ValueError(f"{url!r} is neither unix:///PATH nor tcp://HOST:PORT")
    return url
