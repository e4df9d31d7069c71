"""What probes say on their socket and what they are answered. Pure: bytes in, bytes out.

One stream for each profile. The probe says hello, ended by an empty line, is answered, and sends the profile until it closes:

    P> Blackfire-Query: <query>\\nBlackfire-Probe: python-51054576, config, timespan\\n\\n
    R> Blackfire-Response: continue=false&progress=100&wait=0&first_sample=true\\n\\n          or  Blackfire-Error: 101 text\\n\\n
    P> file-format: BlackfireProbe ...

With ``blackfire_yml`` among its abilities the probe can be asked for the project's .blackfire.yaml in between. Monitoring uses
the same socket with messages of its own. ``Blackfire-Keys`` is never sent: with keys a probe checks signatures itself, and only
the vendor can make those. Sources: the vendor's python-sdk ``agent.py``, php-sdk ``BlackfireProbe.php``, and what they sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

HEAD_CAP_BYTES = 256 * 1024  # a hello may carry a whole configuration
YAML_CAP_BYTES = 1 << 20
SECRET_HEADERS = frozenset(  # command lines, cookies, credentials
    {b"context", b"_cookie", b"cookie", b"authorization", b"blackfire-auth"}
)
_OK = "Blackfire-Response: continue=false&progress=100&wait=0&first_sample=true"
_HTTP = re.compile(rb"(?:GET|HEAD|POST|PUT|OPTIONS|DELETE|PATCH) [^ \r\n]+ HTTP/1\.[01]\r?\n")
_PRINTABLE = re.compile(r"[^\x00-\x1f\x7f]{1,500}\Z")
_YAML_SIZE = re.compile(r"(?im)^blackfire-yaml-size: ?(\d{1,9})$")


class Kind(StrEnum):
    """Who is calling."""

    PROFILE = "profile"
    MONITORING = "monitoring"
    PROFILE_QUERY = "profile-query"  # monitoring asks whether to profile this request
    HTTP = "http"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Hello:
    """How a probe introduces itself; ``credentials``: it sent some, which are dropped at once."""

    query: str
    probe: str
    abilities: frozenset[str]
    credentials: bool


@dataclass(frozen=True, slots=True)
class KeyPage:
    """Requests that monitoring is to profile without being asked: ``pattern`` is ``=/path`` or a regular expression."""

    method: str
    pattern: str


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a probe is told beyond yes: ``timespans`` (``=name``, ``^prefix``), ``arguments`` (``function 1,2``) and ``constants``
    it is to record; ``yaml``: ask for .blackfire.yaml; ``monitoring``: the share of requests that report, None: none.

    ValueError when a text would break out of its line.
    """

    timespans: Sequence[str] = ()
    arguments: Sequence[str] = ()
    constants: Sequence[str] = ()
    yaml: bool = False
    monitoring: float | None = None
    key_pages: Sequence[KeyPage] = ()

    def __post_init__(self) -> None:
        texts = [*self.timespans, *self.arguments, *self.constants]
        texts += [text for page in self.key_pages for text in (page.method, page.pattern)]
        for text in texts:
            if not _PRINTABLE.match(text):
                raise ValueError(f"not one line of at most 500 characters: {text[:80]!r}")


def kind(head: bytes) -> Kind:
    """By what the first message begins with."""
    if _HTTP.match(head):
        return Kind.HTTP
    start = head[:100].lower()
    if start.startswith(b"file-format: blackfireapmrequestprofilequery\n"):
        return Kind.PROFILE_QUERY
    if start.startswith(b"file-format: blackfireapm\n"):
        return Kind.MONITORING
    return Kind.PROFILE if start.startswith((b"blackfire-", b"file-format: blackfireprobe\n")) else Kind.UNKNOWN


def fields(head: bytes) -> dict[str, str]:
    """``name: value`` lines, names in lower case, the first of equal ones; anything else (``None`` at the end) is passed over."""
    found: dict[str, str] = {}
    for line in head.decode("utf-8", "replace").split("\n")[:500]:
        name, colon, value = line.strip().partition(":")
        if colon:
            found.setdefault(name.strip().lower(), value.strip())
    return found


def parse_hello(head: bytes) -> Hello:
    """ValueError with the reason when it is none."""
    found = fields(head)
    if "blackfire-query" not in found:
        raise ValueError("no query")
    probe, *abilities = (part.strip() for part in found.get("blackfire-probe", "").split(","))
    return Hello(found["blackfire-query"], probe[:100], frozenset(abilities), "blackfire-auth" in found)


def yaml_size(head: bytes) -> int:
    """How many bytes of .blackfire.yaml follow; ValueError when the message does not say, or says too many."""
    found = _YAML_SIZE.search(head.decode("ascii", "replace"))
    if found is None or int(found[1]) > YAML_CAP_BYTES:
        raise ValueError("no size of .blackfire.yaml, or a size beyond the limit")
    return int(found[1])


def ask_for_yaml() -> bytes:
    """The one answer that does not end with an empty line."""
    return f"{_OK}&blackfire_yml=true\n".encode()


def accept(wishes: Wishes) -> bytes:
    """Go on, and record this besides."""
    lines = [_OK]
    lines += [f"Blackfire-Timespan: {text}" for text in wishes.timespans]
    lines += [f"Blackfire-Fn-Args: {text}" for text in wishes.arguments]
    lines += [f"Blackfire-Const: {text}" for text in wishes.constants]
    return ("\n".join(lines) + "\n\n").encode()


def refuse(reason: str) -> bytes:
    """No profile. Probes show the text to whoever asked, and the request is served all the same."""
    return f"Blackfire-Error: 101 {reason.replace(':', ' ').replace(chr(10), ' ')[:300]}\n\n".encode()


def monitoring_reply(wishes: Wishes) -> bytes:
    """Thanks; and, when something is wanted, what to report from now on."""
    if wishes.monitoring is None:
        return b"Blackfire-Response: success=true&update_config=false\n\n"
    lines = [
        "Blackfire-Response: success=true&update_config=true",
        f"sample-rate: {wishes.monitoring}",
        "extended-sample-rate: 0.0",
        "config-version: 1",
    ]
    for number, page in enumerate(wishes.key_pages, 1):
        lines += ["key-page(", f" id: kp{number}", " matcher-type: uri", f" matcher-pattern: {page.pattern}"]
        lines += [f" http-method: {page.method}", " profile: true", ")"]
    return ("\n".join(lines) + "\n\n").encode()


def profile_query_reply(query: str | None) -> bytes:
    """A query of ours for a request that monitoring asked about, or no."""
    if query is None:
        return b"Blackfire-Response: success=false&error=not+wanted\n\n"
    return f"Blackfire-Response: success=true\nblackfire-query: {query}\n\n".encode()


def monitored(found: Mapping[str, str]) -> dict[str, object]:
    """What is kept of a monitoring message: no query string, no host, no cookie. ``mu`` is the RSS of the process, ``pmu`` its
    peak, in bytes; ``wt`` microseconds; ``timestamp`` seconds since the epoch."""
    kept: dict[str, object] = {
        name: found[name][:200] for name in ("method", "framework", "controller-name", "language") if found.get(name)
    }
    if "uri" in found:
        kept["uri"] = found["uri"].partition("?")[0][:500]
    for name in ("response-code", "wt", "mu", "pmu"):
        kept[name] = int(found[name]) if re.fullmatch(r"\d{1,18}", found.get(name, ""), re.ASCII) else None
    stamp = found.get("timestamp", "")
    kept["timestamp"] = float(stamp) if re.fullmatch(r"\d{1,12}(\.\d{1,9})?", stamp, re.ASCII) else None
    return kept
