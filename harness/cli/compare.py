"""``harness compare``: two runs, two sets of runs, or many runs in order."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.gating import is_json, read_json
from harness.cli.reporting import load_report, save, wants_colour
from harness.errors import EXIT_EXPECTATION, EXIT_OK, UsageError

if TYPE_CHECKING:
    from harness.compare.facts import RunFacts
    from harness.compare.model import Comparison, Drift
    from harness.compare.thresholds import Threshold

_SECOND_NS = 1_000_000_000
_FORMATS = ("text", "md", "json", "html")


@click.command(name="compare", short_help="Compare two runs or sets of runs: pass, fail or cannot tell.")
@click.argument("runs", metavar="BASE HEAD", nargs=-1, type=click.Path(path_type=Path), required=True)
@click.option("--base-also", metavar="RUN", type=click.Path(path_type=Path), multiple=True,
              help="A further run like BASE; may be given several times.")  # fmt: skip
@click.option("--head-also", metavar="RUN", type=click.Path(path_type=Path), multiple=True,
              help="A further run like HEAD; may be given several times.")  # fmt: skip
@click.option(
    "--drift", "in_order", is_flag=True, help="Take five runs or more in order and look for slow drift and steps."
)
@click.option("--threshold", "thresholds", metavar="METRIC=AMOUNT", multiple=True,
              help="What matters, such as peak_pss=5% or p99=10ms; may be given several times.")  # fmt: skip
@click.option(
    "--anyway", is_flag=True, help="Compare what is not comparable: other traffic, another host, other phases."
)
@click.option("--allow-unknown", is_flag=True, help='Exit with 0 where the answer is "cannot tell".')
@click.option("--format", "format_name", type=click.Choice(_FORMATS), default="text", show_default=True,
              help="What to make.")  # fmt: skip
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="File to write; stdout when left out."
)
def command(
    runs: tuple[Path, ...],
    base_also: tuple[Path, ...],
    head_also: tuple[Path, ...],
    in_order: bool,
    thresholds: tuple[str, ...],
    anyway: bool,
    allow_unknown: bool,
    format_name: str,
    output: Path | None,
) -> int:
    """Hold HEAD against BASE: growth, memory, what each endpoint keeps, latency, errors, profiles, findings; with 95 % intervals.

    BASE and HEAD are recorded runs, bundles or report.json files, or directories that hold several runs of the same: three a
    side show how much repeats differ, and latency can hardly be judged without that. With --drift: five runs or more, oldest
    first, and no sides.

    Runs that are not comparable are refused (exit 2). Exit 0: nothing got worse by what matters; 1: something did, or that
    cannot be told.

    \b
    Examples:
      harness compare runs/20261123-101500-shop runs/20261124-093000-shop
      harness compare baseline/ runs/ --threshold peak_pss=3% --format md
      harness compare runs/monday runs/tuesday --head-also runs/tuesday-2 --format html -o shop.html
      harness compare --drift runs/
    """
    chosen = _thresholds(thresholds)
    if in_order:
        if base_also or head_also:
            raise UsageError("--drift has no sides", hint="name all runs in order, without --base-also and --head-also")
        found: Comparison | Drift = _drift(_expanded(runs), chosen, anyway=anyway)
    else:
        if len(runs) != 2:
            raise UsageError(
                f"a comparison has two sides, got {len(runs)}",
                hint="write BASE HEAD; more runs of a side with --base-also and --head-also; many runs in order with --drift",
            )
        base, head = _expanded((runs[0], *base_also)), _expanded((runs[1], *head_also))
        found = _compare(base, head, chosen, anyway=anyway)
    _show(found, format_name, output)
    return _exit_code(found, allow_unknown=allow_unknown)


def _expanded(named: Sequence[Path]) -> list[Path]:
    """Run directories; a directory of runs stands for all in it, oldest first (their names begin with the time)."""
    from harness.store.layout import DATABASE

    found: list[Path] = []
    for path in named:
        inside = [] if (path / DATABASE).exists() or not path.is_dir() else sorted(path.glob(f"*/{DATABASE}"))
        found += [file.parent for file in inside] or [path]
    resolved = [path.resolve() for path in found]
    twice = next((path for path, real in zip(found, resolved, strict=True) if resolved.count(real) > 1), None)
    if twice is not None:
        raise UsageError(f"{twice}: is named twice on one side", hint="a run that counts twice is no repeat")
    return found


def _facts(run: Path) -> RunFacts:
    """Only what a comparison needs stays in memory."""
    from harness.compare.facts import facts_of

    if is_json(run):
        from harness.analysis.baseline import facts_in

        return facts_in(read_json(run), str(run))
    return facts_of(load_report(run))


def _compare(
    base: Sequence[Path], head: Sequence[Path], thresholds: dict[str, Threshold], *, anyway: bool
) -> Comparison:
    from harness.compare.engine import compare

    both = {path.resolve() for path in base} & {path.resolve() for path in head}
    if both:
        raise UsageError(f"{min(both)}: is on both sides", hint="compare different runs")
    return compare(
        *_different(([_facts(run) for run in base], [_facts(run) for run in head]), (base, head)),
        thresholds=thresholds,
        anyway=anyway,
    )


def _drift(runs: Sequence[Path], thresholds: dict[str, Threshold], *, anyway: bool) -> Drift:
    from harness.compare.drift import drift, enough_runs

    enough_runs(len(runs))  # before hours of analysis
    (facts,) = _different([[_facts(run) for run in runs]], [runs])
    return drift(facts, thresholds=thresholds, anyway=anyway)


def _different(sides: Sequence[list[RunFacts]], paths: Sequence[Sequence[Path]]) -> Sequence[list[RunFacts]]:
    """The same, when no run is there twice, be it as a copy or as a bundle: it never differs from itself."""
    seen: dict[tuple[str, int], Path] = {}
    for run, path in zip(chain(*sides), chain(*paths), strict=True):
        first = seen.setdefault(
            (run.name.id, run.name.started_wall_ns // _SECOND_NS), path
        )  # reports tell microseconds
        if first is not path:
            raise UsageError(
                f"{path}: is the same run as {first}",
                hint="compare different runs: a copy of a run never differs from it",
            )
    return sides


def _thresholds(texts: Sequence[str]) -> dict[str, Threshold]:
    from harness.compare.thresholds import parse_threshold

    try:
        return dict(parse_threshold(text) for text in texts)
    except ValueError as error:
        raise UsageError(f"--threshold: {error}") from None


def _show(found: Comparison | Drift, format_name: str, output: Path | None) -> None:
    data = _rendered(found, format_name, colour=output is None and wants_colour())
    if output is None:
        click.echo(data, nl=False)
        return
    save(output, data)
    click.echo(f"wrote {output}: {found.outcome.value}", err=True)


def _rendered(found: Comparison | Drift, format_name: str, *, colour: bool) -> bytes:
    if format_name == "json":
        from harness.compare.json_ import export

        return export(found)
    if format_name == "md":
        from harness.compare.markdown import export as markdown

        return markdown(found)
    if format_name == "html":
        from harness.compare.page import export as page

        return page(found)
    from harness.compare.text import render

    return render(found, colour=colour).encode("utf-8", "replace")


def _exit_code(found: Comparison | Drift, *, allow_unknown: bool) -> int:
    """Fails closed: what cannot be told has not been shown to be no worse."""
    from harness.compare.model import Outcome

    if found.outcome is Outcome.PASS or (found.outcome is Outcome.UNKNOWN and allow_unknown):
        return EXIT_OK
    return EXIT_EXPECTATION
