"""What recording and profiling add to requests: everybody serves the same pages, in turns within one run."""

from __future__ import annotations

import contextlib
import statistics
import tempfile
from pathlib import Path
from typing import NamedTuple

from contestants import ALONE, EVERYBODY, Contestant
from serving import Server, can_load, serving
from site_pages import Page, write_pages
from tables import spread, table

_WARM_UP = 3
_BLOCK = 4  # requests in a row to one server: whatever else the machine does meets everybody alike
_SLOWEST_S = 1.0  # of one contestant's turn: who takes long for a page is asked less often


class Plan(NamedTuple):
    """How much of it."""

    requests: int  # of a contestant's turn, at most
    turns: int


def report(plan: Plan) -> str:
    """A table of latencies, as Markdown; ratios are taken within a turn."""
    present = [c for c in EVERYBODY if can_load(c.extension)]
    with tempfile.TemporaryDirectory(prefix="bench-php-") as name, contextlib.ExitStack() as running:
        directory = Path(name)
        directory.chmod(0o755)
        (directory / "pages").mkdir()
        pages = write_pages(directory / "pages")
        servers = {
            c.name: running.enter_context(serving(c, directory)) for c in present
        }  # ended before the directory is
        for server in servers.values():
            for page in pages:
                for _ in range(_WARM_UP):
                    server.get(page)
        found = {page.name: _turns(plan, page, list(servers.values())) for page in pages}
    head = [""]
    for page in pages:
        head += [f"{page.name}, ms", "x alone"]
    rows = [_row(contestant, found, known=contestant in present) for contestant in EVERYBODY]
    return f"Medians of up to {plan.requests} requests, {plan.turns} turns each:\n\n{table([*head, 'files, MB'], rows)}"


def _turns(plan: Plan, page: Page, servers: list[Server]) -> dict[str, list[tuple[float, float]]]:
    """By contestant: (median ms, bytes written for one request) of each turn."""
    found: dict[str, list[tuple[float, float]]] = {server.contestant.name: [] for server in servers}
    for number in range(plan.turns):
        times: dict[str, list[float]] = {name: [] for name in found}
        for server in servers:
            server.clean()
        for _ in range(0, plan.requests, _BLOCK):
            for server in servers if number % 2 == 0 else reversed(servers):
                own = times[server.contestant.name]
                if sum(own) < _SLOWEST_S * 1000:
                    own += [server.ms(page) for _ in range(min(_BLOCK, plan.requests))]
        for server in servers:
            own = times[server.contestant.name]
            found[server.contestant.name].append((statistics.median(own), server.clean() / len(own)))
    return found


def _row(contestant: Contestant, found: dict[str, dict[str, list[tuple[float, float]]]], *, known: bool) -> list[str]:
    if not known:
        return [contestant.name, f"not installed: {contestant.needs}", *[""] * (2 * len(found))]
    cells = [contestant.name]
    written = 0.0
    for by_name in found.values():
        own, alone = by_name[contestant.name], by_name[ALONE]
        cells.append(f"{statistics.median(ms for ms, _ in own):.2f}")
        cells.append(spread([ms / bare for (ms, _), (bare, _) in zip(own, alone, strict=True)]))
        written = statistics.median(size for _, size in own)
    return [*cells, f"{written / 1e6:.2f}" if written else ""]
