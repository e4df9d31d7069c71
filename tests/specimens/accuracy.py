"""Writes docs/accuracy.md from judged specimens."""

from __future__ import annotations

import math
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from .judge import ENDPOINT_BYTES, LEAKS, Judgement
from .model import Group

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "accuracy.md"
MISSES = HERE / "misses.toml"
GROWTH_SHARE = 0.15
_Z = 1.959964  # 95 %

_HEAD = """# How often the verdict is right

This page is written by `make specimens`, which takes about {minutes} minutes with two processors.

A **specimen** is an application with one known defect, or with none, under realistic traffic: real servers (gunicorn,
uvicorn, php-fpm, workers of queues), ten endpoints, work that allocates and frees, bounded caches. `harness run` records it,
`harness report` judges the recording, and the verdict is compared with what is known. All of it is in `tests/specimens/`:

```
python tests/specimens list                                  # each specimen, its truth and how it was made
python tests/specimens run --keep DIR                        # record what is not there yet; --only, --group, --jobs
python tests/specimens judge --keep DIR                      # judge again, after a rule has changed
python tests/specimens report --keep DIR                     # write this page
```

There are two groups. Rules were written while looking at the **development** group. The **held-out** group is made by the
same families from other seeds, sizes, speeds, servers and orders of endpoints, and no rule was tuned with single ones of it.
Two exceptions: php-worker-cycles-gc-off-waits was looked at while a rule was written, and has since been one of the development
group; the least part of a round that a job must keep to be the place was chosen with py-queue-native-x in view. As a group they
have been judged again after every change, so they are no longer quite fresh.
Both groups come from the same authors and the same machine, so what is below is an upper bound of what other applications
will see.

A verdict counts as right if it is the true cause, or one of those that the specimen accepts as right as well (a cache that
still fills may be called warm-up or inconclusive, for example). A specimen counts as right if also the endpoint that is named
is the guilty one (it has to be named where a request keeps {endpoint} B or more), the line is the one that keeps the memory,
and every further cause that has to be found is found.
"""


def write(judged: Sequence[Judgement], absent: Sequence[str], page: Path) -> list[str]:
    """Write the page; the return value lists what is wrong with the explanations of misses, and is empty when nothing is."""
    explained = explanations()
    unexplained = _unexplained(judged, explained)
    parts = [_HEAD.format(minutes=_minutes(judged), endpoint=ENDPOINT_BYTES)]
    if absent:
        parts.append(f"Not recorded, and left out below: {', '.join(absent)}.\n")
    for group in Group:
        parts += _group(group, [j for j in judged if j.specimen.group is group])
    parts += _misses(judged, explained)
    parts += _table(judged)
    page.write_text("\n".join(parts).rstrip() + "\n", encoding="utf-8")
    return unexplained


def explanations() -> dict[str, str]:
    """Name of a specimen -> why it is not judged right."""
    return {name: str(why) for name, why in tomllib.loads(MISSES.read_text(encoding="utf-8")).items()}


def _unexplained(judged: Sequence[Judgement], explained: dict[str, str]) -> list[str]:
    missed = {j.specimen.name for j in judged if not j.ok}
    right = {j.specimen.name for j in judged if j.ok}
    lines = [f"{name}: is missed, and {MISSES.name} does not say why" for name in sorted(missed - explained.keys())]
    return lines + [f"{name}: is right, but {MISSES.name} explains a miss" for name in sorted(right & explained.keys())]


def _minutes(judged: Iterable[Judgement]) -> int:
    return math.ceil(sum(j.seconds or 0 for j in judged) / 60)


def _group(group: Group, judged: Sequence[Judgement]) -> list[str]:
    if not judged:
        return [f"## The {group} group\n", "Nothing of it is recorded.\n"]
    return [f"## The {group} group\n", *_numbers(judged), "### Confusion\n", *_confusion(judged)]


def _numbers(judged: Sequence[Judgement]) -> list[str]:
    fine = [j for j in judged if j.specimen.truth.healthy]
    leaks = [j for j in judged if j.specimen.truth.cause in LEAKS]
    errors = [abs(j.growth_error) for j in judged if j.growth_error is not None]
    guilty = [j for j in judged if j.endpoint_ok is not None and j.specimen.truth.cause in LEAKS and _large(j)]
    objects = [j for j in judged if j.line_ok is not None and j.verdict == "leak.objects" and _python(j)]
    rows = [
        ("specimens", str(len(judged))),
        ("verdict right", _share(j.cause_ok for j in judged)),
        ("everything right (verdict, endpoint, line, further causes)", _share(j.ok for j in judged)),
        ("healthy applications in which a leak was called", _of(sum(j.false_alarm for j in fine), len(fine))),
        ("leaks above the printed MDL that were called healthy", _of(sum(j.missed for j in leaks), len(leaks))),
        (f"endpoint, in leaks of {ENDPOINT_BYTES} B per request and more", _share(j.endpoint_ok for j in guilty)),
        ("endpoint, wherever one was named or had to be", _share(_known(judged, lambda j: j.endpoint_ok))),
        ("file and line, in leaks of Python objects", _share(j.line_ok for j in objects)),
        ("file and line, wherever one was expected", _share(_known(judged, lambda j: j.line_ok))),
        (f"bytes per request within {100 * GROWTH_SHARE:.0f} %", _share(e <= GROWTH_SHARE for e in errors)),
    ]
    for level in ("high", "medium", "low"):
        sure = [j for j in judged if j.confidence == level]
        rows.append((f"verdict right where confidence is {level}", _share(j.cause_ok for j in sure)))
    return ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows), ""]


def _large(j: Judgement) -> bool:
    kept = j.specimen.truth.bytes_per_request
    return kept is not None and kept >= ENDPOINT_BYTES


def _python(j: Judgement) -> bool:
    return j.specimen.runtime == "python"


def _known(judged: Iterable[Judgement], check: Callable[[Judgement], bool | None]) -> list[bool]:
    return [value for value in map(check, judged) if value is not None]


def _of(count: int, total: int) -> str:
    return f"{count} of {total}"


def _share(checks: Iterable[bool | None]) -> str:
    """``19 of 20 (95 %; 76-99 %)``: with a 95 % interval."""
    values = [bool(check) for check in checks]
    right, total = sum(values), len(values)
    if total == 0:
        return "none"
    low, high = wilson(right, total)
    return f"{right} of {total} ({100 * right / total:.0f} %; 95 % interval {100 * low:.0f} to {100 * high:.0f} %)"


def wilson(right: int, total: int) -> tuple[float, float]:
    """95 % interval of a share. Wilson, Journal of the American Statistical Association 22 (1927) 209."""
    share, z2 = right / total, _Z * _Z
    middle = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = _Z / (1 + z2 / total) * math.sqrt(share * (1 - share) / total + z2 / (4 * total * total))
    return max(0.0, middle - half), min(1.0, middle + half)


def _confusion(judged: Sequence[Judgement]) -> list[str]:
    """Rows: the truth. Columns: the verdicts that were given. A verdict that is accepted, but not the true cause, is marked."""
    count = Counter((j.specimen.truth.cause, j.verdict) for j in judged)
    wrong = Counter((j.specimen.truth.cause, j.verdict) for j in judged if not j.cause_ok)
    verdicts = sorted({verdict for _, verdict in count})
    lines = [
        "Rows are the truth, columns the verdict; what is wrong is in bold, what is accepted beside the true cause in brackets.",
        "",
    ]
    lines += [f"| | {' | '.join(verdicts)} |", "|---|" + "---|" * len(verdicts)]
    for truth in sorted({truth for truth, _ in count}):
        cells = [_cell(count[truth, verdict], wrong[truth, verdict], truth == verdict) for verdict in verdicts]
        lines.append(f"| {truth} | {' | '.join(cells)} |")
    return [*lines, ""]


def _cell(count: int, wrong: int, exact: bool) -> str:
    accepted = count - wrong
    parts = []
    if accepted:
        parts.append(str(accepted) if exact else f"({accepted})")
    if wrong:
        parts.append(f"**{wrong}**")
    return " ".join(parts)


def _misses(judged: Sequence[Judgement], explained: dict[str, str]) -> list[str]:
    lines = ["## What was not right, and why\n"]
    missed = [j for j in judged if not j.ok]
    if not missed:
        return [*lines, "Nothing.\n"]
    lines += ["| specimen | what is wrong | why |", "|---|---|---|"]
    for j in missed:
        lines.append(
            f"| {j.specimen.name} | {'; '.join(j.reasons)} | {explained.get(j.specimen.name, '**not explained**')} |"
        )
    return [*lines, ""]


def _table(judged: Sequence[Judgement]) -> list[str]:
    lines = [
        "## All specimens\n",
        "Growth error: of the bytes that a request to the guilty endpoint keeps. Line: the one that the finding names.\n",
        "| specimen | group | truth | verdict | confidence | growth error | endpoint | line | s | |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [f"| {' | '.join(_row(j))} |" for j in judged]
    return [*lines, "", "How each was made:\n", *(f"- `{j.specimen.name}`: {j.specimen.truth.why}" for j in judged)]


def _row(j: Judgement) -> list[str]:
    return [
        j.specimen.name,
        j.specimen.group,
        j.specimen.truth.cause,
        j.verdict + (f" (+ {', '.join(j.also)})" if j.also else ""),
        j.confidence,
        "" if j.growth_error is None else f"{100 * j.growth_error:+.0f} %",
        _checked(j.endpoint, j.endpoint_ok),
        _checked(j.line, j.line_ok),
        "" if j.seconds is None else f"{j.seconds:.0f}",
        "ok" if j.ok else "**miss**",
    ]


def _checked(text: str | None, ok: bool | None) -> str:
    if text is None:
        return "**none**" if ok is False else ""
    return f"**{text}**" if ok is False else text
