"""YAML to data with lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import ScenarioError
from harness.scenario.source import MAX_BYTES, MAX_DEPTH, parse_source, read_source

HERE = Path("s.yaml")


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(ScenarioError) as caught:
        parse_source(text, HERE)
    return caught.value.problems


def test_every_key_and_item_knows_its_line() -> None:
    source = parse_source("# comment\na: 1\nb:\n  - x\n  -\n    c: {d: 2}\ne: |\n  text\n", HERE)
    assert source.data == {"a": 1, "b": ["x", {"c": {"d": 2}}], "e": "text\n"}
    assert source.lines == {
        (): 2, ("a",): 2, ("b",): 3, ("b", 0): 4, ("b", 1): 6, ("b", 1, "c"): 6, ("b", 1, "c", "d"): 6, ("e",): 7,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("no", "no"), ("yes", "yes"), ("on", "on"), ("true", True), ("False", False), ("", None), ("~", None), ("null", None),
        ("12", 12), ("-3", -3), ("007", "007"), ("+5", "+5"), ("0x10", "0x10"), ("1_000", "1_000"), ("12:30", "12:30"),
        ("9" * 18, int("9" * 18)), ("9" * 30, "9" * 30), ("1.5", 1.5), ("1e3", 1000.0), (".5", 0.5), ("1e999", "1e999"),
        (".inf", ".inf"), (".nan", ".nan"), ("2024-01-01", "2024-01-01"), ("'12'", "12"), ('"null"', "null"),
        ("|\n  12\n", "12\n"),
    ],
)  # fmt: skip
def test_scalars_follow_yaml_1_2_and_keep_what_numbers_would_lose(written: str, value: object) -> None:
    data = parse_source(f"k: {written}\n", HERE).data
    assert isinstance(data, dict)
    assert data == {"k": value}
    assert type(data["k"]) is type(value)


def test_line_of_a_location_is_that_of_its_deepest_part_in_the_file() -> None:
    source = parse_source("load:\n  rounds: 1\n  x: [1, 2]\n", HERE)
    assert source.line(("load", "(rounds)", "rounds")) == 2
    assert source.line(("load", "missing")) == 1
    assert source.line(("load", "x", 1)) == 3
    assert source.line(("nothing",)) == 1


def test_a_key_given_twice_does_not_end_the_reading() -> None:
    source = parse_source("a: 1\nb: {c: 1, c: 2}\na: 3\n", HERE)
    assert [(p.line, p.text) for p in source.problems] == [
        (2, "'c' is given twice, first on line 2"),
        (3, "'a' is given twice, first on line 1"),
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [1, 2\nb: 3\n", "s.yaml:2: not valid YAML: "),
        ("a: b: c\n", "s.yaml:1: not valid YAML: "),
        ("a: x: y\n", "put text that contains ': ' in quotes"),
        ("a:\n\tb: 1\n", "indent with spaces, not tabs"),
        ("a: 1\nb: \x00\n", "s.yaml:2: not valid YAML: "),
        ("a: &x 1\nb: *x\n", "s.yaml:1: &x: anchors and aliases are not supported"),
        ("a: *x\n", "s.yaml:1: *x: anchors and aliases are not supported"),
        ("a: !!python/object/apply:os.system [ls]\n", "tags are not supported"),
        ("a: !secret b\n", "s.yaml:1: !secret: tags are not supported"),
        ("a: 1\n---\nb: 2\n", "s.yaml:2: a second document starts here"),
        ("? [a, b]\n: 1\n", "s.yaml:1: a key must be plain text"),
        ("a: ${X}\n{b: 1}: 2\n", "s.yaml:2: "),
        ("a: " + "[" * (MAX_DEPTH + 5) + "]" * (MAX_DEPTH + 5), f"nested deeper than {MAX_DEPTH}"),
        ("[" * 200_000, "nested deeper than"),
        ("a: '\ud800'\n", "s.yaml:1: not valid YAML"),
    ],
)
def test_what_is_not_a_scenario_says_so_with_its_line(text: str, says: str) -> None:
    (problem,) = problems(text)
    assert problem.startswith("s.yaml:")
    assert says in problem


def test_billion_laughs_is_refused_before_it_grows() -> None:
    bomb = "a: &a [x, x]\n" + "".join(f"{c}: &{c} [*{p}, *{p}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True))
    assert problems(bomb) == (
        "s.yaml:1: &a: anchors and aliases are not supported: write the value out, or put it in quotes",
    )


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    cases = {
        "latin1.yaml": (b"name: ok\ndescription: caf\xe9\n", ":2: is not UTF-8 text"),
        "huge.yaml": (b"#" * (MAX_BYTES + 1), "larger than 1 MiB"),
        "nul.yaml": (b"name: \x00\n", ":1: not valid YAML"),
    }
    for name, (content, says) in cases.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ScenarioError) as caught:
            read_source(path)
        assert says in str(caught.value)
        assert str(caught.value).startswith(str(path))
    for path, says in [
        (tmp_path / "none.yaml", "No such file"),
        (tmp_path, "Is a directory"),
        (Path("a\0b"), "file name"),
    ]:
        with pytest.raises(ScenarioError, match=says):
            read_source(path)


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "bom.yaml"
    path.write_bytes(b"\xef\xbb\xbfname: x\r\n")
    assert read_source(path).data == {"name": "x"}
