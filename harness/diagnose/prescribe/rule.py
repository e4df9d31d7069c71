"""Rules as read from files, and everything that can be wrong with them. The file's lines are kept for messages."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from harness.diagnose.prescribe.language import Expression, Kind, LanguageError, parse
from harness.diagnose.prescribe.servers import NAMES as SERVERS
from harness.diagnose.prescribe.template import Template, parse_template
from harness.diagnose.prescribe.vocabulary import kind_of
from harness.errors import ScenarioError
from harness.model.finding import Advice, Cause
from harness.scenario.hints import did_you_mean
from harness.scenario.schema import Scenario
from harness.scenario.source import Data, Problem, Source, parse_source

T = TypeVar("T")
MOST_RULES = 1000
DEFAULT_PRIORITY = 50
RUNTIMES = ("python", "php", "any")
# Texts of a rule: name -> whether it is a command or YAML.
_TEXTS = {"action": False, "command": True, "because": False, "expected": False, "risk": False, "rollback": False,
          "verify": False, "change": True}  # fmt: skip
_NEEDED = {Advice.DO: ("action", "because", "expected", "risk", "verify"), Advice.ANSWER: ("action", "because")}
KEYS = ("id", "causes", "runtimes", "servers", "when", "unless", "priority", "kind", *_TEXTS)
_ID = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_TOP_LEVEL = tuple(field.alias or name for name, field in Scenario.model_fields.items())


@dataclass(frozen=True, slots=True)
class Rule:
    """``runtimes`` and ``servers`` empty: all. ``priority``: the smallest comes first. ``place``: file:line."""

    id: str
    causes: frozenset[Cause]
    runtimes: frozenset[str]
    servers: frozenset[str]
    when: Expression | None
    unless: Expression | None
    priority: int
    kind: Advice
    texts: Mapping[str, Template]
    place: str

    @property
    def names(self) -> frozenset[str]:
        """All names that its conditions and texts ask for."""
        conditions = [n for e in (self.when, self.unless) if e is not None for n in e.names]
        return frozenset([*conditions, *(n for t in self.texts.values() for n in t.names)])


def rules_in(source: Source) -> tuple[tuple[Rule, ...], tuple[str, ...]]:
    """(rules without mistakes, mistakes as ``file:line: text``) of one parsed file."""
    problems = [*source.problems]
    rules: list[Rule] = []
    for index in _entries(source, problems):
        rule = _Reading(source, index, problems).rule()
        if rule is not None:
            rules.append(rule)
    return tuple(rules), tuple(f"{source.place(p.line)}: {p.text}" for p in sorted(set(problems)))


def merged(layers: Sequence[Sequence[Rule]]) -> tuple[Rule, ...]:
    """All rules, those of a later layer in place of earlier ones with the same id; sorted by priority, then id."""
    by_id = {rule.id: rule for layer in layers for rule in layer}
    return tuple(sorted(by_id.values(), key=lambda r: (r.kind is Advice.ANSWER, r.priority, r.id)))


def repeated(rules: Sequence[Rule]) -> tuple[str, ...]:
    """Mistakes: ids that are there twice in one layer."""
    first: dict[str, Rule] = {}
    found = []
    for rule in rules:
        if rule.id in first:
            found.append(f"{rule.place}: the id {rule.id!r} is there twice, first at {first[rule.id].place}")
        first.setdefault(rule.id, rule)
    return tuple(found)


def _entries(source: Source, problems: list[Problem]) -> Sequence[int]:
    data = source.data
    if not isinstance(data, dict) or not isinstance(data.get("rules"), list):
        problems.append(Problem(source.line(()), "has no list 'rules:' at its top level: see docs/prescriptions.md"))
        return ()
    problems += [
        Problem(source.line((key,)), f"unknown key {key!r}: only 'rules' is expected here")
        for key in data
        if key != "rules"
    ]
    rules = data["rules"]
    assert isinstance(rules, list)
    if len(rules) > MOST_RULES:
        problems.append(Problem(source.line(("rules",)), f"{len(rules)} rules are too many (at most {MOST_RULES})"))
        return ()
    return range(len(rules))


class _Reading:
    """One entry of the list."""

    def __init__(self, source: Source, index: int, problems: list[Problem]) -> None:
        self._source, self._index, self._problems = source, index, problems
        rules = source.data["rules"] if isinstance(source.data, dict) else None
        entry = rules[index] if isinstance(rules, list) else None
        self._entry: dict[str, Data] = entry if isinstance(entry, dict) else {}

    def rule(self) -> Rule | None:
        """None where something is wrong with it, which is among the problems then."""
        before = len(self._problems)
        if not self._entry:
            self._say(None, "a rule is 'key: value' lines")
            return None
        for key in self._entry:
            if key not in KEYS:
                self._say(key, f"unknown key {key!r}{did_you_mean(key, KEYS) or '; keys here: ' + ', '.join(KEYS)}")
        identity = self._identity()
        kind = self._choice("kind", [k.value for k in Advice]) or Advice.DO.value
        causes = self._list("causes", [c.value for c in Cause])
        if "causes" not in self._entry:
            self._say(None, "'causes' is missing: a list such as [leak.objects, fragmentation]")
        rule = Rule(
            id=identity,
            causes=frozenset(Cause(c) for c in causes),
            runtimes=frozenset(self._list("runtimes", RUNTIMES)),
            servers=frozenset(self._list("servers", SERVERS)),
            when=self._condition("when"),
            unless=self._condition("unless"),
            priority=self._priority(),
            kind=Advice(kind),
            texts=dict(self._texts(Advice(kind))),
            place=self._source.place(self._line(None)),
        )
        return rule if len(self._problems) == before else None

    def _line(self, key: str | None) -> int:
        loc: tuple[str | int, ...] = ("rules", self._index) if key is None else ("rules", self._index, key)
        return self._source.line(loc)

    def _say(self, key: str | None, text: str) -> None:
        self._problems.append(Problem(self._line(key), text))

    def _identity(self) -> str:
        value = self._entry.get("id")
        if isinstance(value, str) and _ID.fullmatch(value) and len(value) <= 64:
            return value
        self._say(
            "id",
            "'id' is missing or is not a name such as trim-when-idle (at most 64 lower-case letters, digits, dashes)",
        )
        return ""

    def _choice(self, key: str, known: Sequence[str]) -> str | None:
        value = self._entry.get(key)
        if value is None:
            return None
        if isinstance(value, str) and value in known:
            return value
        self._say(key, f"{key}: {value!r} is none of {', '.join(known)}")
        return None

    def _list(self, key: str, known: Sequence[str]) -> tuple[str, ...]:
        value = self._entry.get(key, [])
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list) or (key in self._entry and not items):
            self._say(key, f"{key}: must be a list such as [{known[0]}]")
            return ()
        for item in items:
            if item not in known:
                near = did_you_mean(str(item), known) or f": there are {', '.join(known)}"
                self._say(key, f"{key}: {str(item)!r} is not known{near}")
        return tuple(str(item) for item in items if item in known)

    def _priority(self) -> int:
        value = self._entry.get("priority", DEFAULT_PRIORITY)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 1000:
            return value
        self._say("priority", f"priority: must be a whole number from 0 (first) to 1000, not {value!r}")
        return DEFAULT_PRIORITY

    def _guarded(self, key: str, read: Callable[[str], T]) -> T | None:
        value = self._entry.get(key)
        if value is None:
            return None
        if not isinstance(value, str):
            self._say(key, f"{key}: must be text (put it in quotes)")
            return None
        try:
            return read(value)
        except LanguageError as error:
            self._say(key, f"{key}: {error}")
            return None

    def _condition(self, key: str) -> Expression | None:
        found = self._guarded(key, lambda text: parse(text, kind_of))
        if found is not None and found.kind not in (Kind.TRUTH, Kind.ANY):
            self._say(key, f"{key}: is a {found.kind.value}, not a condition: compare it with something")
        return found

    def _texts(self, kind: Advice) -> Iterator[tuple[str, Template]]:
        for key in _NEEDED[kind]:
            if self._entry.get(key) in (None, ""):
                self._say(key, f"{key!r} is missing")
        for key, quoted in _TEXTS.items():
            found = self._guarded(key, partial(parse_template, kind_of=kind_of, quoted=quoted))
            if found is None:
                continue
            if key == "change":
                self._check_change(found)
            yield key, found

    def _check_change(self, template: Template) -> None:
        """It must be a piece of a scenario, whatever the numbers are."""
        text = "".join(piece if isinstance(piece, str) else "1" for piece in template.pieces)
        try:
            data = parse_source(text, self._source.path).data
        except ScenarioError as error:
            said = error.problems[0].partition(": ")[2]
            self._say("change", f"change: {said}")
            return
        if not isinstance(data, dict) or not data:
            self._say("change", "change: must be keys of a scenario, such as 'load: {rounds: 16}'")
            return
        for key in data:
            if key not in _TOP_LEVEL:
                self._say("change", f"change: a scenario has no key {key!r}{did_you_mean(key, _TOP_LEVEL)}")
