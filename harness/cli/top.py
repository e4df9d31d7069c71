"""``harness top``: who uses the memory."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from harness.errors import UsageError
from harness.units import format_duration, parse_duration_ns, parse_share

if TYPE_CHECKING:
    from harness.top.live import View
    from harness.top.model import Look, Snapshot

    Write = Callable[[Snapshot], None]

_OVER_NS = _INTERVAL_NS = 2_000_000_000
_LIVE_OVER_NS = 60_000_000_000
_HOUR_NS = 3_600_000_000_000
_BUDGET = 0.05
_BY = ("process", "pool", "cgroup", "user")
_SORT = ("pss", "uss", "rss", "swap", "growth", "pid", "name")


def _over(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    return 0 if value == "0" else _duration(value, 100_000_000)


def _interval(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    return _duration(value, 200_000_000)


def _duration(value: str | None, least_ns: int) -> int | None:
    if value is None:
        return None
    try:
        ns = parse_duration_ns(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    if not least_ns <= ns <= _HOUR_NS:
        raise click.BadParameter(f"{value!r} is not between {least_ns // 1_000_000} ms and 1 h")
    return ns


def _share(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    try:
        share = parse_share(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    if share == 0:
        raise click.BadParameter("a look without processor time is none; 1% is little, 5% the default")
    return share


@click.command(name="top", short_help="Who uses the memory: PSS, USS, RSS, swap, growth.")
@click.option("--by", type=click.Choice(_BY), default="process", show_default=True, help="What a row stands for.")
@click.option("--sort", type=click.Choice(_SORT), default="pss", show_default=True, help="Order of the rows.")
@click.option("-n", "--limit", type=click.IntRange(min=1), help="Rows at most; as many as fit when left out.")
@click.option("--match", metavar="TEXT", help="Only processes whose command line or name contains this, in any case.")
@click.option("--user", "owner", metavar="NAME", help="Only processes of this user: a name or a number.")
@click.option(
    "--over", metavar="TIME", callback=_over,
    help="Growth is measured over this long; 0 looks once and shows none.  [default: 2s, with --live 60s]",
)  # fmt: skip
@click.option("--live", is_flag=True, help="Refresh until q is pressed.")
@click.option("--interval", metavar="TIME", callback=_interval, help="Refresh so often; needs --live.  [default: 2s]")
@click.option(
    "--budget", metavar="SHARE", callback=_share,
    help="Of one core, for --live: above it page tables are walked less often.  [default: 5%]",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object; with --live one a line and refresh.")
def command(
    by: str,
    sort: str,
    limit: int | None,
    match: str | None,
    owner: str | None,
    over: int | None,
    live: bool,
    interval: int | None,
    budget: float | None,
    as_json: bool,
) -> None:
    """Show who uses this machine's memory, and what the processes do not explain.

    PSS counts shared memory once, divided among those who share it, so it adds up; USS is what would be freed if the process
    ended; RSS counts shared memory in full in everybody. A pool is a master with the workers it forked (php-fpm, gunicorn,
    nginx, postgres, ...). Reads only. Without root, PSS of other users' processes is unknown and shown as ?.

    \b
    Examples:
      harness top                            one look, the largest first
      harness top --by pool                  php-fpm, gunicorn, nginx: each pool once
      sudo harness top --live --sort growth  who is growing right now
      harness top --match gunicorn --over 10s
      harness top --by user --over 0 --json | jq '.rows[] | [.name, .pss_bytes]'
    """
    from harness.top import selection
    from harness.top.grouping import snapshot
    from harness.top.live import View, Window, as_text, on_screen
    from harness.top.look import Looker
    from harness.top.model import By, Sort

    if not live and (interval is not None or budget is not None):
        raise UsageError("--interval and --budget are for the live view", hint="add --live")
    if sort == "growth" and over == 0:
        raise UsageError("--sort growth needs growth, which --over 0 leaves out", hint="use --over 2s")
    wanted = selection.wanted(match, None if owner is None else selection.uid_of(owner))
    words, user_name = selection.in_words(match, owner), selection.user_names()
    hint = selection.permission_hint(os.geteuid())
    interval_ns = interval or _INTERVAL_NS
    looker = Looker(share=(budget or _BUDGET) if live else None, interval_ns=interval_ns)

    def look() -> Look:
        return looker.look(wanted)

    def shown(now: Look, then: Look | None, view: View) -> Snapshot:
        return snapshot(now, then, view.by, view.sort, user_name, words)

    view = View(By(by), Sort(sort))
    write = _json_writer(limit) if as_json else _text_writer(limit, hint, prompt=not live)
    if not live:
        then = _first(look, _OVER_NS if over is None else over)
        write(shown(look(), then, view))
        return
    window = Window(_LIVE_OVER_NS if over is None else over)
    if as_json or not _is_terminal():
        as_text(look, lambda now, then: write(shown(now, then, view)), window, interval_ns)
    else:
        on_screen(look, shown, view, window, interval_ns, limit, _colour(), hint)


def _first(look: Callable[[], Look], over_ns: int) -> Look | None:
    """An earlier look, at least so long before now; people at a terminal are told what they wait for."""
    if over_ns == 0:
        return None
    waiting = sys.stderr.isatty()
    if waiting:
        click.echo(f"watching growth for {format_duration(over_ns)} (--over 0 skips it)", err=True, nl=False)
    first = look()
    time.sleep(max(0.0, (first.taken_ns + over_ns - time.monotonic_ns()) / 1e9))
    if waiting:
        click.echo("\r\x1b[K", err=True, nl=False)
    return first


def _text_writer(limit: int | None, hint: str, *, prompt: bool) -> Write:
    from harness.top.table import Paper, render

    def write(snapshot: Snapshot) -> None:
        paper = Paper(None, None, colour=False)
        if sys.stdout.isatty():
            columns, lines = shutil.get_terminal_size()
            paper = Paper(columns, lines - prompt if limit is None else None, _colour())
        click.echo(render(snapshot, paper, limit=limit, hint=hint) + ("" if prompt else "\n"), nl=False, color=True)
        sys.stdout.flush()

    return write


def _json_writer(limit: int | None) -> Write:
    from harness.top.json_ import line

    def write(snapshot: Snapshot) -> None:
        click.echo(line(snapshot, limit))
        sys.stdout.flush()

    return write


def _is_terminal() -> bool:
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def _colour() -> bool:
    return _is_terminal() and not os.environ.get("NO_COLOR")
