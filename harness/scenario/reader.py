"""Scenario files in, frozen models out; every mistake of a file at once, each as ``file:line: what was meant``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, RootModel, ValidationError
from pydantic_core import ErrorDetails

from harness.errors import ScenarioError
from harness.scenario.addresses import HOST_PATTERN, SSH_PATTERN
from harness.scenario.base import VERSION_PATTERN
from harness.scenario.crosschecks import find_doubts, find_mistakes
from harness.scenario.enough import too_few
from harness.scenario.hints import did_you_mean
from harness.scenario.load import (
    PROGRAM_PATTERN,
    CommandLoad,
    EachRoundLoad,
    EngineStagesLoad,
    LocustfileLoad,
    ObserveLoad,
    RoundsLoad,
    StagesLoad,
)
from harness.scenario.schema import Scenario
from harness.scenario.source import Loc, Problem, Source, parse_source, read_source
from harness.scenario.target import CONTAINER_PATTERN, DIRECTORY_PATTERN, LABEL_PATTERN, ROLE_PATTERN

MAX_PROBLEMS = 100
_LOAD_KINDS: Mapping[str, type[BaseModel]] = {
    "(rounds)": RoundsLoad,
    "(each round)": EachRoundLoad,
    "(observe)": ObserveLoad,
    "(command)": CommandLoad,
    "(locustfile)": LocustfileLoad,
    "(engine stages)": EngineStagesLoad,
    "(stages)": StagesLoad,
}


def read_scenario(path: Path) -> Scenario:
    """Read a scenario file. Raises ScenarioError with all mistakes, in the order of their lines."""
    return build_scenario(read_source(path))


def parse_scenario(text: str, path: Path = Path("scenario.yaml")) -> Scenario:
    """Like `read_scenario`, for text; ``path`` is for messages and for what relative paths are relative to."""
    return build_scenario(parse_source(text, path))


def build_scenario(source: Source) -> Scenario:
    """The scenario in a parsed file. Raises ScenarioError with all mistakes."""
    if not isinstance(source.data, dict):
        what = "is empty" if source.data is None else "holds no 'key: value' lines at its top level"
        raise ScenarioError((f"{source.place(1)}: {what}: see `harness init` for a scenario to start from",))
    problems = [*source.problems, *(Problem(source.line(loc), text) for loc, text in find_mistakes(source.data))]
    scenario: Scenario | None = None
    try:
        scenario = Scenario.model_validate(source.data)
    except ValidationError as exc:
        problems += [_problem(error, source) for error in exc.errors(include_url=False)]
    if scenario is None or problems:
        raise ScenarioError(_lines(problems, source))
    scenario._source = source
    return scenario


def warnings_of(scenario: Scenario) -> tuple[str, ...]:
    """Doubts about a scenario that is valid, as ``file:line: text``: secrets in clear text, captures nobody uses, expectations
    that no run can meet."""
    source = scenario.source
    if source is None:
        return ()
    doubts = [Problem(source.line(loc), text) for loc, text in find_doubts(source.data)]
    doubts += [Problem(source.line(("expect", index)), text) for index, text in too_few(scenario)]
    return _lines(doubts, source)


def _lines(problems: list[Problem], source: Source) -> tuple[str, ...]:
    ordered = sorted(set(problems))
    lines = [f"{source.place(p.line)}: {p.text}" for p in ordered[:MAX_PROBLEMS]]
    if len(ordered) > MAX_PROBLEMS:
        lines.append(f"{source.path}: and {len(ordered) - MAX_PROBLEMS} more")
    return tuple(lines)


def _problem(error: ErrorDetails, source: Source) -> Problem:
    loc: Loc = tuple(error["loc"])
    explain = _EXPLAIN.get(error["type"])
    text = error["msg"] if explain is None else explain(error)
    if error["type"] not in _SPEAKS_FOR_ITSELF and (key := _key(loc, source)):
        text = f"{key}: {text}"
    return Problem(source.line(loc), text)


def _key(loc: Loc, source: Source) -> str:
    """The keys on the way to ``loc`` that are really in the file, dotted."""
    found: Loc = ()
    for part in loc:
        if (*found, part) in source.lines:
            found = (*found, part)
    return ".".join(part for part in found if isinstance(part, str))


def _missing(error: ErrorDetails) -> str:
    *parent, key = error["loc"]
    models = _models_at(tuple(parent))
    about = next((f.description for m in models for n, f in m.model_fields.items() if (f.alias or n) == key), None)
    return f"{key!r} is missing" + (f": {about}" if about else "")


def _unknown(error: ErrorDetails) -> str:
    *parent, key = error["loc"]
    known = [field.alias or name for m in _models_at(tuple(parent)) for name, field in m.model_fields.items()]
    return f"unknown key {str(key)!r}{did_you_mean(str(key), known) or '; keys here: ' + ', '.join(known)}"


def _models_at(loc: Loc) -> tuple[type[BaseModel], ...]:
    """The models that a mapping at ``loc`` may be, following field types from the top."""
    models: tuple[type[BaseModel], ...] = (Scenario,)
    for part in loc:
        if part in _LOAD_KINDS:
            models = tuple(_models_in(_LOAD_KINDS[str(part)]))
            continue
        annotations = [f.annotation for m in models for n, f in m.model_fields.items() if part in (n, f.alias)]
        if annotations:
            models = tuple(model for annotation in annotations for model in _models_in(annotation))
    return models


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, RootModel):
        yield from _models_in(annotation.model_fields["root"].annotation)
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


def _wanted(what: str) -> Callable[[ErrorDetails], str]:
    return lambda error: f"must be {what}, not {_shown(error['input'])}"


def _limit(text: str) -> Callable[[ErrorDetails], str]:
    return lambda error: f"must be {text.format_map(error.get('ctx', {}))}, not {_shown(error['input'])}"


def _length(error: ErrorDetails) -> str:
    context = error.get("ctx", {})
    low, high = context.get("min_length"), context.get("max_length")
    return f"is too short (at least {low})" if low is not None else f"is too long (at most {high})"


def _shown(value: object) -> str:
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


_PATTERNS = {
    r"^[A-Za-z0-9._-]{1,64}$": "1 to 64 letters, digits, dots, dashes or underscores",
    r"^[a-z][a-z0-9_-]{0,31}$": "a lower-case name",
    SSH_PATTERN: "an address such as ssh://deploy@staging-1",
    HOST_PATTERN: "an address such as ssh://deploy@staging-1 or kubectl://namespace/pod, or local",
    PROGRAM_PATTERN: "a program's name or path",
    VERSION_PATTERN: "a version: letters, digits and ._+-, of 64 at most",
    CONTAINER_PATTERN: "a container's name or id, as docker ps shows it",
    ROLE_PATTERN: "a role such as web, worker or db: letters, digits, _ and -, of 32 at most",
    LABEL_PATTERN: "a name for a host: letters, digits, dots, dashes or underscores, of 64 at most",
    DIRECTORY_PATTERN: "a whole path such as /opt/harness-agent",
}


def _pattern(error: ErrorDetails) -> str:
    pattern = str(error.get("ctx", {}).get("pattern"))
    return f"{_shown(error['input'])} is not {_PATTERNS.get(pattern, 'HOST:PORT such as 127.0.0.1:8080')}"


_LIST = "a list (each item on its own line after '- ', or [a, b])"
_MAPPING = "a mapping (key: value lines, or {key: value})"
_EXPLAIN: Mapping[str, Callable[[ErrorDetails], str]] = {
    "missing": _missing,
    "extra_forbidden": _unknown,
    "value_error": lambda error: str(error.get("ctx", {}).get("error", error["msg"])),
    "string_type": _wanted("text (put it in quotes)"),
    "int_type": _wanted("a whole number"),
    "bool_type": _wanted("true or false"),
    "tuple_type": _wanted(_LIST),
    "mapping_type": _wanted(_MAPPING),
    "model_type": _wanted(_MAPPING),
    "model_attributes_type": _wanted(_MAPPING),
    "dict_type": _wanted(_MAPPING),
    "greater_than_equal": _limit("at least {ge}"),
    "less_than_equal": _limit("at most {le}"),
    "string_pattern_mismatch": _pattern,
    "string_too_short": _length,
    "string_too_long": _length,
    "too_short": _length,
    "too_long": _length,
}
_SPEAKS_FOR_ITSELF = {"missing", "extra_forbidden", "mistake"}
