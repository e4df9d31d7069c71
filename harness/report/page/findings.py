"""The verdict and the findings: in the band what, where, held by, do; below the sentence with its evidence and advice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import starmap

from harness.model.finding import Advice, Cause, Evidence, Finding, Location, Prescription, Side
from harness.model.report import Report
from harness.report import words
from harness.report.highlights import Highlight, highlights
from harness.report.page.glossary import Glossary
from harness.report.page.sources import CALLS, HELD, LINES, Source, sources
from harness.report.page.tables import esc
from harness.report.places import beside

_SEVERITY_SIGNS = {"critical": "✗", "warning": "!", "info": "i"}
_COMMAND_LINES = 50
_OPEN = 4  # pieces of evidence that are not folded away
# What says most comes first: the trend at floors, who is guilty of it, the line, what holds it.
_STRONGEST = (
    ("pool.shmem", "pool.floor", "heap.floor", "blocks.floor", "cgroup.shmem", "meminfo.shmem", "smaps.size"),
    ("blocks.regression", "segment.free", "smaps.shared"),
    ("profile.line",),
    ("profile.holder", "profile.cycle"),
)


def band(report: Report) -> str:
    """The verdict; of the finding that it comes from one line each: what, where, held by, do."""
    tone, verdict = words.tone(report.verdict.cause), report.verdict
    finding = next((f for f in report.findings if f.cause is verdict.cause), None)
    said = "".join(
        f"<div><dt>{name}</dt><dd>{esc(text, 600)}</dd></div>" for name, text in _in_short(report, finding) if text
    )
    sign = f'<span aria-hidden="true">{tone.sign}</span>'
    return f"""<div class="verdict {_level(report)}"><span class="chip">{sign} {esc(tone.word)}</span>
<dl class="short">{said}</dl><span class="sure">{esc(words.confidence(verdict.confidence))}</span></div>"""


def _in_short(report: Report, finding: Finding | None) -> Iterator[tuple[str, str]]:
    """What is said in the band; the sentence as it is where no finding says it again below."""
    summary = report.verdict.summary
    calm = report.verdict.cause in (Cause.HEALTHY, Cause.WARMUP)
    if finding is None or finding.summary != summary:
        yield "What", summary
    else:
        yield "What", summary.partition("; ")[0].rstrip(".") + "."
    if finding is None or (calm and finding.summary != summary):  # of several pools, which the sentence names
        return
    subject = finding.subject
    place = None if subject.location is None else _place(subject.location)
    yield "Where", ", ".join(text for text in (subject.endpoint, place or subject.pool) if text)
    holder = next((e.text.partition(" held by ")[2] for e in finding.evidence if e.signal == "profile.holder"), "")
    yield "Held by", words.clean(holder, 200)
    action = next((p.action for p in finding.prescriptions if p.kind is Advice.DO), "")
    yield "Do", _shortened(action, subject.location, holder)


def _shortened(action: str, where: Location | None, holder: str) -> str:
    """The advice without what the lines above it say: the whole path of the file, and the holder at its end."""
    if where is not None and where.file:
        action = action.replace(where.file, _file(where))
    body = action.removesuffix(".")
    return body.removesuffix(holder).rstrip(": ") + "." if holder and body.endswith(f": {holder}") else action


def _place(where: Location) -> str:
    """``shop/cart.py:42 (add)``: the end of the path is what people know it by."""
    file = _file(where)
    line = file if where.line is None else f"{file}:{where.line}"
    return f"{line} ({where.function})" if where.function else line


def _file(where: Location) -> str:
    return "/".join(where.file.rsplit("/", 2)[-2:])


def _level(report: Report) -> str:
    """Class of the verdict: as severe as the finding it comes from, so that the two never have different colours."""
    severities = {f.severity.value for f in report.findings if f.cause is report.verdict.cause}
    for severity, level in (("critical", "bad"), ("warning", "warn")):
        if severity in severities:
            return level
    return words.tone(report.verdict.cause).level


def findings(report: Report) -> str:
    """The section of all findings, complete without a script."""
    said = {each.endpoint: each for each in highlights(report)}
    marked = Glossary()
    items = "\n".join(
        _finding(i, f, said.get(words.clean(f.subject.endpoint or "")), sources(report, f), marked, beside(report, f))
        for i, f in enumerate(report.findings)
    )
    empty = (
        '<p class="empty">No finding. See below how small a growth this run could have seen and what was missing.</p>'
    )
    listed = f'<ol class="findings">{items}</ol>' if items else empty
    return f'<section id="findings" aria-labelledby="h-findings"><h2 id="h-findings">Findings</h2>{listed}</section>'


def _finding(
    index: int, finding: Finding, profiled: Highlight | None, where: Sequence[Source], marked: Glossary, siblings: str
) -> str:
    severity = finding.severity.value
    subject = "".join(
        f'<span class="tag"><span class="k">{esc(k)}</span> {esc(v)}</span>'
        for k, v in words.subject_parts(finding.subject)
    )
    if siblings:
        subject += f'<span class="tag"><span class="k">siblings</span> {esc(siblings, 600)}</span>'
    numbers = "".join(f"<li>{marked.mark(esc(p))}</li>" for p in words.growth_parts(finding.growth))
    evidence = _all_evidence(finding.evidence, marked)
    todo = "".join(starmap(_prescription, enumerate(finding.prescriptions)))
    show = (
        f'<button type="button" class="show" data-finding="{index}" hidden>Show on timeline</button>'
        if finding.range_ns is not None
        else ""
    )
    return f"""<li class="finding {severity}" id="finding-{index}">
<div class="headline"><span class="sev"><span aria-hidden="true">{_SEVERITY_SIGNS[severity]}</span> {severity}</span>
<code class="cause">{esc(finding.cause.value)}</code>
<span class="sure">{esc(words.confidence(finding.confidence))}</span>{show}</div>
<h3>{esc(finding.summary, 1000)}</h3>
<p class="subject">{subject}</p>
{f'<ul class="numbers">{numbers}</ul>' if numbers else ""}
{_opens(finding, where)}
{f"<h4>Evidence</h4>{evidence}" if evidence else ""}
{"" if profiled is None else _highlight(profiled)}
{f'<h4>What to do</h4><ol class="todo">{todo}</ol>' if todo else ""}
</li>"""


def _opens(finding: Finding, where: Sequence[Source]) -> str:
    if not where:
        return ""
    blind = finding.cause is Cause.SHARED_MEMORY and any(s.tab != HELD for s in where)
    called = "" if finding.subject.location is None else f" at {_place(finding.subject.location)}"
    said = f"Profilers do not see shared memory: the row shows the call that fills it{called}, not how much it takes."
    note = f'<span class="costs">{esc(said, 400)}</span>'
    return f'<p class="opens">{"".join(starmap(_source, enumerate(where)))}{note if blind else ""}</p>'


def _source(index: int, source: Source) -> str:
    what = {LINES: "Open the line in its profile", CALLS: "Open the function in its profile", HELD: HELD}[source.tab]
    return (
        f'<button type="button" class="open" data-profile="{source.profile}" data-tab="{source.tab}" '
        f'data-search="{esc(source.search, 400)}" hidden>{what}</button> '
    )


def _highlight(profiled: Highlight) -> str:
    said = "; ".join(f"<code>{esc(line, 400)}</code>" for line in profiled.lines)
    return f"<p>In a profiled request (below): {said}</p>"


def _all_evidence(evidence: Sequence[Evidence], marked: Glossary) -> str:
    """The strongest for it and all that speaks against it are open to the eye; the rest is in a box."""
    against = [e for e in evidence if e.side is Side.AGAINST]
    beside = [e for e in evidence if e.side is not Side.AGAINST]
    kinds = [min((e for e in beside if _rank(e)[0] == i), key=_rank, default=None) for i in range(len(_STRONGEST))]
    best = [e for e in kinds if e is not None]  # one of each kind, then the others by their rank
    ranked = [*best, *sorted((e for e in beside if not any(e is b for b in best)), key=_rank)][:_OPEN]
    first = [e for e in beside if any(e is r for r in ranked)]
    rest = [e for e in beside if not any(e is r for r in ranked)]
    if len(rest) == 1:
        first, rest = beside, []
    listed = "".join(_evidence(e, marked, folded=False) for e in first)
    opposed = "".join(_evidence(e, marked, folded=False) for e in against)
    shown = f'<ul class="evidence">{listed}{opposed}</ul>' if listed or opposed else ""
    more = f'<ul class="evidence">{"".join(_evidence(e, marked, folded=True) for e in rest)}</ul>'
    return shown + (f"<details><summary>{len(rest)} more pieces of evidence</summary>{more}</details>" if rest else "")


def _rank(evidence: Evidence) -> tuple[int, int]:
    """Kind and place in `_STRONGEST`; what only tells the case comes last."""
    if evidence.side is Side.CONTEXT:
        return len(_STRONGEST) + 1, 0
    places = ((i, names.index(evidence.signal)) for i, names in enumerate(_STRONGEST) if evidence.signal in names)
    return next(places, (len(_STRONGEST), 0))


def _evidence(evidence: Evidence, marked: Glossary, *, folded: bool) -> str:
    """The sentence; the signal it comes from beside it in the box, else where the pointer rests."""
    source = f"{evidence.signal} = {shown}" if (shown := _amount(evidence)) else evidence.signal
    against = '<b class="against">Against it:</b> ' if evidence.side is Side.AGAINST else ""
    text = against + marked.mark(esc(evidence.text, 600))
    if folded:
        return f'<li>{text} <span class="signal">{esc(source)}</span></li>'
    return f'<li title="{esc(source)}">{text}</li>'


def _amount(evidence: Evidence) -> str:
    """Empty where the sentence needs no number."""
    value = words.known(evidence.value)
    if value is None:
        return ""
    if evidence.unit.partition("/")[0] in ("bytes", "B"):
        return words.size(value) + "".join(evidence.unit.partition("/")[1:])
    return f"{words.plain(value)} {evidence.unit}".removesuffix(" count")


def _prescription(index: int, prescription: Prescription) -> str:
    lines = (prescription.command or "").splitlines()[:_COMMAND_LINES]
    command = "<pre><code>" + "\n".join(esc(line, 1000) for line in lines) + "</code></pre>" if lines else ""
    rows = (
        ("Expected", prescription.expected),
        ("Risk", prescription.risk),
        ("Undo", prescription.rollback),
        ("Verify", prescription.verify),
    )
    because = "".join(
        f"<span>{esc(line, 600)}</span><br>" for line in words.lines(prescription.because, _COMMAND_LINES)
    )
    because = f'<p class="because"><b>Because:</b> {because}</p>' if because else ""
    if prescription.kind is Advice.ANSWER:
        return f'<li class="answer"><p><b>Not:</b> {esc(prescription.action, 600)}</p>{because}</li>'
    changed = words.lines(prescription.change or "", _COMMAND_LINES)
    change = "\n".join(esc(line, 1000) for line in changed)
    change = f"<p>To verify, run it again with</p><pre><code>{change}</code></pre>" if changed else ""
    details = "".join(f"<div><dt>{k}</dt><dd>{esc(v, 600)}</dd></div>" for k, v in rows if v)
    opened = " open" if index == 0 else ""
    return (
        f"<li><p>{esc(prescription.action, 600)}</p>{command}{because}"
        f'<details{opened}><summary>Effect, risk, undo</summary><dl class="rx">{details}</dl>{change}</details></li>'
    )
