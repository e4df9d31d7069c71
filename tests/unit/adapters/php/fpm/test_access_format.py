"""Any access.format of php-fpm, and lines that hostile clients had a hand in."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.php.fpm.access_format import DEFAULT_FORMAT, LINE_CAP, compile_format
from adapters.php.fpm.pool_config import ACCESS_FORMAT
from harness.errors import UsageError

SPAN = "b" * 16
TRACE = f"00-{'a' * 32}-{SPAN}-01"
WORKING = "%p %{REQUEST_ID}e %s %{bytes}M %{micro}d %C %{X-Xdebug-Profile-Filename}o %r"

CODES = st.sampled_from(
    ["%p", "%P", "%s", "%l", "%M", "%{kilo}M", "%{mega}M", "%d", "%{mili}d", "%{micro}d", "%C", "%{user}C", "%m", "%n", "%R",
     "%t", "%T", "%{%s}T", "%{%Y-%m-%dT%H:%M:%S%z}T", "%{%A %c}t", "%r", "%q", "%r%Q%q", "%f", "%u", "%{HTTP_TRACEPARENT}e",
     "%{HTTP_USER_AGENT}e", "%{X-Powered-By}o", "%%", "x", '"']
)  # fmt: skip
FORMATS = st.lists(CODES, max_size=12).map(" ".join)
# what a client can put into its address, headers or name: above all what looks like the fields beside it
HOSTILE = st.lists(
    st.sampled_from(["-", " ", '"', "1", "4711", "200", "GET", "/", "?", "%", TRACE, "01/Jan/2026:00:00:00 +0000", "é", "\x01"]),
    max_size=8,
).map("".join)  # fmt: skip


def test_the_default_format_has_no_pid_so_no_line_is_a_record() -> None:
    access = compile_format(DEFAULT_FORMAT)
    line = b'127.0.0.1 -  26/Nov/2026:03:25:09 +0000 "GET /index.php?a=1" 200'
    fields = access.fields(line)
    assert fields is not None
    assert fields["s"] == b"200"
    assert fields["m"] == b"GET"
    assert fields["r"] == b"/index.php"
    assert fields["q"] == b"a=1"
    assert fields["t"] == b"26/Nov/2026:03:25:09 +0000"
    assert access.record(line) is None
    assert "p" not in access.names


def test_a_line_with_everything() -> None:
    access = compile_format('%p|%P|%{seconds}d|%{mega}M|%l|%n|%R|%{user}C|%s|%T|%u|"%m %r%Q%q"|%{UNIQUE_ID}e|100%%')
    record = access.record(
        b'41|40|1.250|12|17|www|::1|99.01|404|26/Nov/2026:03:25:09 +0100|bob|"POST /a b?secret=1"|'
        + SPAN.encode()
        + b"|100%"
    )
    assert record is not None
    assert (record.source, record.pid, record.status, record.name) == ("fpm-access-log", 41, 404, "POST /a b")
    assert record.span_id == SPAN
    assert record.wall_end_ns == 1_795_659_909 * 10**9
    assert record.start_ns is None
    assert record.end_ns is None
    assert record.sequence is None
    assert record.values == {"duration_ns": 1_250_000_000, "fpm_memory_bytes": 12 << 20, "content_bytes": 17}


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        ("%d", "0.004", {"duration_ns": 4_000_000}),
        ("%{mili}d", "4.125", {"duration_ns": 4_125_000}),
        ("%{milliseconds}d", "4.125", {"duration_ns": 4_125_000}),
        ("%{microseconds}d", "4125", {"duration_ns": 4_125_000}),
        ("%M", "2097152", {"fpm_memory_bytes": 2097152}),
        ("%{kilobytes}M", "2048", {"fpm_memory_bytes": 2097152}),
        ("%{micro}d", "9" * 19, {"duration_ns": None}),
        ("%C", "nan", {}),
    ],
)
def test_units(code: str, text: str, expected: dict[str, int | None]) -> None:
    record = compile_format(f"%p {code}").record(f"7 {text}".encode())
    assert record is not None
    assert record.values == expected


@pytest.mark.parametrize(
    ("form", "text", "seconds"),
    [
        ("%{%s}T", "1795663509", 1_795_663_509),
        ("%{%FT%T%z}T", "2026-11-26T03:25:09-0130", 1_795_668_909),
        ("%{%e %b %Y %H:%M:%S %z}T", " 6 Nov 2026 03:25:09 +0000", 1_793_935_509),
        ("%{%FT%T}T", "2026-11-26T03:25:09", None),  # of which zone?
        ("%{%d/%b/%Y:%H:%M:%S %z}T", "31/Feb/2026:03:25:09 +0000", None),
        ("%t", "26/Nov/2026:03:25:09 +0000", None),  # when it was accepted, not when it ended
        ("%{%A}T", "Thursday", None),
        ("%{%s}T", "99999999999", None),
        ("%{%FT%T%z}T", "1000-11-26T10:00:00+0000", None),
    ],
)
def test_the_end_is_known_where_the_format_says_all_of_it(form: str, text: str, seconds: int | None) -> None:
    record = compile_format(f"%p {form}").record(f"7 {text}".encode())
    assert record is not None
    assert record.wall_end_ns == (None if seconds is None else seconds * 10**9)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("%p %", "ends within"),
        ("%p %x", "none of its codes"),
        ("%p %{a}r", "takes nothing in braces"),
        ("%p %{days}d", "nothing that %d can be given"),
        ("%p %e", "needs a name"),
        ("%p%s", "space between"),
        ("%p%r", "space between"),
        ("%p7%s", "space between"),
        ("%p" + " x" * 999, "too long"),
        ("%p\n%s", "control"),
    ],
)
def test_formats_that_cannot_be_read_back_say_why(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=re.escape(says)):
        compile_format(text)


def test_an_agent_that_looks_like_the_fields_behind_it_moves_nothing() -> None:
    access = compile_format('"%{HTTP_USER_AGENT}e" %p %s %r')
    assert access.record(b'"curl" 4711 200 /real') is not None
    forged = b'"x" 1 200 /fake" 4711 200 /real'
    assert access.record(forged) is None, "nobody can tell which is the pid"


def test_hostile_text_at_the_end_harms_only_itself() -> None:
    record = compile_format("%p %s %{bytes}M %{micro}d %C %r").record(
        b"4711 200 2097152 1500 12.50 /x 1 200 9 9 9.00 /fake"
    )
    assert record is not None
    assert (record.pid, record.status) == (4711, 200)
    assert record.values == {"duration_ns": 1_500_000, "fpm_memory_bytes": 2097152}


def test_numbers_behind_text_of_a_client_are_left_out_where_they_are_in_doubt() -> None:
    access = compile_format(WORKING)
    plain = access.record(b"4711 - 200 2097152 1500 12.50 - /x")
    assert plain is not None
    assert plain.values == {"duration_ns": 1_500_000, "fpm_memory_bytes": 2097152}
    doubtful = access.record(b"4711 - 200 2097152 1500 12.50 - /x 1 200 9 9 9.00 - /fake")
    assert doubtful is not None
    assert (doubtful.pid, doubtful.status, doubtful.values) == (4711, None, {})


def test_a_line_of_our_own_pools() -> None:
    record = compile_format(ACCESS_FORMAT).record(f"4711 200 2097152 10825 {TRACE} GET /index.php".encode())
    assert record is not None
    assert (record.pid, record.status, record.span_id, record.name) == (4711, 200, SPAN, "GET /index.php")
    assert record.values == {"fpm_memory_bytes": 2097152, "duration_ns": 10_825_000}


@pytest.mark.parametrize("trace", ["-", "00-zz-zz-01", TRACE.upper(), TRACE + "0", "x" * 200])
def test_other_headers_leave_the_record_without_span(trace: str) -> None:
    record = compile_format(ACCESS_FORMAT).record(f"1 200 2 3 {trace} GET /".encode())
    assert record is not None
    assert record.span_id is None


@pytest.mark.parametrize("line", [b"", b"x", b"1 200 2 3", b"-1 200 2 3 - GET /", b"0 200 2 3 - GET /", b"\xff" * 99])
def test_anything_else_is_no_record(line: bytes) -> None:
    assert compile_format(ACCESS_FORMAT).record(line) is None


def test_own_requests_of_the_pool_and_of_the_harness_are_none_of_the_application() -> None:
    access = compile_format(ACCESS_FORMAT)
    line = f"1 200 2 3 {TRACE} GET "
    assert access.record((line + "/status?json&full").encode(), ignored={"/status"}) is None
    assert access.record((line + "/.harness/floor").encode()) is None
    assert access.record((line + "/statusx").encode(), ignored={"/status"}) is not None


@given(FORMATS, st.binary(max_size=200) | HOSTILE.map(str.encode))
@example('"%{A}e" %p "%{B}e"', b'"" 1 "" 2 ""')
def test_no_line_upsets_any_format(form: str, line: bytes) -> None:
    record = compile_format(form).record(line)
    if record is not None:
        assert record.pid > 0
        assert len(record.name) <= 400
        record.name.encode()


@given(HOSTILE, HOSTILE, HOSTILE, HOSTILE)
def test_what_counts_is_right_or_not_there(user: str, agent: str, trace: str, uri: str) -> None:
    """Whatever clients send: a record has the true pid, status and memory, or there is no record."""
    access = compile_format('%u %t "%m %r" %s "%{HTTP_USER_AGENT}e" %{HTTP_TRACEPARENT}e %p %M')
    line = f'{user} 26/Nov/2026:03:25:09 +0000 "GET {uri}" 201 "{agent}" {trace} 4712 777'
    record = access.record(line.encode())
    if record is not None:
        assert record.pid == 4712
        assert record.status in (201, None)
        assert record.values in ({"fpm_memory_bytes": 777}, {})
        assert record.span_id in ((SPAN,) if trace == TRACE else (None,)) + (None,)


def test_truncation_at_every_byte_gives_the_truth_or_nothing() -> None:
    line = f"4711 200 2097152 10825 {TRACE} GET /index.php".encode()
    access = compile_format(ACCESS_FORMAT)
    for end in range(len(line)):
        record = access.record(line[:end])
        assert record is None or (record.pid, record.span_id, record.status) == (4711, SPAN, 200)


def test_the_worst_line_takes_no_time_worth_mentioning() -> None:
    access = compile_format('%{A}e "%{B}e" "%{C}e" "%{D}e" "%{E}e" "%{F}e" %p "%r"')
    line = b'" "' * (LINE_CAP // 3)
    begin = time.process_time()
    assert access.record(line) is None
    assert time.process_time() - begin < 5, "quadratic at least: it would be minutes"
    assert access.record(line + b"  ") is None
