"""Whose account: the credentials that Blackfire's command line and its SDKs use, from where they look for them.

Source: the vendor's documentation of ``.blackfire.ini``; python-sdk ``generate_config`` for what wins over what.
"""

from __future__ import annotations

import configparser
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from harness.errors import UsageError

ENDPOINT = "https://blackfire.io"
CONFIG_FILE = ".blackfire.ini"
WHERE = "blackfire client:config writes it; or set BLACKFIRE_CLIENT_ID and BLACKFIRE_CLIENT_TOKEN"
_TIMEOUT_S = 60.0
_CONFIG_CAP_BYTES = 64 * 1024
_HOST = re.compile(r"[0-9a-f:.]*:[0-9a-f:.]*|(?=.{1,253}\Z)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?", re.ASCII)
_PRINTABLE = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Credentials:
    """An account. ``source`` says where it was found; ``proxies``: by scheme of the endpoint."""

    client_id: str
    client_token: str = field(repr=False)
    endpoint: str = ENDPOINT
    source: str = ""
    environment: str = ""  # name or UUID of the environment that profiles go to; empty: the personal one
    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)
    ca_file: Path | None = None
    timeout_s: float = _TIMEOUT_S


def find_credentials(environ: Mapping[str, str]) -> Credentials:
    """From the environment's variables and the configuration file of Blackfire's command line; variables win. UsageError with
    what to do when there are none."""
    path = config_file(environ)
    section = {} if path is None else _section(path)
    given_id, given_token = environ.get("BLACKFIRE_CLIENT_ID", ""), environ.get("BLACKFIRE_CLIENT_TOKEN", "")
    client_id, token = given_id or section.get("client-id", ""), given_token or section.get("client-token", "")
    if not client_id or not token:
        missing = "no client id" if not client_id else "no client token"
        where = f"{missing} in the environment and {'no ' + CONFIG_FILE if path is None else 'none in ' + str(path)}"
        raise UsageError(f"no credentials of a Blackfire account: {where}", hint=WHERE)
    ca_file = section.get("ca-cert", "")
    return Credentials(
        client_id,
        token,
        checked_endpoint(environ.get("BLACKFIRE_ENDPOINT") or section.get("endpoint") or ENDPOINT),
        "the environment" if given_id and given_token else str(path),
        environ.get("BLACKFIRE_ENV", ""),
        {scheme: value for scheme in ("http", "https") if (value := section.get(f"{scheme}-proxy", ""))},
        Path(ca_file) if ca_file else None,
        _seconds(section.get("timeout", "")),
    )


def config_file(environ: Mapping[str, str]) -> Path | None:
    """The file that ``blackfire client:config`` writes, where there is one."""
    for name in ("BLACKFIRE_HOME", "XDG_CONFIG_HOME", "HOME"):
        directory = environ.get(name)
        if directory and _is_file(path := Path(directory) / CONFIG_FILE):
            return path
    return None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a directory of somebody else's
        return False


def checked_endpoint(url: str) -> str:
    """The address without a slash at its end. UsageError unless it is https, or on this machine: the token goes there."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and _HOST.fullmatch(parts.hostname or "") and parts.port != 0
    except ValueError:
        good = None
    if not good or not _PRINTABLE.fullmatch(url) or parts.query or parts.fragment or parts.username:
        raise UsageError("BLACKFIRE_ENDPOINT is not an http(s) address", hint=f"the usual one is {ENDPOINT}")
    if parts.scheme == "http" and not _here(parts.hostname or ""):
        raise UsageError(f"the token is not sent to {parts.hostname} unencrypted", hint="use an https endpoint")
    return url.rstrip("/")


def _here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _section(path: Path) -> Mapping[str, str]:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        with path.open("rb") as stream:
            parser.read_string(stream.read(_CONFIG_CAP_BYTES).decode("utf-8-sig"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
    except (configparser.Error, UnicodeDecodeError):  # their texts quote lines, and lines hold the token
        raise UsageError(
            f"{path} is not what Blackfire's command line writes", hint="blackfire client:config"
        ) from None
    if not parser.has_section("blackfire"):
        return {}
    return {name: value.strip().strip("\"'") for name, value in parser.items("blackfire")}


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d{1,4})s?", text, re.ASCII)
    return float(found[1]) if found and int(found[1]) else _TIMEOUT_S
