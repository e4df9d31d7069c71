"""What the agent takes within a request, as PHP's own clock has it, and what the parts of a record cost."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import NamedTuple

from contestants import Contestant
from said import median_said_us
from serving import serving
from site_pages import PAGES, Page, write_pages
from tables import table

from adapters.php.accounts import pool_account
from adapters.php.agent_files import install_agent
from adapters.php.state import RECORDS_PATTERN, Places


class Plan(NamedTuple):
    """How much of it."""

    requests: int
    turns: int


def report(plan: Plan) -> str:
    """Two tables, as Markdown."""
    with tempfile.TemporaryDirectory(prefix="bench-php-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        (directory / "pages").mkdir()
        pages = write_pages(directory / "pages")
        rows = []
        for page in pages:
            times, said = _of_page(directory, page, plan)
            begin, end = zip(*times, strict=True)
            parts = [_us(part) for part in (begin, end, [b + e for b, e in times])]
            rows.append([page.name, *parts, "-" if said is None else f"{said:.1f}"])
        pieces = _pieces(directory, plan)
    agent = table(["", "begin, us", "end, us", "both, us", "said by itself, us"], rows)
    parts = table(["in a loop", "median, us", "99 %, us"], pieces)
    return f"Median and 99th percentile of {plan.requests * plan.turns} requests:\n\n{agent}\n\n{parts}"


def _of_page(directory: Path, page: Page, plan: Plan) -> tuple[list[tuple[int, int]], float | None]:
    """(ns at the beginning, ns at the end) of each request, those that warm up left out; and what the agent says, us."""
    own = directory / f"record-{page.script.stem}"
    own.mkdir(mode=0o711)
    account = pool_account([directory])
    agent = install_agent(Places(own), None, owner=(account.uid, account.gid))
    times = _writable(own / "times")
    text = (PAGES / "timed.php").read_text()
    (own / "timed.php").write_text(
        text.replace("BENCH_AGENT", f"'{agent.prepend}'").replace("BENCH_TIMES", f"'{times}'")
    )
    with serving(Contestant("timed"), directory, auto_prepend_file=str(own / "timed.php")) as server:
        for _ in range(plan.requests * plan.turns + 20):
            server.get(page)
    pairs = [tuple(map(int, line.split())) for line in times.read_text().splitlines()[20:]]
    return [(begin, end) for begin, end in pairs], median_said_us(own.glob(RECORDS_PATTERN))


def _pieces(directory: Path, plan: Plan) -> list[list[str]]:
    records = _writable(directory / "records")
    script = directory / "pages" / "pieces.php"
    text = (PAGES / "pieces.php").read_text()
    script.write_text(text.replace("BENCH_CALLS", str(plan.requests)).replace("BENCH_RECORDS", f"'{records}'"))
    with serving(Contestant("pieces"), directory) as server:
        body = server.get(Page("pieces", script, {})).body.decode()
    found = [line.split("\t") for line in body.splitlines() if line.startswith("piece\t")]
    return [[name, f"{int(median) / 1e3:.2f}", f"{int(worst) / 1e3:.2f}"] for _, name, median, worst in found]


def _writable(path: Path) -> Path:
    path.touch()
    path.chmod(0o666)
    return path


def _us(values: list[int] | tuple[int, ...]) -> str:
    ordered = sorted(values)
    return f"{statistics.median(ordered) / 1e3:.1f} ({ordered[int(len(ordered) * 0.99)] / 1e3:.1f})"
