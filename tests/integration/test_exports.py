"""Every export is opened by the program it is for, and what that program read is compared with what we know.

A file that merely opens proves little: speedscope shows an empty profile for a file it misunderstood, Firefox Profiler cuts off
what lies outside of the recording, and both say nothing. So the tests compare totals.
"""

from __future__ import annotations

import base64
import csv
import gzip
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import jsonschema
import pyarrow.parquet
import pytest
from chromium import chromium
from google.protobuf import json_format
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from perfetto import trace_processor
from playwright.sync_api import Browser
from processes import DEADLINE_S
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from reports import (
    HOSTILE,
    curve_profile,
    empty_report,
    hostile_report,
    hosts_report,
    leak_report,
    line_profile,
    single_sample_report,
)

from harness.cli.exporting import write_directory, write_file
from harness.model.profile import CallNode, Frame, FunctionCost, Profile, ValueType
from harness.model.report import Report
from harness.plugins.exports import ProfileExport, RunExport
from harness.plugins.formats import head_of, recognised
from harness.plugins.registry import load_formats, load_profile_exports, load_run_exports
from harness.report.exporters import firefox
from harness.report.lanes import placed
from harness.report.metric_values import scale_of
from harness.report.profile_formats.stacks import stacks_of
from harness.report.tables import tables
from harness.report.words import clean

pytestmark = [pytest.mark.integration, pytest.mark.browser]

CAPTURES = Path(__file__).parents[1] / "fixtures" / "captures"
READERS = Path(__file__).parents[1] / "readers"
REPORTS: Sequence[Callable[[], Report]] = (
    leak_report,
    hosts_report,
    hostile_report,
    single_sample_report,
    empty_report,
)
# speedscope draws with WebGL and shows nothing without; here a processor draws it.
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-background-networking"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium(FLAGS) as launched:
        yield launched


@pytest.fixture(scope="module")
def npm() -> Path:
    """The npm packages that read, as the lock file has them."""
    modules = READERS / "node_modules"
    assert (modules / ".package-lock.json").exists(), (
        "these tests need npm packages: npm --prefix tests/readers ci --ignore-scripts"
    )
    return modules


def run_export(name: str) -> RunExport:
    return next(each for each in load_run_exports() if each.name == name)


def profile_export(name: str) -> ProfileExport:
    return next(each for each in load_profile_exports() if each.name == name)


def one_file(name: str, report: Report) -> bytes:
    (part,) = run_export(name).parts(report)
    return b"".join(part.pieces)


def reading(*command: str | Path, cwd: Path | None = None, code: int = 0, **environment: str) -> str:
    """Standard output of a reader, which is there and ends as it should."""
    program = shutil.which(str(command[0]))
    assert program, f"these tests need {command[0]}: .dev/setup test"
    done = subprocess.run(
        [program, *map(str, command[1:])], cwd=cwd, capture_output=True, text=True, timeout=DEADLINE_S, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stdout


def capture(name: str) -> Profile:
    path = CAPTURES / name
    [format_] = recognised(head_of(path), load_formats())
    return format_.read(path)


def hostile_profile() -> Profile:
    """Names that would end a line, a record or a reference in one format or another, and that are no text at all."""
    names = (
        "fn=(1) calls=3 4",
        "(2)",
        "a;b 7",
        HOSTILE,
        "x\nfn=evil\n1 999999",
        "",
        "\x00",
        "y" * 10_000,
        "events: a b",
        "# c",
    )
    frames = tuple(Frame(name, name, number or None) for number, name in enumerate(names))
    tree = tuple(
        CallNode(n, n - 1, 1, (10 + n,), (sum(10 + k for k in range(n, len(names))),)) for n in range(len(names))
    )
    costs = tuple(FunctionCost(n.frame, 1, n.self_values, n.inclusive_values) for n in tree)
    return Profile(tool=HOSTILE, value_types=(ValueType("time", "ns", HOSTILE),), frames=frames, functions=costs, tree=tree,
                   notes=(HOSTILE, "a note\nevents: more"))  # fmt: skip


PROFILES: Mapping[str, Callable[[], Profile]] = {
    "cachegrind": lambda: capture("xdebug/small.cachegrind.gz"),
    "cut-tree": lambda: capture("xdebug/medium.cachegrind.gz"),
    "trace": lambda: capture("xdebug/edge.xt"),
    "valgrind": lambda: capture("callgrind/instr.callgrind"),
    "memprof": lambda: capture("memprof/app.heap"),
    "tideways": lambda: capture("xhprof/tideways.json"),
    "no-tree": lambda: capture("blackfire/py-flask.bf"),
    "lines": line_profile,
    "hostile": hostile_profile,
}
WITH_TIMES = [name for name in PROFILES if name not in ("valgrind", "memprof", "lines")]


# --- the timeline of a run ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", REPORTS)
def test_perfetto_reads_the_trace(make: Callable[[], Report], browser: Browser, tmp_path: Path) -> None:
    report = make()
    timeline = report.timeline
    path = tmp_path / "trace.json.gz"
    write_file(path, (one_file("chrome-trace", report),))
    with trace_processor(browser, path.read_bytes()) as engine:
        assert engine.errors() == []
        counters = engine.query(
            "select t.name, count(*), sum(c.value) from counter c join counter_track t on c.track_id = t.id group by t.name"
        )
        expected: dict[str, list[float]] = {}
        for (metric, _), series in timeline.series.items():
            sums = expected.setdefault(clean(metric), [0, 0])
            sums[0] += series.t_ns.size
            sums[1] += int(series.values.sum()) / scale_of(metric).divisor
        assert {
            str(name).rpartition(" ")[0]: [number, pytest.approx(total)] for name, number, total in counters
        } == expected

        requests = [each for group in placed(timeline).values() for each in group]
        begin = timeline.manifest.started_ns
        lengths = sum((each.end_ns - begin) // 1000 - (each.start_ns - begin) // 1000 for each in requests)
        [(number, total, depth)] = engine.query(
            "select count(*), sum(dur), max(depth) from slice where category = 'request'"
        )
        assert (number, total or 0) == (len(requests), lengths * 1000)
        assert depth in (0, None)  # on one thread, none lies in another
        names = Counter(clean(joined.span.endpoint) for joined in timeline.spans)
        told = engine.query("select name, count(*) from slice where category = 'request' group by name")
        assert {str(name).replace("\\\\", "\\"): number for name, number in told} == names

        instants = engine.query("select name from slice where category = 'finding' and dur = 0")
        assert Counter(instants) == Counter((f"finding: {finding.cause.value}",) for finding in report.findings)
        [(number,)] = engine.query("select count(*) from slice where category = 'event'")
        assert isinstance(number, int)
        assert number >= len(timeline.events)
        processes = engine.query("select count(*) from process where name is not null")
        machines = sum(not clock.host.first for clock in timeline.hosts)
        assert processes == [(len(timeline.workers) + 3 + machines,)]


def test_perfetto_refuses_what_is_damaged(browser: Browser) -> None:
    """So that the tests above can fail: the engine says what is wrong."""
    data = one_file("chrome-trace", leak_report()).replace(b'"ph":"X"', b'"ph":"B"')
    with trace_processor(browser, data) as engine:
        [(depth,)] = engine.query("select max(depth) from slice where category = 'request'")
        assert isinstance(depth, int)
        assert depth > 0
    with pytest.raises(AssertionError, match="not taken"), trace_processor(browser, data[:-500] + b"\\ud83d}"):
        pass


@contextmanager
def firefox_profiler(npm: Path, path: Path) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Firefox Profiler's own loader with a file, as a function that answers commands.

    Its ``load`` would start the same process and give it half a second to be there, which a busy machine may not have.
    """
    command = ["node", str(npm / "@firefox-devtools/profiler-cli/dist/profiler-cli.js")]
    assert shutil.which("node"), "these tests need node: apt install nodejs"
    directory = tempfile.mkdtemp(prefix="pq")  # short: it holds a socket
    environment = {**os.environ, "PROFILER_CLI_SESSION_DIR": directory}

    def ask(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *arguments, "--session", "t", "--json"], capture_output=True, text=True, timeout=DEADLINE_S,
            check=False, env=environment,
        )  # fmt: skip

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*command, "--daemon", str(path), "--session", "t"], env=environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    loader = start()
    try:
        # A question that comes while it begins may take its session for one that ended, and remove it: then it begins again.
        deadline, patience = time.monotonic() + 2 * DEADLINE_S, time.monotonic() + DEADLINE_S / 3
        while (first := ask("status")).returncode != 0 and "load failed" not in first.stderr:
            assert time.monotonic() < deadline, first.stderr
            if time.monotonic() > patience or loader.poll() is not None:
                loader.terminate()
                loader.wait()
                loader, patience = start(), time.monotonic() + DEADLINE_S / 3
        yield ask
    finally:
        loader.terminate()
        loader.wait()
        shutil.rmtree(directory)


def answer(done: subprocess.CompletedProcess[str]) -> dict:
    """What a command of Firefox Profiler printed."""
    assert done.returncode == 0, done.stderr
    found: dict = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("make", REPORTS)
def test_firefox_profiler_reads_the_profile(make: Callable[[], Report], npm: Path, tmp_path: Path) -> None:
    report = make()
    timeline = report.timeline
    path = tmp_path / "profile.json"
    path.write_bytes(one_file("firefox", report))
    with firefox_profiler(npm, path) as ask:
        counters = sorted(answer(ask("counter", "list"))["counters"], key=lambda counter: counter["counterIndex"])
        expected = [
            series for (metric, _), series in timeline.series.items()
            if metric in firefox._OF_PROCESSES + firefox._OF_MACHINE and series.values.any()
        ]  # fmt: skip
        assert Counter((c["name"], c["rangeSampleCount"]) for c in counters) == Counter(
            (series.metric, series.t_ns.size) for series in expected
        )  # nothing was cut off
        ranges = Counter((c["name"], stat["value"]) for c in counters for stat in c["stats"])
        # A counter begins at nothing, so its range begins with the first sample.
        whole = Counter((s.metric, int(s.values.max() - s.values.min())) for s in expected)
        assert ranges == whole

        threads = answer(ask("thread", "list"))["threads"]
        assert len(threads) == len(timeline.workers) + 1
        found: Counter[str] = Counter()
        for number in range(len(threads)):
            for kind in answer(ask("thread", "markers", "--thread", f"t-{number}"))["byType"]:
                found[kind["markerName"]] += kind["count"]
        assert found["request"] == len(timeline.spans)
        for finding in report.findings:
            assert found[f"finding: {finding.cause.value}"] >= 1
        for event in timeline.events:
            assert found[clean(event.kind)] >= 1


def test_firefox_profiler_refuses_what_is_damaged(npm: Path, tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    path.write_bytes(one_file("firefox", leak_report())[:-20])
    with firefox_profiler(npm, path) as ask:
        refused = ask("counter", "list")
        assert refused.returncode == 1
        assert "Profile load failed" in refused.stderr


@pytest.mark.parametrize("make", REPORTS)
def test_prometheus_takes_the_metrics(make: Callable[[], Report], tmp_path: Path) -> None:
    report = make()
    timeline = report.timeline
    path = tmp_path / "run.txt"
    path.write_bytes(one_file("openmetrics", report))

    by_parser: dict[str, list[float]] = defaultdict(lambda: [0, 0])
    for family in text_string_to_metric_families(path.read_text(encoding="utf-8")):
        for sample in family.samples:
            by_parser[sample.name][0] += 1
            by_parser[sample.name][1] += sample.value

    reading("promtool", "tsdb", "create-blocks-from", "openmetrics", path, tmp_path / "data")
    by_prometheus: dict[str, list[float]] = defaultdict(lambda: [0, 0])
    if by_parser:
        (tmp_path / "data" / "wal").mkdir(exist_ok=True)
        for line in reading("promtool", "tsdb", "dump", tmp_path / "data").splitlines():
            labels, value, _ = line.rsplit(" ", 2)
            name = re.search(r'__name__="([^"]+)"', labels)
            assert name
            by_prometheus[name[1]][0] += 1
            by_prometheus[name[1]][1] += float(value)
    assert by_parser.keys() == by_prometheus.keys()
    for name, (number, total) in by_parser.items():
        assert by_prometheus[name] == [number, pytest.approx(total)], name

    ours = sum(series.t_ns.size for series in timeline.series.values())
    no_samples = ("harness_request", "harness_finding", "harness_clock_error")
    assert sum(number for name, (number, _) in by_prometheus.items() if not name.startswith(no_samples)) == ours
    errors = [clock for clock in timeline.hosts if clock.error_ns is not None]
    assert by_prometheus.get("harness_clock_error_seconds", [0])[0] == len(errors)
    rss = [series for (metric, _), series in timeline.series.items() if metric == "process.memory.rss"]
    assert by_prometheus["harness_process_memory_rss_bytes"][1] == sum(int(series.values.sum()) for series in rss)
    cpu = [series for (metric, _), series in timeline.series.items() if metric == "process.cpu"]
    expected = sum(int(series.values.sum()) for series in cpu) / 1e9
    assert by_prometheus["harness_process_cpu_seconds_total"][1] == pytest.approx(expected)
    assert by_prometheus["harness_finding_info"][0] == len(report.findings)
    last = {}
    for family in text_string_to_metric_families(path.read_text(encoding="utf-8")):
        if family.name == "harness_requests":
            last = {tuple(sorted(sample.labels.items())): sample.value for sample in family.samples}
    assert sum(last.values()) == len(timeline.spans)


def test_prometheus_refuses_a_cut_file(tmp_path: Path) -> None:
    path = tmp_path / "run.txt"
    path.write_bytes(one_file("openmetrics", leak_report()).removesuffix(b"# EOF\n"))
    reading("promtool", "tsdb", "create-blocks-from", "openmetrics", path, tmp_path / "data", code=1)


@pytest.mark.parametrize("make", REPORTS)
def test_databases_read_the_tables(make: Callable[[], Report], tmp_path: Path) -> None:
    report = make()
    write_directory(tmp_path / "parquet", run_export("parquet").parts(report))
    write_directory(tmp_path / "csv", run_export("csv").parts(report))
    database = duckdb.connect()
    for table in tables(report):
        rows = [tuple(row) for row in table.rows()]
        parquet = tmp_path / "parquet" / f"{table.name}.parquet"
        found = database.execute(f"select * from read_parquet('{parquet}')").fetchall()
        assert found == rows, table.name
        assert [tuple(row.values()) for row in pyarrow.parquet.read_table(parquet).to_pylist()] == rows, table.name
        name = tmp_path / "csv" / f"{table.name}.csv"
        kinds = {"int": "BIGINT", "float": "DOUBLE", "bool": "BOOLEAN", "text": "VARCHAR"}
        columns = ", ".join(f"'{column}': '{kinds[kind]}'" for column, kind in table.columns)
        from_csv = database.execute(
            f"select * from read_csv('{name}', header = true, quote = '\"', escape = '\"', columns = {{{columns}}})"
        ).fetchall()
        assert [tuple(without_mark(cell) for cell in row) for row in from_csv] == rows, table.name
        with name.open(encoding="utf-8", newline="") as file:
            assert len(list(csv.reader(file))) == len(rows) + 1
    sums = dict(
        database.execute(
            f"select metric, sum(value) from '{tmp_path}/parquet/samples.parquet' group by metric"
        ).fetchall()
    )
    expected: Counter[str] = Counter()
    for (metric, _), series in report.timeline.series.items():
        expected[metric] += int(series.values.sum())
    assert sums == expected


def without_mark(cell: object) -> object:
    """A text that begins like a formula is marked as text for spreadsheets."""
    return cell[1:] if isinstance(cell, str) and cell.startswith(("'=", "'+", "'-", "'@")) else cell


MESSAGES = {"metrics.jsonl": MetricsData, "traces.jsonl": TracesData, "logs.jsonl": LogsData}


def with_binary_ids(value: object) -> object:
    """OTLP's JSON writes ids in hex where protobuf's own JSON has base64: the one difference between the two."""
    if isinstance(value, list):
        return [with_binary_ids(item) for item in value]
    if not isinstance(value, dict):
        return value
    ids = {"traceId": 16, "spanId": 8, "parentSpanId": 8}
    found = {}
    for key, item in value.items():
        if key in ids:
            raw = bytes.fromhex(str(item))
            assert len(raw) == ids[key]
            assert any(raw), "an id of zeros is none"
            found[key] = base64.b64encode(raw).decode()
        else:
            found[key] = with_binary_ids(item)
    return found


@pytest.mark.parametrize("make", REPORTS)
def test_opentelemetry_messages_fit_the_schema(make: Callable[[], Report], tmp_path: Path) -> None:
    report = make()
    timeline = report.timeline
    write_directory(tmp_path, run_export("otlp").parts(report))
    messages = {
        name: [
            json_format.ParseDict(with_binary_ids(json.loads(line)), kind())
            for line in (tmp_path / name).read_text(encoding="ascii").splitlines()
        ]
        for name, kind in MESSAGES.items()
    }
    sums: dict[str, list[float]] = defaultdict(lambda: [0, 0])
    for message in messages["metrics.jsonl"]:
        for resource in message.resource_metrics:
            for metric in resource.scope_metrics[0].metrics:
                for point in (metric.sum if metric.HasField("sum") else metric.gauge).data_points:
                    value = point.as_int if point.HasField("as_int") else point.as_double
                    sums[metric.name][0] += 1
                    sums[metric.name][1] += value
    expected: dict[str, list[float]] = defaultdict(lambda: [0, 0])
    for (metric_name, _), series in timeline.series.items():
        expected[metric_name][0] += series.t_ns.size
        expected[metric_name][1] += int(series.values.sum()) / scale_of(metric_name).divisor
    assert {name: [number, pytest.approx(total)] for name, (number, total) in sums.items()} == expected

    spans = [
        span
        for message in messages["traces.jsonl"]
        for resource in message.resource_spans
        for span in resource.scope_spans[0].spans
    ]
    sent = {span.span_id: span for span in spans if not span.parent_span_id}
    assert len(sent) == len(timeline.spans)
    lasted = sum(span.end_time_unix_nano - span.start_time_unix_nano for span in sent.values())
    assert lasted == sum(joined.span.end_ns - joined.span.start_ns for joined in timeline.spans)
    for span in spans:
        if span.parent_span_id:
            assert sent[span.parent_span_id].trace_id == span.trace_id
    logs = [
        r for m in messages["logs.jsonl"] for resource in m.resource_logs for r in resource.scope_logs[0].log_records
    ]
    assert len(logs) >= len(report.findings) + len(timeline.events)
    assert [r.body.string_value for r in logs[: len(report.findings)]] == [
        clean(f.summary, 2_000) for f in report.findings
    ]


def test_a_wrong_message_does_not_fit_the_schema() -> None:
    with pytest.raises(json_format.ParseError):
        json_format.ParseDict({"resourceSpans": [{"scopeSpans": [{"spans": [{"startTime": "1"}]}]}]}, TracesData())


@pytest.mark.parametrize("name", ["chrome-trace", "csv", "firefox", "openmetrics", "otlp", "parquet"])
@pytest.mark.parametrize("make", [leak_report, hostile_report])
def test_the_same_run_gives_the_same_bytes(name: str, make: Callable[[], Report]) -> None:
    first, second = ([(part.name, b"".join(part.pieces)) for part in run_export(name).parts(make())] for _ in range(2))
    assert first == second


# --- profiles -----------------------------------------------------------------------------------------------------


def told(profile: Profile, name: str) -> int:
    """What the profile itself says of a value all together: its tree's roots where sums mean something, else its parts."""
    number = next(n for n, kind in enumerate(profile.value_types) if kind.name == name)
    if profile.tree and name != "memory_growth":
        return sum(node.inclusive_values[number] for node in profile.tree if node.parent < 0)
    if profile.functions:
        return sum(cost.self_values[number] for cost in profile.functions)
    return sum(line.values[number] or 0 for line in profile.lines)


def assert_totals(profile: Profile, found: Mapping[str, int]) -> None:
    """Totals that a reader found, by name, are those of the profile; but for rounding, which the profile's own have too."""
    sums: Counter[str] = Counter()
    for name, total in found.items():
        source = name.removeprefix("self_").removesuffix("_gained")
        sign = -1 if source.endswith("_given_back") else 1
        sums[source.removesuffix("_given_back")] += sign * total
    assert sums.keys() <= {kind.name for kind in profile.value_types}
    for name, total in sums.items():
        expected = told(profile, name)
        assert abs(total - expected) <= max(20, abs(expected) // 1000), name
    names = {name for name in found if name.startswith("self_")}
    assert ("self_memory_growth" in names) == (profile.tool in ("xdebug", "memory_profiler"))


@pytest.mark.parametrize("name", PROFILES)
def test_pprof_reads_the_profile(name: str, tmp_path: Path) -> None:
    profile = PROFILES[name]()
    path = tmp_path / "profile.pb.gz"
    path.write_bytes(profile_export("pprof").write(profile, None))
    shown = reading("go", "tool", "pprof", "-raw", path, HOME=str(tmp_path))
    header = shown[shown.index("Samples:\n") + 9 :].splitlines()[0].split()
    kinds = [kind.partition("/")[0] for kind in header]
    totals: Counter[str] = Counter(dict.fromkeys(kinds, 0))
    samples = shown[shown.index("Samples:\n") : shown.index("Locations\n")]
    for values in re.findall(r"^\s*((?:-?\d+\s*)+):", samples, re.MULTILINE):
        for kind, value in zip(kinds, values.split(), strict=True):
            totals[kind] += int(value)
    assert kinds == [column.name for column in stacks_of(profile, signed=True).columns]
    assert_totals(profile, totals)
    top = reading("go", "tool", "pprof", "-top", "-nodecount=5", f"-sample_index={kinds[0]}", path, HOME=str(tmp_path))
    assert f"Type: {kinds[0]}" in top


def test_pprof_refuses_a_cut_file(tmp_path: Path) -> None:
    path = tmp_path / "profile.pb.gz"
    data = gzip.decompress(profile_export("pprof").write(curve_profile(), None))
    path.write_bytes(gzip.compress(data[:-5]))
    reading("go", "tool", "pprof", "-raw", path, code=1, HOME=str(tmp_path))


@pytest.mark.parametrize("name", PROFILES)
def test_callgrind_annotate_reads_the_profile(name: str, tmp_path: Path) -> None:
    profile = PROFILES[name]()
    path = tmp_path / "callgrind.out"
    path.write_bytes(profile_export("callgrind").write(profile, None))
    shown = reading("callgrind_annotate", "--auto=no", "--threshold=100", "--show-percs=no", path)
    events = next(line for line in shown.splitlines() if line.startswith("Events recorded:")).split()[2:]
    line = next(line for line in shown.splitlines() if line.endswith("PROGRAM TOTALS"))
    numbers = [int(number.replace(",", "")) for number in line.removesuffix("PROGRAM TOTALS").split()]
    totals = dict(zip(events, numbers, strict=True))
    assert_totals(profile, totals)
    # By function: the sum of what is shown is the total, so no name broke a record.
    own: Counter[str] = Counter()
    rows = shown[shown.index("file:function") :].splitlines()[2:]
    for row in rows:
        cells = re.match(r"\s*((?:(?:[\d,]+|\.)\s+)+)\S", row)
        if cells is None:
            break
        for event, cell in zip(events, cells[1].split(), strict=False):
            own[event] += 0 if cell == "." else int(cell.replace(",", ""))
    assert own[events[0]] == totals[events[0]]


@pytest.fixture
def speedscope(browser: Browser, npm: Path, tmp_path: Path) -> Iterator[Callable[[str, bytes], dict[str, int]]]:
    """The genuine viewer: opens a file and saves what it made of it; totals by the name of the profile."""
    context = browser.new_context(offline=True, accept_downloads=True)
    context.set_default_timeout(DEADLINE_S * 1000)

    def totals(name: str, data: bytes) -> dict[str, int]:
        script = tmp_path / "load.js"
        text = base64.b64encode(data).decode()
        script.write_text(f"speedscope.loadFileFromBase64({json.dumps(name)}, {json.dumps(text)})", encoding="ascii")
        page = context.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.goto(f"{(npm / 'speedscope/dist/release/index.html').as_uri()}#localProfilePath={script}")
        with page.expect_download() as download:
            page.get_by_text("Export", exact=False).first.click()
        saved = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
        page.close()
        assert problems == []
        return {each["name"]: each["endValue"] - each["startValue"] for each in saved["profiles"]}

    yield totals
    context.close()


@pytest.mark.parametrize("name", PROFILES)
def test_speedscope_reads_the_profile(name: str, speedscope: Callable[[str, bytes], dict[str, int]], npm: Path) -> None:
    profile = PROFILES[name]()
    data = profile_export("speedscope").write(profile, None)
    schema = json.loads((npm / "speedscope/dist/release/file-format-schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(json.loads(data), schema)
    totals = {shown.rpartition(" (")[0]: total for shown, total in speedscope("profile.json", data).items()}
    assert list(totals) == [column.name for column in stacks_of(profile).columns]
    assert_totals(profile, totals)


@pytest.mark.parametrize("name", [name for name in PROFILES if name != "cut-tree"])  # 50 MB of text
def test_collapsed_stacks_are_read_by_speedscope(name: str, speedscope: Callable[[str, bytes], dict[str, int]]) -> None:
    profile = PROFILES[name]()
    format_ = profile_export("collapsed")
    assert format_.values is not None
    found = {}
    for value in format_.values(profile):
        data = format_.write(profile, value)
        if data:  # nothing was taken: no stack
            (found[value],) = speedscope("profile.folded.txt", data).values()
    assert_totals(profile, found)


@pytest.mark.parametrize("name", WITH_TIMES)
def test_perfetto_reads_the_calls_of_a_profile(name: str, browser: Browser) -> None:
    profile = PROFILES[name]()
    if not profile.tree and not profile.curve:
        with pytest.raises(ValueError, match="no times"):
            profile_export("chrome-trace").write(profile, None)
        return
    with trace_processor(browser, profile_export("chrome-trace").write(profile, None)) as engine:
        assert engine.errors() == []
        [(points, total)] = engine.query("select count(*), sum(value) from counter")
        assert (points, total or 0) == (len(profile.curve), sum(point.bytes for point in profile.curve))
        if profile.tree:
            [(total, unfinished)] = engine.query("select sum(dur), sum(dur < 0) from slice where depth = 0")
            assert unfinished == 0
            assert isinstance(total, int)
            assert_times(profile, total)


def assert_times(profile: Profile, total: int) -> None:
    """Of all root calls together; a reader may cut each time to whole ns."""
    expected = told(profile, "time")
    assert abs(total - expected) <= max(20, expected // 1000)
