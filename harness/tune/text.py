"""The table and the long text for people. Everything is made safe to show here. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.targets.detect import printable
from harness.tune.model import Commands, Entry, Host, Span, Verdict, Window

_HEADINGS = {
    Verdict.CHANGE: "worth a change",
    Verdict.WATCH: "worth watching",
    Verdict.UNKNOWN: "could not be judged",
    Verdict.LEAVE: "leave as they are",
    Verdict.NONE: "decide nothing here",
}
_QUIET = (Verdict.LEAVE, Verdict.NONE)
_COLOURS = {Verdict.CHANGE: "33", Verdict.WATCH: "36", Verdict.UNKNOWN: "31"}
_IN_WORDS = {
    Verdict.CHANGE: "a change is worth trying",
    Verdict.WATCH: "worth watching, no change yet",
    Verdict.LEAVE: "leave it",
    Verdict.NONE: "it decides nothing here",
    Verdict.UNKNOWN: "could not be judged",
}
_MOST_LETTERS = 1200
_NARROWEST = 60
_INDENT = "      "


@dataclass(frozen=True, slots=True)
class Paper:
    """What may be written. ``columns``: of a line. ``every``: at length also about parameters that need no attention."""

    colour: bool = False
    columns: int = 100
    every: bool = False


def render(host: Host, entries: Sequence[Entry], paper: Paper) -> str:
    """Where the numbers are from, then the parameters by verdict; those that need no attention by name and value only, unless
    all are asked for."""
    lines = list(_heading(host, paper))
    for verdict, heading in _HEADINGS.items():
        chosen = [entry for entry in entries if entry.judgement.verdict is verdict]
        if chosen:
            lines += ["", _styled(heading, "1", paper)]
        if chosen and verdict in _QUIET and not paper.every:
            lines += _wrapped(", ".join(_title(entry) for entry in chosen), paper, "  ")
        else:
            for entry in chosen:
                lines += _brief(entry, paper)
    lines += ["", *_wrapped(_closing(entries, paper), paper, "")]
    return "\n".join(lines) + "\n"


def explain(entry: Entry, paragraphs: Sequence[str], host: Host, paper: Paper) -> str:
    """Everything about one parameter: its text, how it stands, the evidence, the commands."""
    lines = [_styled(_title(entry), "1", paper)]
    for number, paragraph in enumerate(paragraphs):
        lines += ([""] if number else []) + list(_wrapped(paragraph, paper, ""))
    lines += ["", _styled(f"on {safe(host.name)}: {_IN_WORDS[entry.judgement.verdict]}", "1", paper)]
    lines += _body(entry, paper)
    if entry.commands is not None and entry.judgement.verdict is not Verdict.CHANGE:
        lines += [
            "",
            "If you change it all the same (as root"
            + (", on the machine around this container" if host.container else "")
            + "):",
        ]
        lines += _commands(entry.commands)
    return "\n".join(lines) + "\n"


def _heading(host: Host, paper: Paper) -> Iterator[str]:
    kernel = f", Linux {safe(host.kernel)}" if host.kernel else ""
    kind = "" if host.live else " as the run recorded it (another machine, or another kernel, than this one)"
    yield from _wrapped(f"{safe(host.name)}{kernel}{kind}; nothing was changed", paper, "")
    windows = [words for window in host.windows if (words := _window(window))]
    if windows:
        yield from _wrapped("counted: " + "; ".join(windows), paper, "")
    if not any(window.span is not Span.BOOT for window in host.windows):
        yield from _wrapped("note: nothing was watched (--over 0), so what happens now could not be judged", paper, "")
    if host.run:
        yield from _wrapped(f"run: {safe(host.run)}", paper, "")
    for text in host.changed:
        yield from _wrapped(f"note: {safe(text)}; the run's measurements are of that value", paper, "")
    if host.container:
        yield from _wrapped(
            "note: this is a container. What is shown are the parameters of the machine around it, and only there "
            "they can be changed; "
            "its counters are of everything that runs on that machine.", paper, "",
        )  # fmt: skip
    for what, why in host.unread:
        yield from _wrapped(f"not read: {safe(what)}: {safe(why)}", paper, "")


def _window(window: Window) -> str:
    """``in the 3 s looked at: 0 direct reclaims, 0 pages from swap, tasks waited 0 %``."""
    parts = []
    for name, what in (("allocstall*", "direct reclaims"), ("pswpin", "pages from swap"), ("oom_kill", "OOM kills")):
        count = window.count(name)
        if count is not None:
            parts.append(f"{count} {what}")
    waiting = window.waiting
    if waiting is not None:
        parts.append(f"tasks waited for memory {100 * waiting:.2g} % of the time")
    when = "since boot" if window.span is Span.BOOT else window.words
    return f"{when} {', '.join(parts)}" if parts else ""


def _brief(entry: Entry, paper: Paper) -> list[str]:
    judgement = entry.judgement
    change = f"  ->  {judgement.value}" if judgement.verdict is Verdict.CHANGE else ""
    title = f"  {_title(entry)}{change}"
    colour = _COLOURS.get(judgement.verdict)
    return [
        title if colour is None else _styled(title, colour, paper),
        *_wrapped(first_sentence(entry.meaning), paper, _INDENT),
        *_body(entry, paper, evidence=judgement.verdict in (Verdict.CHANGE, Verdict.WATCH)),
    ]


def first_sentence(text: str) -> str:
    """Up to the first full stop that ends a sentence."""
    return text.partition(". ")[0].removesuffix(".") + "."


def _title(entry: Entry) -> str:
    parameter = entry.parameter
    if entry.current is None:
        return f"{parameter.name}" if not parameter.facts else f"{parameter.name} = ?"
    unit = f" ({parameter.unit})" if parameter.unit and " " not in entry.current else ""
    return f"{parameter.name} = {safe(entry.current)}{unit}"


def _body(entry: Entry, paper: Paper, *, evidence: bool = True) -> list[str]:
    judgement = entry.judgement
    lines = list(_wrapped(f"=> {judgement.text}", paper, _INDENT + "   ", _INDENT))
    for row in judgement.evidence if evidence else ():
        lines += _wrapped(f"- {row.text}", paper, _INDENT + "     ", _INDENT + "   ")
    for name, text in (("expected", judgement.expected), ("risk", judgement.risk), ("verify", judgement.verify)):
        if text:
            lines += _wrapped(f"{name}: {text}", paper, _INDENT + "     ", _INDENT + "   ")
    if judgement.verdict is Verdict.CHANGE and entry.commands is not None:
        lines += _commands(entry.commands)
    if entry.origin:
        lines += _wrapped(f"set by {entry.origin}", paper, _INDENT + "   ")
    return lines


def _commands(commands: Commands) -> list[str]:
    rows = (
        ("until reboot", commands.temporary),
        ("for good", commands.persistent),
        ("undo", commands.undo_temporary),
        ("undo for good", commands.undo_persistent),
    )
    return [
        f"      {name if number == 0 else '':<14} {safe(line)}"
        for name, text in rows
        for number, line in enumerate(text.splitlines())
    ]


def _closing(entries: Sequence[Entry], paper: Paper) -> str:
    count = sum(entry.judgement.verdict is Verdict.CHANGE for entry in entries)
    changes = (
        "No change is supported by what was measured"
        if count == 0
        else f"{count} change{'s' if count > 1 else ''} supported by what was measured"
    )
    more = "" if paper.every else " What each of them means, and why to leave it: --all."
    return (
        f"{changes}.{more} More about one of them, also about common advice: harness tune --explain NAME. While it is slow, "
        "look longer: --over 60s."
    )


def _wrapped(text: str, paper: Paper, indent: str, first: str | None = None) -> Iterator[str]:
    yield from textwrap.wrap(
        safe(text), max(_NARROWEST, paper.columns), initial_indent=indent if first is None else first, subsequent_indent=indent,
        break_long_words=False, break_on_hyphens=False,
    ) or [""]  # fmt: skip


def safe(text: str | None) -> str:
    """Foreign text on one line without control characters."""
    return printable(text or "", _MOST_LETTERS)


def _styled(text: str, code: str, paper: Paper) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if paper.colour else text
