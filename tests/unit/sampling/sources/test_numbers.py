"""Only what the kernel would write is a number."""

from __future__ import annotations

import pytest

from harness.sampling.sources.numbers import at, scaled, to_int


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b"0", 0),
        (b"007", 7),
        (b"9223372036854775807", 2**63 - 1),
        (b"9223372036854775808", None),
        (b"18446744073709551615", None),
        (b"-1", None),
        (b"+1", None),
        (b"1_0", None),
        (b" 1", None),
        (b"", None),
        ("٣".encode(), None),
    ],
)
def test_to_int(field: bytes, value: int | None) -> None:
    assert to_int(field) == value


def test_scaling_keeps_the_limit() -> None:
    assert scaled(b"4", 1024) == 4096
    assert scaled(b"9007199254740991", 1024) == 9007199254740991 * 1024
    assert scaled(b"9007199254740992", 1024) is None
    assert scaled(b"x", 1024) is None


def test_a_field_that_is_not_there() -> None:
    assert at([b"1"], 0) == 1
    assert at([b"1"], 1) is None
