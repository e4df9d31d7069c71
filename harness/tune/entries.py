"""One entry for each parameter: its value, what it means, the judgement, the commands. Pure but for the shipped "
"texts."""

from __future__ import annotations

from importlib.resources import files

from harness.sampling.reading import absent
from harness.tune.commands import commands
from harness.tune.model import Entry, Host, Judgement, Kind, Parameter, Verdict, none, unknown
from harness.tune.parameters import PARAMETERS


def entries(host: Host) -> tuple[Entry, ...]:
    """All of them, in their order."""
    return tuple(entry(parameter, host) for parameter in PARAMETERS)


def entry(parameter: Parameter, host: Host) -> Entry:
    """What is said about one parameter on this machine."""
    current = parameter.shown(host) if parameter.shown is not None else _current(parameter, host)
    judgement, why = _judged(parameter, host)
    value, group = judgement.value, judgement.group
    told = commands(parameter, host, _written(current), value, group)
    return Entry(
        parameter=parameter,
        meaning=meaning(parameter),
        current=current,
        why_unknown="" if current is not None else why,
        origin=host.origins.get(parameter.path, "") if parameter.kind is Kind.SYSCTL else "",
        judgement=judgement,
        commands=None if judgement.verdict is Verdict.NONE and parameter.kind is not Kind.ACTION else told,
    )


def meaning(parameter: Parameter) -> str:
    """What it means, in a sentence or two: the first paragraph of its text."""
    return long_text(parameter)[0]


def long_text(parameter: Parameter) -> list[str]:
    """The paragraphs of its text."""
    text = files("harness.tune").joinpath("texts", f"{parameter.name}.txt").read_text(encoding="utf-8")
    return [" ".join(paragraph.split()) for paragraph in text.split("\n\n") if paragraph.strip()]


def _judged(parameter: Parameter, host: Host) -> tuple[Judgement, str]:
    """The judgement, and why the value is unknown where it is."""
    unread = next((name for name in parameter.facts if name not in host.facts), None)
    judgement = parameter.judge(host)
    if unread is None:
        return judgement, ""
    why = host.missing.get(unread, "the run did not record it" if not host.live else "")
    if absent(why) or (not why and judgement.verdict is Verdict.NONE):
        return (judgement if judgement.verdict is Verdict.NONE else none("This kernel does not have it.")), why
    return unknown(f"It could not be read: {why}." if why else judgement.text), why


def _current(parameter: Parameter, host: Host) -> str | None:
    value = host.facts.get(parameter.facts[0]) if parameter.facts else None
    return None if value is None else str(value)


def _written(current: str | None) -> str | None:
    """What would have to be written to get it back; None where what is shown is more than the value."""
    return current if current is not None and " " not in current else None
