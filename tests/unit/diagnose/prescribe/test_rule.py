"""Files of rules: what they mean, and every mistake with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.diagnose.prescribe.rule import Rule, merged, repeated, rules_in
from harness.model.finding import Advice, Cause
from harness.scenario.source import parse_source

GOOD = """\
rules:
  - id: fewer-threads
    causes: [fragmentation, threads]
    runtimes: [python]
    servers: [gunicorn]
    when: threads > 8 and glibc_held_bytes > 16 MiB
    unless: known(env.MALLOC_ARENA_MAX)
    priority: 7
    action: Use fewer threads.
    command: gunicorn --threads {threads / 2:ceil}
    because: "{threads} threads keep {glibc_held_bytes}."
    expected: Less memory.
    risk: Slower.
    rollback: Undo it.
    verify: Run again.
    change: |
      target:
        env:
          THREADS: "{threads / 2:ceil}"
"""


def read(text: str) -> tuple[tuple[Rule, ...], tuple[str, ...]]:
    return rules_in(parse_source(text, Path("ours.yaml")))


def test_a_rule() -> None:
    (rule,), problems = read(GOOD)
    assert problems == ()
    assert rule.id == "fewer-threads"
    assert rule.causes == {Cause.FRAGMENTATION, Cause.THREADS}
    assert (rule.runtimes, rule.servers, rule.priority) == ({"python"}, {"gunicorn"}, 7)
    assert rule.kind is Advice.DO
    assert rule.place == "ours.yaml:2"
    assert rule.names == {"threads", "glibc_held_bytes", "env.MALLOC_ARENA_MAX"}


def test_an_answer_needs_only_what_it_says_and_why() -> None:
    (rule,), problems = read(
        "rules:\n  - {id: no, kind: answer, causes: [healthy], action: Do not., because: '{workers} workers.'}\n"
    )
    assert problems == ()
    assert rule.kind is Advice.ANSWER


@pytest.mark.parametrize(
    ("changed", "line", "said"),
    [
        ("    causes: [fragmentation, thread]", 3, "causes: 'thread' is not known (did you mean 'threads'?)"),
        ("    causes: []", 3, "causes: must be a list such as [healthy]"),
        ("    runtimes: [perl]", 4, "runtimes: 'perl' is not known: there are python, php, any"),
        ("    servers: [gunicron]", 5, "servers: 'gunicron' is not known (did you mean 'gunicorn'?)"),
        ("    when: thread > 8", 6, "when: 'thread' does not exist (did you mean 'threads'?)"),
        ("    when: threads", 6, "when: is a number, not a condition: compare it with something"),
        ("    when: threads >", 6, "when: something is missing before 'the end'"),
        ("    unless: 5", 7, "unless: must be text (put it in quotes)"),
        ("    priority: high", 8, "priority: must be a whole number from 0 (first) to 1000, not 'high'"),
        ("    priority: true", 8, "priority: must be a whole number"),
        ("    command: kill {where}", 10, "command: {where}: text in a command or in YAML is quoted"),
        ('    because: "{thread} threads"', 11, "because: 'thread' does not exist"),
        ("    because: ", 11, "'because' is missing"),
        ("    risc: Slower.", 13, "unknown key 'risc' (did you mean 'risk'?)"),
    ],
)
def test_mistakes_name_their_line(changed: str, line: int, said: str) -> None:
    lines = GOOD.splitlines()
    lines[line - 1] = changed
    rules, problems = read("\n".join(lines))
    assert rules == ()
    assert any(p.startswith(f"ours.yaml:{line}: ") and said in p for p in problems), problems


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("nonsense", "must be keys of a scenario"),
        ("lode: {{rounds: 9}}", "a scenario has no key 'lode' (did you mean 'load'?)"),
        ("a: [", "not valid YAML"),
        ("*x", "anchors and aliases"),
    ],
)
def test_a_change_is_a_piece_of_a_scenario(change: str, said: str) -> None:
    text = GOOD[: GOOD.index("    change:")] + f'    change: "{change}"\n'
    _, problems = read(text)
    assert len(problems) == 1
    assert problems[0].startswith("ours.yaml:16: change: ")
    assert said in problems[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "ours.yaml:1: has no list 'rules:' at its top level: see docs/prescriptions.md"),
        ("rules: 5", "ours.yaml:1: has no list 'rules:' at its top level: see docs/prescriptions.md"),
        ("rules:\n  - 5", "ours.yaml:2: a rule is 'key: value' lines"),
        ("rules: []\nrule: []", "ours.yaml:2: unknown key 'rule': only 'rules' is expected here"),
    ],
)
def test_files_of_the_wrong_shape(text: str, expected: str) -> None:
    assert read(text) == ((), (expected,))


def test_everything_wrong_is_told_at_once() -> None:
    _, problems = read("rules:\n  - {id: A B, causes: [x], action: 5}\n  - {}\n  - id: ok\n    kind: maybe\n")
    text = "\n".join(problems)
    for said in ("'id' is missing or is not a name", "causes: 'x'", "action: must be text", "ours.yaml:3: a rule is",
                 "'causes' is missing", "kind: 'maybe' is none of do, answer", "'verify' is missing"):  # fmt: skip
        assert said in text
    assert all(p.startswith("ours.yaml:") for p in problems)


def test_too_many_rules_are_refused() -> None:
    _, problems = read("rules:\n" + "  - {}\n" * 1001)
    assert problems == ("ours.yaml:1: 1001 rules are too many (at most 1000)",)


def test_later_layers_replace_and_priority_sorts() -> None:
    def rule(identity: str, priority: int, action: str, kind: str = "do") -> Rule:
        (found,), _ = read(
            f"rules:\n  - {{id: {identity}, causes: [healthy], priority: {priority}, kind: {kind}, action: {action}, because: b, "
            "expected: e, risk: r, verify: v}\n"
        )
        return found

    built_in = [rule("a", 50, "old"), rule("b", 40, "B"), rule("z", 0, "Z", "answer")]
    ours = [rule("a", 10, "new"), rule("c", 40, "C")]
    both = merged([built_in, ours])
    assert [(r.id, r.texts["action"].text) for r in both] == [("a", "new"), ("b", "B"), ("c", "C"), ("z", "Z")]
    assert repeated([*ours, rule("a", 1, "again")]) == ("ours.yaml:2: the id 'a' is there twice, first at ours.yaml:2",)
