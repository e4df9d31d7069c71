"""The part of the page that needs no script: header, findings, tables. Also what is printed and what screen readers read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.model.metric import describe
from harness.model.process import ProcessKey
from harness.model.profile import ArtifactStatus
from harness.model.report import ExpectationResult, ProfileView, Report, WorkerRow
from harness.model.timeline import Timeline, Worker
from harness.report import words
from harness.report.ledger_words import NAMES, ledger_line
from harness.report.page.costs import costs
from harness.report.page.findings import band, findings
from harness.report.page.glossary import glossary
from harness.report.page.hosts import hosts
from harness.report.page.marks import Mark
from harness.report.page.peaks import peaks
from harness.report.page.recycling import recycling
from harness.report.page.requests import endpoint_names
from harness.report.page.rounds import Sizes, sizes, stretch
from harness.report.page.series import LEDGER_PARTS, Drawn
from harness.report.page.tables import DOWN, Cell, Column, Row, esc, number, table, text
from harness.report.places import container_rows
from harness.report.pools import PSS, memory_metric, pool_rows, pool_sum, pools
from harness.report.shared_memory import shared_rows
from harness.report.summary import by_retained
from harness.report.when import Clocks, plus_minus
from harness.units import format_bytes, format_duration

_COSTS = ("sampler_cpu_percent", "sampler_longest_stall_ms", "agent_us_per_request")  # of all, what touches the target
_WORKER_CAP = 2_000
_LEDGER_CAP = 2_000
_EVENT_CAP = 5_000
_HOSTS_NAMED = 6


def body(report: Report, series: Sequence[Drawn], stretch: int = 1, happened: Sequence[Mark] = ()) -> str:
    """Everything between ``<body>`` and the data; ``series`` is what the charts draw, for their table; of every ``stretch``
    sweeps they show the least and the most. ``happened``: see `harness.report.page.marks`."""
    parts = (
        _header(report, stretch),
        '<main id="main">',
        findings(report),
        _expectations(report.expectations),
        hosts(report),
        _timeline(),
        _endpoints(report),
        _requests(report),
        _profiles(report),
        _workers(report),
        _events(report, happened),
        recycling(report.recycling),
        _trust(report),
        _signals(report, series),
        glossary(),
        "</main>",
        _footer(report),
    )
    return "\n".join(part for part in parts if part)


def _header(report: Report, stretch: int) -> str:
    manifest = report.timeline.manifest
    trouble = words.status_text(manifest)
    command = words.command(manifest.scenario)
    target = f'<p class="target"><code>{esc(command, 400)}</code></p>' if command else ""
    facts = "".join(f"<div><dt>{esc(k)}</dt><dd>{esc(v, 400)}</dd></div>" for k, v in _facts(report, stretch))
    note = f'<p class="note warn"><b>Not a complete run:</b> {esc(trouble, 600)}</p>' if trouble else ""
    return f"""<header class="top">
<div class="bar"><span class="brand">harness</span><span class="kind">memory report</span>
<button type="button" id="theme" hidden>Dark</button></div>
<h1>{esc(manifest.scenario_name)}</h1>
{target}
{band(report)}
{note}<dl class="facts">{facts}</dl>
</header>"""


def _facts(report: Report, stretch: int) -> Iterator[tuple[str, str]]:
    timeline = report.timeline
    manifest, host = timeline.manifest, timeline.manifest.host
    seconds = words.run_seconds(manifest)
    version = words.version(manifest)
    if version:
        yield "Version", version
    yield "Runtime", manifest.runtime
    yield "Started", words.started(manifest).isoformat(" ", "seconds")
    yield "Duration", "unknown" if seconds is None else format_duration(seconds * 1e9)
    coverage = timeline.coverage
    yield (
        "Requests",
        f"{words.grouped(coverage.spans)}, {100 * coverage.joined / coverage.spans:.1f} % joined"
        if coverage.spans
        else "none",
    )
    machine = [str(host[k]) for k in ("kernel", "machine") if host.get(k)]
    if host.get("cpus"):
        machine.append(f"{host['cpus']} CPUs")
    memory = host.get("memory_bytes")
    if isinstance(memory, int):
        machine.append(format_bytes(memory))
    watched = [clock.host.name for clock in timeline.hosts]
    yield "Recorder" if watched else "Host", ", ".join(machine) or "unknown"
    if watched:
        watched += [row.name for row in container_rows(timeline) if not row.host]
        more = f" and {len(watched) - _HOSTS_NAMED} more" if len(watched) > _HOSTS_NAMED else ""
        yield "Watched", ", ".join(words.clean(name, 60) for name in watched[:_HOSTS_NAMED]) + more
    sweeps = {s.t_ns.size for (name, _), s in timeline.series.items() if name == "sampler.tick"}
    points = sum(s.t_ns.size for s in timeline.series.values())
    samples = f"{words.grouped(points)} in {words.grouped(max(sweeps))} sweeps" if sweeps else words.grouped(points)
    if stretch > 1:
        samples += f"; the charts show the least and the most of every {stretch} sweeps"
    yield "Samples", samples
    costs = [words.overhead_part(n, report.overhead[n]) for n in _COSTS if n in report.overhead]
    yield "Overhead", ", ".join(" ".join(c) for c in costs) or "not measured"
    yield "Run", manifest.run_id


def _expectations(results: Sequence[ExpectationResult]) -> str:
    if not results:
        return ""
    failed = sum(r.passed is not True for r in results)
    title = f"Expectations: {failed} of {len(results)} failed" if failed else f"Expectations: all {len(results)} met"
    rows = [(text(r.expr, 400), text(r.actual, 400), _outcome(r.passed), text(r.note, 600)) for r in results]
    columns = (Column("Expected"), Column("Measured"), Column("Outcome"), Column("Note"))
    return _section("expectations", title, table("t-expectations", "Expectations and outcomes", columns, rows))


def _outcome(passed: bool | None) -> Cell:
    word, level = {True: ("✓ met", "good"), False: ("✗ failed", "bad"), None: ("✗ cannot tell", "warn")}[passed]
    return Cell(f'<span class="{level}">{word}</span>')


def _timeline() -> str:
    return """<section id="timeline" aria-labelledby="h-timeline"><h2 id="h-timeline">Timeline</h2>
<div id="tracks-root"><p class="note">The charts need JavaScript. Findings and tables are complete without it.</p></div>
</section>"""


def _endpoints(report: Report) -> str:
    if not report.endpoints:
        return _section("endpoints", "Endpoints", '<p class="empty">No request was sent in the measured rounds.</p>')
    columns: tuple[Column, ...] = (
        Column("Endpoint"),
        Column("Requests", numeric=True),
        Column("Errors", numeric=True),
        Column("p50", numeric=True, hint="median latency"),
        Column("p99", numeric=True, hint="99 % of the requests were faster"),
        Column("Retained per request", numeric=True, hint="memory the workers keep for each request", sorted_=DOWN),
        Column("95 % interval", numeric=True),
    )
    peaks = any(row.request_peak is not None for row in report.endpoints)
    if peaks:
        columns += (
            Column("Peak, median", numeric=True, hint="the most memory one request held, by the runtime's own count"),
            Column("Peak, highest", numeric=True),
        )
    numbers = {name: i for i, name in enumerate(endpoint_names(report.timeline))}
    rows = []
    for row in sorted(report.endpoints, key=by_retained):
        low, high = row.ci95 if row.ci95 is not None else (None, None)
        kept = words.known(row.retained_bytes_per_request)
        cells = (
            text(row.name),
            number(row.requests, words.grouped(row.requests)),
            Cell(f'<span class="bad">{row.errors}</span>' if row.errors else "0", row.errors),
            number(row.p50_ns, words.milliseconds(row.p50_ns)),
            number(row.p99_ns, words.milliseconds(row.p99_ns)),
            number(kept, "–" if kept is None else words.signed_bytes(kept)),
            number(low, "–" if row.ci95 is None else f"{words.size(low)} to {words.size(high)}"),
            *(_bytes(v) for v in ((row.request_peak_p50, row.request_peak) if peaks else ())),
        )
        rows.append(Row(cells, key=numbers.get(row.name)))
    return _section(
        "endpoints",
        "Endpoints",
        table("t-endpoints", "Endpoints over the measured rounds", columns, rows),
        "Measured rounds only. A dash means that this run cannot tell.",
    )


def _requests(report: Report) -> str:
    """Filled by the script: without it the endpoints stand for the requests."""
    if not report.timeline.spans:
        return ""
    note = '<p class="note">The table of requests needs JavaScript.</p>'
    return _section("each-request", "Requests", f'<div id="requests-root">{note}</div>')


def _events(report: Report, happened: Sequence[Mark]) -> str:
    if not happened:
        return ""
    start = report.timeline.manifest.started_ns
    columns = (Column("Time", numeric=True), Column("Kind"), Column("What happened"))
    rows = []
    for mark in happened[:_EVENT_CAP]:
        seconds = (mark.t_ns - start) / 1e9
        shown = f"{seconds:.2f} s" if mark.within_ns == 0 else f"{seconds:.4f} s {plus_minus(mark.within_ns)}"
        rows.append(Row((number(seconds, shown), text(mark.row), text(mark.text, 300)), at=seconds))
    content = (
        f"<details><summary>{len(happened)} events</summary>{table('t-events', 'Events', columns, rows)}</details>"
    )
    return _section("events", "Collections, probes and lives", content)


def _profiles(report: Report) -> str:
    if not report.profiles:
        return _section("profiles", "Profiled requests", '<p class="empty">No request was profiled in this run.</p>')
    start = report.timeline.manifest.started_ns
    columns = (
        Column("Endpoint"),
        Column("Tool"),
        Column("Worker", numeric=True),
        Column("Time", numeric=True),
        Column("Peak", numeric=True),
        Column("State"),
        Column("Open"),
    )
    rows = [_profile_row(i, view, start) for i, view in enumerate(report.profiles)]
    return _section(
        "profiles",
        "Profiled requests",
        table("t-profiles", "Profiled requests", columns, rows) + '<div id="profile-root"></div>',
        "Profiled requests run after the measured rounds and are slower than normal ones; they never enter the trends. "
        "All are listed, whatever range is shown.",
    )


def _profile_row(index: int, view: ProfileView, start_ns: int) -> Row:
    artifact, profile = view.artifact, view.profile
    seconds = (artifact.t_ns - start_ns) / 1e9
    peak = profile.totals.get("peak_bytes") if profile is not None else None
    state = artifact.status.value if profile is None or profile.complete else "incomplete"
    if artifact.detail:
        state = f"{state}: {artifact.detail}"
    shown = text(state, 400)
    if artifact.opens_with is not None and artifact.path is not None:
        opens = f"<code>{esc(artifact.path, 400)}</code> opens with {esc(artifact.opens_with)}"
        shown = Cell(opens if artifact.status is ArtifactStatus.COMPLETE else f"{opens} ({shown.html})")
    button = (
        f'<button type="button" class="open" data-profile="{index}" hidden>Open</button>'
        if profile is not None
        else "–"
    )
    cells = (
        text(artifact.endpoint or "unknown"),
        text(artifact.tool, 60),
        number(artifact.pid, "–" if artifact.pid is None else str(artifact.pid)),
        number(seconds, f"{seconds:.1f} s"),
        _bytes(peak),
        shown,
        Cell(button),
    )
    return Row(cells)  # of no range: they are taken after the rounds, so that any range of these would leave none


def _workers(report: Report) -> str:
    if not report.workers:
        return _section("workers", "Processes", '<p class="empty">No process was seen.</p>')
    timeline, within = report.timeline, stretch(report.timeline)
    metric = "PSS" if memory_metric(timeline).endswith("pss") else "RSS"
    kept = [_pool_sizes(timeline, members, within) for members in pools(timeline).values()]
    heads = (
        Column("Pool"),
        Column("Processes", numeric=True),
        Column("Requests", numeric=True),
        *(Column(f"{metric} {when}", numeric=True) for when in ("at start", "at end", "peak")),
        Column("Part of the application"),
    )
    pool_table = table(
        "t-pools",
        "Memory of each pool",
        heads,
        [
            Row(
                (
                    text(p.name),
                    number(p.processes, str(p.processes)),
                    number(p.requests, words.grouped(p.requests)),
                    *(_bytes(v) for v in (kept[i].start, kept[i].end, kept[i].peak)),
                    text("yes" if p.measured else "no"),
                ),
                key=i,
            )
            for i, p in enumerate(pool_rows(timeline))
        ],
    )
    columns = (
        Column("Process"),
        Column("Pool"),
        Column("Role"),
        Column("Command"),
        Column("Born", numeric=True),
        Column("Ended", numeric=True),
        Column("Requests", numeric=True),
        *(Column(f"PSS {when}", numeric=True) for when in ("at start", "at end", "peak")),
        Column("PSS change", numeric=True, sorted_=DOWN),
        Column("Longest stall", numeric=True),
    )
    start, clocks = timeline.manifest.started_ns, Clocks(timeline)
    pss = {w.key: _sizes_of(timeline, w.key, within) for w in report.workers}
    shown = sorted(report.workers, key=lambda w: -(pss[w.key].change or 0))[:_WORKER_CAP]
    numbers = {w.info.key: i for i, w in enumerate(timeline.workers)}
    rows = [Row(_worker_row(w, pss[w.key], start, clocks), key=numbers.get(w.key)) for w in shown]
    note = (
        ""
        if within is None
        else "Sizes are those of the measured rounds; what probes and profilers take afterwards is left out."
    )
    if len(report.workers) > len(shown):
        note += f" The {_WORKER_CAP} processes that changed most of {len(report.workers)}."
    return _section(
        "workers",
        "Pools and processes",
        pool_table
        + _shared(report)
        + table("t-workers", "Processes, largest change first", columns, rows)
        + peaks(report.high_water, start, clocks)
        + _pool_ledger(report)
        + _ledger(report),
        note,
    )


def _shared(report: Report) -> str:
    """Caches that all workers of a pool use together."""
    rows = shared_rows(report.timeline)
    if not rows:
        return ""
    columns = (
        Column("Shared by the pool"),
        Column("Cache"),
        Column("Processes that see it", numeric=True),
        *(Column(n, numeric=True) for n in ("Size", "Used at start", "at end", "peak", "Wasted")),
    )
    cells = [
        (
            text(row.pool),
            text({"opcache": "OPcache", "apcu": "APCu"}[row.kind]),
            number(row.processes, str(row.processes)),
            *(_bytes(v) for v in (row.size, row.used_start, row.used_end, row.used_peak, row.wasted)),
        )
        for row in rows
    ]
    once = (
        "Each of these is there once, however many processes see it. PSS divides it among them; RSS counts it in each."
    )
    return table("t-shared", "Shared memory, counted once", columns, cells) + f'<p class="lead">{once}</p>'


def _bytes(value: int | None) -> Cell:
    return number(value, "–" if value is None else format_bytes(value))


def _pool_sizes(timeline: Timeline, members: Sequence[Worker], within: tuple[int, int] | None) -> Sizes:
    total = pool_sum(timeline.series, members, memory_metric(timeline))
    return Sizes() if total is None else sizes(total.t_ns, total.values, within)


def _sizes_of(timeline: Timeline, process: ProcessKey, within: tuple[int, int] | None) -> Sizes:
    series = timeline.series.get((PSS, process))
    return Sizes() if series is None else sizes(series.t_ns, series.values, within)


def _when(t_ns: int, start_ns: int, place: str, clocks: Clocks) -> Cell:
    """In seconds since the start, and how far that can be trusted on another host."""
    seconds, within_ns = (t_ns - start_ns) / 1e9, clocks.moment(t_ns, place).within_ns
    return number(seconds, f"{seconds:.1f} s" + ("" if within_ns == 0 else f" {plus_minus(within_ns)}"))


def _worker_row(row: WorkerRow, pss: Sizes, start_ns: int, clocks: Clocks) -> tuple[Cell, ...]:
    host, born_ns, ended_ns = row.key.host, row.started_ns, row.ended_ns
    born = number((born_ns - start_ns) / 1e9, "before the run") if born_ns < start_ns else None
    change = pss.change
    return (
        number(row.key.pid, str(row.key)),
        text(row.pool),
        text(row.role.value),
        text(row.comm, 60),
        born or _when(born_ns, start_ns, host, clocks),
        number(None, "–") if ended_ns is None else _when(ended_ns, start_ns, host, clocks),
        number(row.requests, words.grouped(row.requests)),
        *(_bytes(v) for v in (pss.start, pss.end, pss.peak)),
        number(change, "–" if change is None else words.signed_bytes(change)),
        number(row.longest_stall_ns, "–" if row.longest_stall_ns is None else format_duration(row.longest_stall_ns)),
    )


def _pool_ledger(report: Report) -> str:
    """What the memory of each pool is made of, floor by floor: the table of the track of that name."""
    rows = report.pool_ledger[:_LEDGER_CAP]
    if not rows:
        return ""
    names = [n for n in (*LEDGER_PARTS, "swap") if any(r.parts.get(n) is not None for r in rows)]
    columns = (
        Column("Pool"),
        Column("Phase"),
        Column("Round", numeric=True),
        Column("Processes", numeric=True),
        Column("PSS", numeric=True),
        *(Column(NAMES[n], numeric=True) for n in names),
    )
    start = report.timeline.manifest.started_ns
    cells = [
        Row(
            (
                text(r.pool),
                text(str(r.phase)),
                number(r.round, str(r.round)),
                number(r.processes, str(r.processes)),
                _bytes(r.pss),
                *(_bytes(r.parts.get(n)) for n in names),
            ),
            at=(r.t_ns - start) / 1e9,
        )
        for r in rows
    ]
    return (
        f"<details><summary>Ledger: what the memory of each pool is made of, at {len(report.pool_ledger)} floors</summary>"
        f"{table('t-pool-ledger', 'Ledger of the pools', columns, cells)}</details>"
    )


def _ledger(report: Report) -> str:
    rows = report.ledger[:_LEDGER_CAP]
    if not rows:
        return ""
    names = (
        "pss", "live", "allocator_held", "other_native", "image", "file", "shared", "stacks", "thp", "unexplained", "swap",
    )  # fmt: skip
    used = [n for n in names if any(getattr(r, n) is not None for r in rows)]
    columns = (
        Column("Process"),
        Column("Phase"),
        Column("Round", numeric=True),
        *(Column(NAMES[n], numeric=True) for n in used),
    )
    start = report.timeline.manifest.started_ns
    cells = [
        Row(
            (
                number(r.key.pid, str(r.key)),
                text(str(r.phase)),
                number(r.round, str(r.round)),
                *(_bytes(v) for v in (getattr(r, n) for n in used)),
            ),
            at=(r.t_ns - start) / 1e9,
        )
        for r in rows
    ]
    sentence = ledger_line(report)
    return (
        ("" if sentence is None else f"<p>At the end of the rounds, {esc(sentence, 1000)}.</p>")
        + f"<details><summary>Floors: memory of each process at the end of each round ({len(report.ledger)} rows)</summary>"
        f"{table('t-ledger', 'Floors', columns, cells)}</details>"
    )


def _trust(report: Report) -> str:
    coverage = report.timeline.coverage
    missing = "".join(
        f"<li><b>{esc(m.signal)}</b>: {esc(m.reason, 600)}"
        + (f' <span class="costs">Without it: {esc(m.costs, 600)}</span>' if m.costs else "")
        + "</li>"
        for m in report.missing
    )
    checks = table(
        "t-checks",
        "Cross-checks",
        (Column("Two views of one thing"), Column("Outcome")),
        [(text(what, 300), text(outcome, 1000)) for what, outcome in coverage.checks],
    )
    cost = costs(report.overhead)
    records, unmatched = words.grouped(coverage.records), words.grouped(coverage.records_unmatched)
    content = f"""<p>{esc(words.joined_share(report, words.grouped))}. {records} records were written inside the target,
{unmatched} of them belong to no request of this run.</p>
<h3>Missing signals</h3>{f'<ul class="missing">{missing}</ul>' if missing else '<p class="empty">Nothing was missing.</p>'}
<h3>Cross-checks</h3>{checks if coverage.checks else '<p class="empty">No two views to compare.</p>'}
<h3>What measuring cost</h3>{f'<ul class="missing">{cost}</ul>' if cost else '<p class="empty">Not measured.</p>'}"""
    return _section("trust", "How far to trust this", content)


def _signals(report: Report, series: Sequence[Drawn]) -> str:
    """The charts in numbers: one row a series."""
    if not series:
        return ""
    names = list(dict.fromkeys(w.info.pool for w in report.timeline.workers))
    clocks = Clocks(report.timeline)
    columns = (
        Column("Signal"),
        Column("Of"),
        *(Column(n, numeric=True) for n in ("Points", "First", "Least", "Most", "Last")),
    )
    rows = []
    for index, item in enumerate(series[:_WORKER_CAP]):
        unit = unit_of(item.metric)
        values = (int(item.values[0]), int(item.values.min()), int(item.values.max()), int(item.values[-1]))
        of = f"the host {clocks.place(item.metric, None)}".rstrip()
        if item.process is not None:
            of = f"process {report.timeline.workers[item.process].info.key}"
        elif item.pool is not None:
            of = f"pool {names[item.pool]}"
        cells = (
            text(item.metric),
            text(of),
            number(item.t_ns.size, words.grouped(item.t_ns.size)),
            *(number(v, shown(v, unit)) for v in values),
        )
        rows.append(Row(cells, key=index))
    return _section(
        "signals",
        "The charts in numbers",
        f"<details><summary>{len(series)} series</summary>{table('t-signals', 'Series', columns, rows)}</details>",
    )


_OWN_UNITS = {
    "pool": "bytes",
    "ledger": "bytes",
    "segment": "bytes",
    "derived": "bytes/s",
    "latency": "ns",
    "buddy": "count",
}


def unit_of(metric: str) -> str:
    """Unit of a drawn series: of the catalogue, or of what this package derives."""
    own = _OWN_UNITS.get(metric.partition(".")[0])
    return describe(metric).unit if own is None else own


def shown(value: int, unit: str) -> str:
    """A value as people read it."""
    if unit == "bytes":
        return format_bytes(value)
    if unit == "bytes/s":
        return f"{format_bytes(value)}/s"
    if unit == "ns":
        return format_duration(value)
    return f"{value / 100:.2f} %" if unit == "percent" else words.grouped(value)


def _footer(report: Report) -> str:
    return (
        f"<footer><p>harness {esc(report.timeline.manifest.tool_version)} · one file, works offline, loads nothing · "
        "charts by uPlot (MIT)</p></footer>"
    )


def _section(identifier: str, title: str, content: str, note: str = "") -> str:
    said = f'<p class="lead">{esc(note, 400)}</p>' if note else ""
    return (
        f'<section id="{identifier}" aria-labelledby="h-{identifier}"><h2 id="h-{identifier}">{esc(title)}</h2>'
        f"{said}{content}</section>"
    )
