"""The part of ``serialize()`` that is read, against PHP itself and against what must not be read."""

from __future__ import annotations

import json
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.formats.php_serialized import Value, load

thorough = settings(deadline=None, max_examples=150)


def serialized(value: Value) -> bytes:
    if isinstance(value, int):
        return b"i:%d;" % value
    if isinstance(value, bytes):
        return b's:%d:"%s";' % (len(value), value)
    return b"a:%d:{%s}" % (len(value), b"".join(serialized(k) + serialized(v) for k, v in value.items()))


def depth(value: Value) -> int:
    return 1 + max(map(depth, value.values()), default=0) if isinstance(value, dict) else 0


keys = st.integers(-(2**63), 2**63 - 1) | st.binary(max_size=6)
values = st.recursive(keys, lambda inner: st.dictionaries(keys, inner, max_size=4), max_leaves=12)


@thorough
@given(values)
def test_what_serialize_writes_is_read_back(value: Value) -> None:
    if depth(value) > 8:
        with pytest.raises(ValueError, match="nested"):
            load(serialized(value))
    else:
        assert load(serialized(value)) == value


@thorough
@given(values, st.integers(0, 200))
def test_cut_values_are_refused(value: Value, at: int) -> None:
    data = serialized(value)
    with pytest.raises(ValueError, match=r"byte|nested"):
        load(data[: min(at, len(data) - 1)])


@thorough
@given(st.binary(max_size=60) | st.builds(bytes, st.lists(st.sampled_from(b'a:i1s"{};-290'), max_size=60)))
def test_garbage_is_a_reason_and_never_another_error(data: bytes) -> None:
    try:
        load(data)
    except ValueError:
        return


def test_php_agrees() -> None:
    code = "echo serialize(json_decode(stream_get_contents(STDIN), true));"
    data = {"main()": {"ct": 1, "wt": -5}, 'ü==>"quoted"; i:1;': {"ct": 2**40}, "0": {"ct": 1}}
    out = subprocess.run(
        ["php", "-n", "-r", code], input=json.dumps(data).encode(), capture_output=True, check=True, timeout=100
    )
    assert load(out.stdout) == {
        (int(k) if k.isdigit() else k.encode()): {name.encode(): number for name, number in v.items()}
        for k, v in data.items()
    }


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "neither"),
        (b'O:8:"stdClass":0:{}', "neither"),
        (b'C:1:"X":0:{}', "neither"),
        (b"R:1;", "neither"),
        (b"b:1;", "neither"),
        (b"d:1.5;", "neither"),
        (b"N;", "neither"),
        (b'E:3:"A:B";', "neither"),
        (b"i:99999999999999999999;", "neither"),
        (b"a:1:{a:0:{}i:1;}", "array as a key"),
        (b"a:999999999:{", "neither"),
        (b"a:1:{i:1;i:2;i:3;i:4;}", "not over"),
        (b's:9:"abc";', "not as long"),
        (b"i:1;i:2;", "something follows"),
        (b"a:1:{i:1;" * 40, "nested more than 8"),
    ],
)
def test_what_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        load(data)
