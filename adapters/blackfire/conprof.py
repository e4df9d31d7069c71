"""What a continuous profiler (Blackfire's ``blackfire_conprof``, which is ddtrace's) uploads: reading it, keeping it, and live
memory by stack over the uploads.

    POST /profiling/v1/input, multipart/form-data: event.json (start, end, tags_profiler), *.pprof (packed with zstd or gzip), ...

Each upload becomes ``conprof-<number>.pprof.zst`` (as it came; ``.gz`` or nothing for other packings) and a ``.json``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from adapters.blackfire import serving
from adapters.formats import pprof, stacks
from harness.model.profile import CurvePoint, Frame, Profile, ValueType

FORMAT = "harness-conprof/1"
INFO_PATH, INPUT_PATH = "/info", "/profiling/v1/input"
UPLOAD_CAP_BYTES = 16 << 20
LIVE, ALLOCATED = "heap-space", "alloc-space"
_PARTS_CAP = 32
_PART_HEAD_CAP = 4096
_EVENT_CAP_BYTES = 256 * 1024
_UPLOADS_CAP = 2000
_UNPACKED_CAP_BYTES = 256 << 20  # of all uploads that are read together
_ABOUT_CAP_BYTES = 64 * 1024
_REQUEST = re.compile(rb"([A-Z]{1,10}) ([^ \r\n]{1,2000}) HTTP/1\.[01]\r?\n")
_BOUNDARY = re.compile(r"(?:\A|;)\s*boundary=(?:\"([^\"\r\n]{1,200})\"|([^\s;\"]{1,200}))", re.IGNORECASE)
_NAME = re.compile(rb'(?:^|[;\s])name="([^"\r\n]{1,200})"', re.IGNORECASE)
_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z\Z", re.ASCII)
_TAGS = ("service", "language", "runtime", "runtime_version", "profiler_version", "process_id")
_SUFFIXES = ((b"\x28\xb5\x2f\xfd", ".zst"), (b"\x1f\x8b", ".gz"))
VALUES = (
    ValueType("inuse_space", "bytes", "still held at the last upload"),
    ValueType("inuse_growth", "bytes", "more than at the first upload"),
    ValueType("alloc_space", "bytes", "allocated over all uploads"),
)
_NOTE_SAMPLED = (
    "The profiler samples allocations: each number is an estimate, and a stack that allocates little may be missing."
)
_NOTE_DOMAIN = (
    "Only what CPython's object allocator hands out is counted: the contents of bytearrays, for example, and memory of C "
    "libraries are not in it."
)
_NOTE_PROCESS = (
    "Memory of the whole process, not of a request: what was there before the profiler started is not in it."
)
_NOTE_ONE = "There is one upload, so nothing can be said about growth."


class RejectedError(Exception):
    """The request is answered with ``status`` and not read further."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """The head of an HTTP request; ``length`` of the body that follows."""

    method: str
    path: str
    length: int
    content_type: str
    expects_continue: bool


def parse_head(head: bytes) -> Request:
    """Raises RejectedError: 400 for what is no request, 411 without a length, 413 for too large an upload."""
    found = _REQUEST.match(head)
    if found is None:
        raise RejectedError(400, "not an HTTP request")
    fields: dict[str, str] = {}
    for line in head[found.end() :].decode("latin-1").split("\n")[:200]:
        name, colon, value = line.strip().partition(":")
        if colon:
            fields.setdefault(name.strip().lower(), value.strip())
    length = fields.get("content-length", "0")
    if "transfer-encoding" in fields or (found[1] in (b"POST", b"PUT") and "content-length" not in fields):
        raise RejectedError(411, "a length is required")
    if not re.fullmatch(r"\d{1,12}", length, re.ASCII):
        raise RejectedError(400, "an impossible length")
    if int(length) > UPLOAD_CAP_BYTES:
        raise RejectedError(413, f"more than {UPLOAD_CAP_BYTES} bytes")
    return Request(
        found[1].decode(),
        found[2].decode("latin-1").partition("?")[0],
        int(length),
        fields.get("content-type", ""),
        fields.get("expect", "").lower() == "100-continue",
    )


def reply(status: int, body: bytes = b"", kind: str = "text/plain") -> bytes:
    """One answer; the connection ends with it."""
    reasons = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 411: "Length Required"}
    reason = reasons.get(status, "Refused")
    head = f"HTTP/1.1 {status} {reason}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


def info() -> bytes:
    """What is here: one endpoint."""
    return reply(200, json.dumps({"endpoints": [INPUT_PATH]}).encode(), "application/json")


def split_parts(content_type: str, body: bytes) -> dict[str, bytes]:
    """The parts of a multipart body by name, the first of equal ones. Raises RejectedError."""
    found = _BOUNDARY.search(content_type)
    if found is None or not content_type.lower().startswith("multipart/form-data"):
        raise RejectedError(400, "not multipart/form-data")
    mark = b"\r\n--" + (found[1] or found[2]).encode("latin-1")
    pieces = (b"\r\n" + body).split(mark, _PARTS_CAP + 1)
    if len(pieces) > _PARTS_CAP or not pieces[-1].startswith(b"--"):
        raise RejectedError(400, "too many parts, or no end")
    parts: dict[str, bytes] = {}
    for piece in pieces[1:-1]:
        head, blank, content = piece.partition(b"\r\n\r\n")
        name = _NAME.search(head[:_PART_HEAD_CAP])
        if blank and name:
            parts.setdefault(name[1].decode("utf-8", "replace"), content)
    return parts


def read_event(event: bytes) -> dict[str, object]:
    """What is kept of event.json: ``start_ns`` and ``end_ns`` since the epoch (None: not said) and some tags. ValueError when it
    is none."""
    try:
        data = json.loads(event[:_EVENT_CAP_BYTES])
    except RecursionError:
        raise ValueError("event.json is nested too deeply") from None
    if not isinstance(data, dict):
        raise ValueError("event.json is no object")
    tags = str(data.get("tags_profiler", ""))[:16384]
    told = dict(tag.partition(":")[::2] for tag in tags.split(","))
    kept: dict[str, object] = {name: told[name][:200] for name in _TAGS if told.get(name)}
    return {"start_ns": _nanoseconds(data.get("start")), "end_ns": _nanoseconds(data.get("end")), **kept}


def _nanoseconds(stamp: object) -> int | None:
    found = _STAMP.match(stamp) if isinstance(stamp, str) else None
    if found is None:
        return None
    try:
        seconds = int(datetime.fromisoformat(f"{found[1]}+00:00").timestamp())
    except (ValueError, OverflowError):
        return None
    return seconds * 1_000_000_000 + int((found[2] or "0").ljust(9, "0"))


def store(directory: Path, number: int, request: Request, body: bytes, received_ns: int) -> str:
    """Write one upload and say what is wrong with it (empty: nothing); ``received_ns`` on the harness's clock. The ``.json``
    appears last. Raises RejectedError for what is no upload of a profile."""
    parts = split_parts(request.content_type, body)
    name, packed = next(((n, part) for n, part in parts.items() if n.endswith(".pprof")), ("", b""))
    if not name:
        raise RejectedError(400, "no profile in it")
    problem = ""
    about: dict[str, object] = {}
    try:
        about = read_event(parts.get("event", parts.get("event.json", b"")))
    except ValueError:
        problem = "event.json is missing or damaged"
    try:
        found = pprof.parse(pprof.unpack(packed))
        about["value_types"] = [name for name, _ in found.value_types]
    except ValueError as error:
        problem = str(error)
    suffix = next((suffix for magic, suffix in _SUFFIXES if packed.startswith(magic)), "")
    file = f"conprof-{number:06d}.pprof{suffix}"
    serving.write_whole(directory / file, packed)
    status = "incomplete" if problem else "complete"
    told = {"format": FORMAT, **about, "received_ns": received_ns, "body": file, "status": status, "detail": problem}
    serving.write_whole(directory / f"conprof-{number:06d}.json", json.dumps(told).encode())
    return problem


# --- live memory over the uploads -------------------------------------------------------------------------------------

Stack = tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class Upload:
    """One upload: who sent it, its end since the epoch (None: not said), live and allocated bytes by stack (outermost first)."""

    process: str
    end_ns: int | None
    live: Mapping[Stack, int]
    allocated: Mapping[Stack, int]


def uploads(directory: Path) -> Mapping[str, Sequence[Upload]]:
    """What a receiver has kept, by process and in the order it came. ValueError with the reason when one cannot be read."""
    found: dict[str, list[Upload]] = {}
    left = _UNPACKED_CAP_BYTES
    for path in sorted(directory.glob("conprof-*.json"))[:_UPLOADS_CAP]:
        about = json.loads(path.read_bytes()[:_ABOUT_CAP_BYTES])
        if about.get("format") != FORMAT:
            raise ValueError(f"{path.name} is of another version")
        message = pprof.unpack((directory / Path(str(about["body"])).name).read_bytes())
        left -= len(message)
        if left < 0:
            raise ValueError(f"the uploads are larger than {_UNPACKED_CAP_BYTES} bytes when unpacked")
        profile, end_ns, process = pprof.parse(message), about.get("end_ns"), str(about.get("process_id", ""))
        found.setdefault(process, []).append(
            Upload(
                process, end_ns if isinstance(end_ns, int) else None, _sums(profile, LIVE), _sums(profile, ALLOCATED)
            )
        )
    return found


def _sums(profile: pprof.Pprof, column: str) -> dict[Stack, int]:
    number = profile.column(column)
    if number is None:
        raise ValueError(f"an upload has no {column}: is the memory profiler off?")
    found: dict[Stack, int] = {}
    for sample in profile.samples:
        if sample.values[number]:
            stack = tuple(profile.frames[n] for n in sample.stack)
            found[stack] = found.get(stack, 0) + sample.values[number]
    return found


def live_heap(found: Sequence[Upload]) -> Profile:
    """Live memory by stack at the last upload of a process, its growth since the first, and the whole as a curve.
    ValueError when there is no upload."""
    if not found:
        raise ValueError("nothing was uploaded")
    first, last = found[0], found[-1]
    allocated: dict[Stack, int] = {}
    for upload in found:
        for stack, size in upload.allocated.items():
            allocated[stack] = allocated.get(stack, 0) + size
    frames: dict[Frame, int] = {}
    rows = []
    grown = len(found) > 1
    for stack in dict.fromkeys([*last.live, *first.live, *allocated]):
        live = last.live.get(stack, 0)
        growth = [live - first.live.get(stack, 0)] if grown else []
        rows.append(([frames.setdefault(f, len(frames)) for f in stack], [live, *growth, allocated.get(stack, 0)]))
    types = VALUES if grown else (VALUES[0], VALUES[2])
    tree = stacks.tree(rows, len(types))
    total = sum(last.live.values())
    return Profile(
        tool="conprof",
        value_types=types,
        frames=tuple(frames),
        functions=stacks.functions(tree, len(types)),
        tree=tree,
        curve=tuple(_curve(found)),
        totals={"kept_bytes": total, "growth_bytes": total - sum(first.live.values()) if grown else None},
        notes=(_NOTE_SAMPLED, _NOTE_DOMAIN, _NOTE_PROCESS, *(() if grown else (_NOTE_ONE,))),
    )


def _curve(found: Sequence[Upload]) -> list[CurvePoint]:
    start_ns = found[0].end_ns
    return [
        CurvePoint(upload.end_ns - start_ns, sum(upload.live.values()), f"upload {number}")
        for number, upload in enumerate(found, 1)
        if start_ns is not None and upload.end_ns is not None
    ]
