"""Uploads of continuous profilers: what is kept, what is refused, and live memory over several of them."""

from __future__ import annotations

import asyncio
import gzip
import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.blackfire import conprof
from adapters.blackfire.conprof import RejectedError, Upload, live_heap, parse_head, split_parts, uploads
from adapters.blackfire.query import Authority
from adapters.blackfire.receiver import Limits, Receiver
from adapters.blackfire.serving import listen
from adapters.formats import pprof
from harness.model.profile import Frame

CAPTURE = (Path(__file__).parents[3] / "fixtures" / "captures" / "blackfire" / "conprof.pprof.zst").read_bytes()
EVENT = json.dumps(
    {
        "start": "2026-11-23T02:41:02.167469014Z",
        "end": "2026-11-23T02:41:06.5Z",
        "tags_profiler": "service:demo,process_id:77,api_key:hidden,language:python",
    }
).encode()
TYPE = "multipart/form-data; boundary=0-1-2"


def form(profile: bytes = CAPTURE, event: bytes = EVENT, mark: bytes = b"0-1-2") -> bytes:
    def part(name: bytes, content: bytes) -> bytes:
        return b'--%s\r\nContent-Disposition: form-data; name="%s"; filename="x"\r\n\r\n%s\r\n' % (mark, name, content)

    return part(b"event", event) + part(b"profile.pprof", profile) + b"--" + mark + b"--\r\n"


def post(body: bytes, *headers: bytes) -> bytes:
    lines = [b"POST /profiling/v1/input HTTP/1.1", b"Content-Type: " + TYPE.encode(), *headers]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", b""]) + body


def asked(directory: Path, *requests: bytes, limits: Limits | None = None) -> list[bytes]:
    """What a receiver answers, each on a connection of its own."""

    async def main() -> list[bytes]:
        receiver = Receiver(directory, Authority(b"s" * 32), limits=limits or Limits(head_s=1, idle_s=1))
        server, where = await listen(receiver.serve, "tcp://127.0.0.1:0")
        answers = []
        for request in requests:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(where.rpartition(":")[2]))
            writer.write(request)
            writer.write_eof()
            answer = b""
            with suppress(ConnectionResetError):
                answer = await reader.read()
            answers.append(answer)
            writer.close()
            with suppress(ConnectionResetError):
                await writer.wait_closed()
        server.close()
        return answers

    return asyncio.run(main())


def test_an_upload_is_kept_as_it_came(tmp_path: Path) -> None:
    [answer] = asked(tmp_path, post(form()))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert (tmp_path / "conprof-000001.pprof.zst").read_bytes() == CAPTURE
    about = json.loads((tmp_path / "conprof-000001.json").read_bytes())
    assert about["status"] == "complete"
    assert (about["process_id"], about["service"], about["language"]) == ("77", "demo", "python")
    assert (about["start_ns"], about["end_ns"]) == (1_795_401_662_167_469_014, 1_795_401_666_500_000_000)
    assert "heap-space" in about["value_types"]
    assert "hidden" not in json.dumps(about)
    [[upload]] = uploads(tmp_path).values()
    assert (upload.process, max(upload.live.values())) == ("77", 48_626_848)


def test_other_packings_and_the_way_with_continue(tmp_path: Path) -> None:
    plain = pprof.unpack(CAPTURE)
    answers = asked(
        tmp_path, post(form(gzip.compress(plain))), post(form(plain)), post(form(), b"Expect: 100-continue")
    )
    assert [answer.split()[1] for answer in answers] == [b"200", b"200", b"100"]
    assert answers[2].endswith(b"Connection: close\r\n\r\n")
    assert sorted(path.name for path in tmp_path.glob("*.pprof*")) == [
        "conprof-000001.pprof.gz",
        "conprof-000002.pprof",
        "conprof-000003.pprof.zst",
    ]


def test_what_the_receiver_answers_besides(tmp_path: Path) -> None:
    def said(request: bytes, limits: Limits | None = None) -> bytes:
        [answer] = asked(tmp_path, request, limits=limits)
        return answer.partition(b"\r\n")[0]

    [info] = asked(tmp_path, b"GET /info HTTP/1.1\r\n\r\n")
    assert json.loads(info.partition(b"\r\n\r\n")[2]) == {"endpoints": ["/profiling/v1/input"]}
    assert said(b"GET /profiling/v1/input HTTP/1.1\r\n\r\n") == b"HTTP/1.1 405 Method Not Allowed"
    assert said(b"PUT /v0.4/traces HTTP/1.1\r\nContent-Length: 0\r\n\r\n") == b"HTTP/1.1 404 Not Found"
    assert said(b"POST /profiling/v1/input HTTP/1.1\r\n\r\n") == b"HTTP/1.1 411 Length Required"
    huge = b"POST /profiling/v1/input HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n"
    assert said(huge) == b"HTTP/1.1 413 Refused"
    assert said(post(form())[:-50]) == b"HTTP/1.1 400 Bad Request"
    assert said(post(b"no parts")) == b"HTTP/1.1 400 Bad Request"
    assert said(post(form()), Limits(uploads_bytes=100)) in (b"HTTP/1.1 413 Refused", b"")
    assert not list(tmp_path.iterdir())


def test_what_was_promised_and_never_sent_takes_no_room(tmp_path: Path) -> None:
    """Else a few heads would keep every later upload out."""
    upload = post(form())
    room = Limits(uploads_bytes=len(upload))
    answers = asked(tmp_path, upload[:-50], upload[:-50], upload, limits=room)
    assert [answer.split()[1] for answer in answers] == [b"400", b"400", b"200"]


@pytest.mark.parametrize(
    ("profile", "event", "why"),
    [
        (CAPTURE[:-9], EVENT, "the packed profile was cut"),
        (b"\x28\xb5\x2f\xfdgarbage", EVENT, "damaged"),
        (b"garbage", EVENT, "pprof"),
        (gzip.compress(bytes(30_000_000)), EVENT, "larger than"),
        (CAPTURE, b"[]", "event.json"),
        (CAPTURE, b"{", "event.json"),
        (CAPTURE, b"[" * 100_000, "event.json"),
    ],
)
def test_a_damaged_upload_is_kept_and_called_incomplete(
    tmp_path: Path, profile: bytes, event: bytes, why: str, capfd: pytest.CaptureFixture[str]
) -> None:
    [answer] = asked(tmp_path, post(form(profile, event)))
    assert answer.startswith(b"HTTP/1.1 200")
    about = json.loads((tmp_path / "conprof-000001.json").read_bytes())
    assert about["status"] == "incomplete"
    assert why in about["detail"]
    said = capfd.readouterr().err
    assert "an upload is incomplete" in said
    assert "Traceback" not in said


@given(st.binary(max_size=200))
def test_any_head_is_a_request_or_refused(data: bytes) -> None:
    with suppress(RejectedError):
        parse_head(data)
    with suppress(RejectedError):
        parse_head(b"POST / HTTP/1.1\r\n" + data)


@given(st.dictionaries(st.sampled_from("abc"), st.binary(max_size=50), max_size=3), st.sampled_from(["x", '"x y"']))
def test_parts_are_found_by_name(parts: dict[str, bytes], boundary: str) -> None:
    mark = b"--" + boundary.strip('"').encode()
    if any(b"\r\n" + mark in b"\r\n" + content + b"\r\n" for content in parts.values()):
        return
    body = b"".join(
        b'%s\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (mark, n.encode(), c)
        for n, c in parts.items()
    )
    assert split_parts(f"multipart/form-data; boundary={boundary}", body + mark + b"--\r\n") == parts


@pytest.mark.parametrize(
    "kind", ["", "text/plain; boundary=x", "multipart/form-data", "multipart/form-data; boundary="]
)
def test_what_is_no_form(kind: str) -> None:
    with pytest.raises(RejectedError):
        split_parts(kind, b"--x\r\n\r\n--x--")


def test_too_many_parts_are_refused() -> None:
    with pytest.raises(RejectedError, match="too many parts"):
        split_parts("multipart/form-data; boundary=x", b"--x\r\n\r\n" * 100_000 + b"--x--")


MAIN, LEAK, OTHER = Frame("main", "app.py", None), Frame("leak", "app.py", None), Frame("other", "app.py", None)


def test_growth_by_stack_and_the_curve() -> None:
    found = live_heap(
        [
            Upload("1", 1_000, {(MAIN, LEAK): 10, (MAIN, OTHER): 5}, {(MAIN, LEAK): 10}),
            Upload("1", 3_000, {(MAIN, LEAK): 20, (MAIN, OTHER): 5}, {(MAIN, LEAK): 15}),
            Upload("1", 5_000, {(MAIN, LEAK): 30}, {(MAIN,): 1}),
        ]
    )
    assert [v.name for v in found.value_types] == ["inuse_space", "inuse_growth", "alloc_space"]
    values = {found.frames[f.frame].function: f.inclusive_values for f in found.functions}
    assert values == {"main": (30, 15, 26), "leak": (30, 20, 25), "other": (0, -5, 0)}
    assert [(point.offset_ns, point.bytes) for point in found.curve] == [(0, 15), (2_000, 25), (4_000, 30)]
    assert found.totals == {"kept_bytes": 30, "growth_bytes": 15}


def test_one_upload_says_nothing_about_growth() -> None:
    found = live_heap([Upload("1", None, {(MAIN,): 10}, {(MAIN,): 12})])
    assert [v.name for v in found.value_types] == ["inuse_space", "alloc_space"]
    assert found.totals == {"kept_bytes": 10, "growth_bytes": None}
    assert found.curve == ()
    assert any("nothing can be said about growth" in note for note in found.notes)
    with pytest.raises(ValueError, match="nothing was uploaded"):
        live_heap([])


def test_processes_are_kept_apart_and_foreign_files_refused(tmp_path: Path) -> None:
    asked(tmp_path, post(form()), post(form(event=EVENT.replace(b"77", b"78"))), post(form()))
    assert {process: len(found) for process, found in uploads(tmp_path).items()} == {"77": 2, "78": 1}
    about = tmp_path / "conprof-000001.json"
    about.write_text(about.read_text().replace("harness-conprof/1", "harness-conprof/9"))
    with pytest.raises(ValueError, match="another version"):
        uploads(tmp_path)
    assert conprof.uploads(tmp_path / "nothing here") == {}
