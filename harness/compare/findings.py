"""Which findings came, went, stayed or changed their cause. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from harness.compare.facts import RunFacts
from harness.compare.model import Change, FindingChange
from harness.model.finding import Finding

_ORDER = (Change.CAME, Change.CAUSE, Change.WENT, Change.STAYED)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A finding that most runs of a side have."""

    cause: str
    pool: str | None
    endpoint: str | None
    runs: int
    finding: Finding


def finding_changes(base: Sequence[RunFacts], head: Sequence[RunFacts]) -> tuple[FindingChange, ...]:
    """A finding counts as a side's when more than half of its runs have it. Those that came are first."""
    before, after = _seen(base), _seen(head)
    found: list[FindingChange] = []
    for same in (_identical, _same_cause, _same_subject):
        for new in list(after):
            old = next((each for each in before if same(each, new)), None)
            if old is not None:
                before.remove(old)
                after.remove(new)
                found.append(_change(Change.STAYED if old.cause == new.cause else Change.CAUSE, old, new))
    found += [_change(Change.CAME, None, new) for new in after]
    found += [_change(Change.WENT, old, None) for old in before]
    return tuple(sorted(found, key=lambda change: _ORDER.index(change.change)))


def _seen(runs: Sequence[RunFacts]) -> list[_Seen]:
    count: Counter[tuple[str, str | None, str | None]] = Counter()
    example: dict[tuple[str, str | None, str | None], Finding] = {}
    for run in runs:
        for key, finding in {(f.cause.value, f.subject.pool, f.subject.endpoint): f for f in run.findings}.items():
            count[key] += 1
            example.setdefault(key, finding)
    return [_Seen(*key, n, example[key]) for key, n in count.items() if 2 * n > len(runs)]


def _identical(old: _Seen, new: _Seen) -> bool:
    return (old.cause, old.pool, old.endpoint) == (new.cause, new.pool, new.endpoint)


def _same_cause(old: _Seen, new: _Seen) -> bool:
    """An endpoint is not always named: that one is named now is no other finding."""
    return (old.cause, old.pool) == (new.cause, new.pool) and None in (old.endpoint, new.endpoint)


def _same_subject(old: _Seen, new: _Seen) -> bool:
    return old.pool == new.pool and (old.endpoint == new.endpoint or None in (old.endpoint, new.endpoint))


def _change(change: Change, old: _Seen | None, new: _Seen | None) -> FindingChange:
    shown = new or old
    assert shown is not None
    return FindingChange(
        change=change,
        pool=shown.pool,
        endpoint=shown.endpoint or (old.endpoint if old is not None else None),
        base_cause=None if old is None else old.cause,
        head_cause=None if new is None else new.cause,
        severity=shown.finding.severity.value,
        summary=shown.finding.summary,
        base_runs=0 if old is None else old.runs,
        head_runs=0 if new is None else new.runs,
    )
