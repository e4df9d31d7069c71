"""Synthetic reports: a realistic leak, nothing at all, one sample, and one whose every name is an attack."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from harness.model.event import Event, Missing, Window
from harness.model.finding import (
    Cause,
    Confidence,
    Evidence,
    Finding,
    Growth,
    Location,
    Prescription,
    Severity,
    Side,
    Subject,
    Verdict,
)
from harness.model.host import HostClock, RunHost, Sibling, Siblings
from harness.model.process import ProcessInfo, ProcessKey, Role
from harness.model.profile import (
    Artifact,
    ArtifactStatus,
    CallEdge,
    CallNode,
    CollectorRun,
    CurvePoint,
    Frame,
    FunctionCost,
    Holder,
    HolderChain,
    LineCost,
    ObjectGroup,
    Peak,
    Profile,
    ValueType,
)
from harness.model.report import EndpointRow, ExpectationResult, LedgerRow, ProfileView, Report, WorkerRow
from harness.model.run import RunManifest, RunStatus, Series
from harness.model.span import PhaseName, RequestRecord, Span
from harness.model.timeline import Coverage, JoinedSpan, JoinMethod, Timeline, Worker

SECOND = 1_000_000_000
START = 5_000 * SECOND
MIB = 1 << 20
HOSTILE = "</script><img src=x onerror=window.pwned=1>\x1b[31m\x07\u202e'\"&`|\U0001f4a3 \ud800 <b>__proto__"

TIME = ValueType("time", "ns", "time")
GROWTH = ValueType("memory_growth", "bytes", "memory growth during call, frees not counted")


def manifest(**changes: object) -> RunManifest:
    """A complete one-minute run of a Python shop."""
    base = RunManifest(
        format="harness-run/2",
        run_id="20261123-101500-shop",
        tool_version="0.1.0",
        scenario_name="shop",
        scenario_path="shop.yaml",
        scenario={"name": "shop", "target": {"launch": [{"run": "gunicorn shop.wsgi -w 4 -b 127.0.0.1:8000"}]}},
        host={
            "kernel": "6.1.0-31-amd64",
            "machine": "x86_64",
            "cpus": 2,
            "memory_bytes": 8 << 30,
            "utc_offset_s": 7200,
        },
        runtime="python",
        started_wall_ns=1_795_421_700 * SECOND,
        started_ns=START,
        ended_ns=START + 62 * SECOND,
        status=RunStatus.COMPLETE,
        status_text="",
        costs={"sampler_cpu_percent": 0.42},
    )
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]  # a test names the fields it means


def empty_report(**changes: object) -> Report:
    """A run that recorded nothing: no process, no sample, no request, nothing known."""
    timeline = Timeline(
        manifest=manifest(ended_ns=None, status=RunStatus.RECORDING, costs={}, host={}, scenario={}),
        windows=(),
        workers=(),
        series={},
        spans=(),
        floors=(),
        events=(),
        artifacts=(),
        missing=(),
        coverage=Coverage(0, 0, {}, 0, 0, ()),
    )
    base = Report(
        timeline=timeline,
        verdict=Verdict(Cause.INCONCLUSIVE, Confidence.LOW, "Nothing was recorded, so nothing can be said."),
        findings=(),
        endpoints=(),
        workers=(),
        ledger=(),
        expectations=(),
        profiles=(),
        overhead={},
        missing=(),
    )
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]  # a test names the fields it means


def single_sample_report() -> Report:
    """One process, one sample, one unanswered request."""
    key = ProcessKey("", 77, 1)
    info = _info(key, "app", "worker", born=START - SECOND, ended=None)
    point = Series("process.memory.pss", key, np.array([START + SECOND]), np.array([3 * MIB]))
    span = Span("0" * 16, "GET /", PhaseName.WARMUP, 0, 0, 0, None, START, START + SECOND, None, "refused", 0, ())
    base = empty_report()
    timeline = dataclasses.replace(
        base.timeline,
        workers=(Worker(info, Role.WORKER, 0),),
        series={(point.metric, key): point},
        spans=(JoinedSpan(span, None, JoinMethod.NONE, None),),
        coverage=Coverage(1, 0, {JoinMethod.NONE: 1}, 0, 0, ()),
    )
    return dataclasses.replace(base, timeline=timeline, workers=_worker_rows(timeline))


def leak_report(*, workers: int = 4, seed: int = 7, requests_per_round: int = 160) -> Report:
    """A shop on gunicorn: 8 rounds, one endpoint that keeps memory, a worker that dies and is replaced, two profiles."""
    rng = np.random.default_rng(seed)
    lives = _lives(workers)
    windows = tuple(_windows())
    spans = _spans(rng, lives, requests_per_round)
    served = {info.key: sum(j.worker == info.key for j in spans) for info in lives}
    timeline = Timeline(
        manifest=manifest(),
        windows=windows,
        workers=tuple(
            Worker(
                i,
                Role.HELPER if i.pool == "proxy" else Role.MASTER if i.key.pid == 4210 else Role.WORKER,
                served[i.key],
            )
            for i in lives
        ),
        series=_series(rng, lives),
        spans=spans,
        floors=(),
        events=(
            Event(START + 30 * SECOND, "process.exit", lives[2].key, "worker 4212 exited", {}),
            Event(START + 30 * SECOND + SECOND // 5, "process.start", lives[-1].key, "worker 4290 started", {}),
        ),
        artifacts=(),
        missing=(),
        coverage=Coverage(
            spans=len(spans),
            joined=len(spans) - 3,
            by_method={JoinMethod.SPAN_ID: len(spans) - 3, JoinMethod.NONE: 3},
            records=len(spans) - 3,
            records_unmatched=0,
            checks=(
                ("requests sent / recorded", f"{len(spans)} sent, {len(spans)} answered, {len(spans) - 3} recorded"),
                ("PSS / anonymous + files + shared memory", "40 floors, largest difference 0.02 % of PSS"),
            ),
        ),
    )
    return Report(
        timeline=timeline,
        verdict=Verdict(
            Cause.LEAK_OBJECTS,
            Confidence.HIGH,
            "The workers keep 2.1 KiB of every POST /cart request and never give it back.",
        ),
        findings=(_leak(), _warmup()),
        endpoints=(
            EndpointRow("GET /", 640, 0, 3_100_000, 9_800_000, 12.0, (-80.0, 104.0)),
            EndpointRow("POST /cart", 320, 2, 6_400_000, 21_000_000, 2150.0, (1940.0, 2360.0)),
            EndpointRow("GET /product/{id}", 320, 0, 4_000_000, 12_000_000, None, None),
        ),
        workers=_worker_rows(timeline),
        ledger=_ledger(timeline),
        expectations=(
            ExpectationResult("verdict is healthy", "leak.objects", False),
            ExpectationResult("peak_pss < 400 MiB", "231.0 MiB", True),
            ExpectationResult("p99 of 'GET /' < 50ms", "not measured", None),
        ),
        profiles=(
            ProfileView(_artifact("xdebug", "POST /cart", 4211, 58, _span_id(len(spans) - 1)), call_profile()),
            ProfileView(_artifact("memory_profiler", "POST /cart", 4213, 59, None), line_profile()),
            ProfileView(
                _artifact(
                    "tracemalloc", "GET /", 4213, 60, None, status=ArtifactStatus.MISSING, detail="no file appeared"
                ),
                None,
            ),
            ProfileView(call_file(len(spans) - 1), None),
            ProfileView(_artifact("growth", "POST /cart", 4213, 60, None), object_profile()),
        ),
        overhead={
            "sampler_cpu_percent": 0.42,
            "load_cpu_percent": 12.5,
            "agent_us_per_request": 38.0,
            "agent_us_per_request_p95": 61.0,
            "agent_requests_timed": 212.0,
            "load_max_lag_ms": None,
        },
        missing=(
            Missing(
                "system.slab", "/proc/slabinfo is readable by root only", "growth of kernel slabs is not broken down"
            ),
        ),
    )


def hostile_report() -> Report:
    """The leak report with an attack in every text that can come from a target, and None wherever None is allowed."""
    base = leak_report(requests_per_round=20)
    info = dataclasses.replace(base.timeline.workers[1].info, comm=HOSTILE, cmdline=HOSTILE, pool=HOSTILE)
    frames = (Frame(HOSTILE, HOSTILE, None), Frame("__proto__", "constructor", 3))
    profile = Profile(
        tool=HOSTILE,
        value_types=(ValueType(HOSTILE, "bytes", HOSTILE),),
        frames=frames,
        functions=(FunctionCost(0, 1, (5,), (9,)), FunctionCost(1, 2, (-4,), (4,))),
        tree=(CallNode(0, -1, 1, (5,), (9,)), CallNode(1, 0, 2, (4,), (4,))),
        lines=(LineCost(HOSTILE, 1, HOSTILE, None, (None,), HOSTILE),),
        objects=(ObjectGroup(HOSTILE, (None,)), ObjectGroup("__proto__", (2**62,))),
        holders=(
            HolderChain(HOSTILE, 1, (Holder(HOSTILE, HOSTILE), Holder("__proto__", ""), Holder(HOSTILE, HOSTILE))),
            HolderChain("__proto__", 2**62, ()),
            HolderChain("constructor", 0, tuple(Holder(HOSTILE * 20, HOSTILE * 20) for _ in range(300))),
        ),
        curve=(CurvePoint(-5, -1, HOSTILE), CurvePoint(2**62, 2**62, "__proto__"), CurvePoint(0, 0, HOSTILE * 20)),
        peak=Peak(2**62, 2**62, (0, 1) * 300),
        collections=(
            CollectorRun(2**62, None, None, None, None, HOSTILE),
            CollectorRun(0, 1, 2, 3, 4, "__proto__", -7),
        ),
        totals={HOSTILE: None},
        notes=(HOSTILE,),
        complete=False,
    )
    artifact = _artifact(HOSTILE, HOSTILE, 1, 58, HOSTILE, detail=HOSTILE)
    spans = tuple(
        dataclasses.replace(j, span=dataclasses.replace(j.span, endpoint=HOSTILE, error=HOSTILE, status=None))
        for j in base.timeline.spans[:30]
    )
    text = Evidence(HOSTILE, None, HOSTILE, HOSTILE)
    compared = Evidence("siblings", None, HOSTILE, HOSTILE)
    prescription = Prescription(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE)
    subject = Subject(HOSTILE, HOSTILE, HOSTILE, None, HOSTILE, Location(HOSTILE, None, HOSTILE))
    nothing = Growth(None, None, None, None)
    finding = Finding(
        Cause.LEAK,
        Severity.CRITICAL,
        Confidence.LOW,
        subject,
        HOSTILE,
        nothing,
        (text, compared),
        (prescription,),
        None,
    )
    timeline = dataclasses.replace(
        base.timeline,
        manifest=manifest(
            scenario_name=HOSTILE,
            run_id=HOSTILE,
            status=RunStatus.FAILED,
            status_text=HOSTILE,
            runtime=HOSTILE,
            scenario={"target": {"attach": {"match": HOSTILE}}},
            host={"kernel": HOSTILE, "cpus": None},
        ),
        workers=(Worker(info, Role.WORKER, 0), *base.timeline.workers[2:]),
        spans=spans,
        events=(Event(START + SECOND, HOSTILE, None, HOSTILE, {HOSTILE: HOSTILE}), *_hostile_container()),
        hosts=(
            HostClock(
                RunHost(HOSTILE, HOSTILE, HOSTILE, True, True, 0, HOSTILE, {"kernel": HOSTILE}), 0, None, float("nan")
            ),
        ),
        coverage=Coverage(30, 0, {JoinMethod.NONE: 30}, 0, 0, ((HOSTILE, HOSTILE),)),
    )
    return dataclasses.replace(
        base,
        timeline=timeline,
        verdict=Verdict(Cause.LEAK, Confidence.LOW, HOSTILE),
        findings=(finding,),
        endpoints=(EndpointRow(HOSTILE, 30, 30, None, None, float("nan"), None),),
        workers=_worker_rows(timeline),
        expectations=(ExpectationResult(HOSTILE, HOSTILE, None),),
        profiles=(ProfileView(artifact, profile),),
        overhead={HOSTILE: None, "x": float("inf")},
        missing=(Missing(HOSTILE, HOSTILE, HOSTILE),),
        siblings=(Siblings(HOSTILE, (Sibling(HOSTILE, HOSTILE, True, float("nan"), (0.0, float("inf"))),), (HOSTILE,), HOSTILE),),
    )  # fmt: skip


def _hostile_container() -> tuple[Event, ...]:
    told = {
        "container": HOSTILE,
        "pool": HOSTILE,
        "role": HOSTILE,
        "container_image": HOSTILE,
        "host": HOSTILE,
        "kills": HOSTILE,
    }
    kinds = ("container.start", "container.exit", "container.oom", "container.limit")
    return tuple(
        Event(START + SECOND, kind, None, HOSTILE, {**told, "memory_bytes": HOSTILE, "code": HOSTILE}) for kind in kinds
    )


def hosts_report() -> Report:
    """The leak report on three hosts, of which the second one grows, with a container that was killed; the line to the second one
    was down for a while."""
    base = leak_report(requests_per_round=40)
    read = tuple(START + n * 10 * SECOND for n in range(7))
    facts = {"kernel": "6.1.0-31-amd64", "machine": "x86_64", "cpus": 4, "memory_bytes": 16 << 30}
    hosts = tuple(
        HostClock(RunHost(name, f"ssh://{name}", "web", True, name == "web-1", 0, version, facts), 7, 300_000, 1.2, read,
                  (300_000,) * 7, 4e-7)
        for name, version in (("web-1", "2.0"), ("web-2", "2.1"), ("web-3", "2.0"))
    )  # fmt: skip
    lives = {
        worker.info.key: ProcessKey(hosts[n % 3].host.name, worker.info.key.pid, worker.info.key.start_ticks)
        for n, worker in enumerate(base.timeline.workers)
    }
    workers = tuple(
        dataclasses.replace(w, info=dataclasses.replace(w.info, key=lives[w.info.key], pool=lives[w.info.key].host))
        for w in base.timeline.workers
    )
    series = {
        (metric, None if key is None else lives[key]): dataclasses.replace(
            each, process=None if key is None else lives[key]
        )
        for (metric, key), each in base.timeline.series.items()
    }
    about = {"container": "shop-web-2", "pool": "web-2", "host": "web-2", "within_ns": 300_000}
    events = (
        Event(START + 10 * SECOND, "host.down", None, "the line to web-2 broke: no answer", {"host": "web-2"}),
        Event(START + 12 * SECOND, "host.up", None, "the line to web-2 works again", {"host": "web-2"}),
        Event(START, "container.start", None, "the container runs", {**about, "role": "web", "measured": True, "generation": 1,
              "container_image": "shop:2.1", "memory_bytes": 256 * MIB}),
        Event(START + 30 * SECOND, "container.oom", None, "the kernel killed a process of the container", {**about, "kills": 1}),
    )  # fmt: skip
    siblings = Siblings(
        "web",
        (Sibling("web-1", "2.0", False, 0.0, (-2e4, 2e4), 40.0, least_seen=1.5e5),
         Sibling("web-2", "2.1", True, 9e5, (8e5, 1e6), 40.0),
         Sibling("web-3", "2.0", None, None, None)),
        ("web-2",),
        "Of the 3 hosts of role web, web-2 grows (web-2 by 878.9 KiB a round), web-1 does not; those that grow run version 2.1, "
        "those that do not run 2.0; web-3 could not be judged.",
    )  # fmt: skip
    timeline = dataclasses.replace(base.timeline, hosts=hosts, workers=workers, series=series, spans=(), events=events)
    first = base.findings[0]
    subject = dataclasses.replace(first.subject, host="web-2", pool="web-2")
    told = Evidence("siblings", 3.0, "hosts", siblings.text, Side.CONTEXT)
    finding = dataclasses.replace(first, subject=subject, evidence=(*first.evidence, told))
    return dataclasses.replace(
        base,
        timeline=timeline,
        findings=(finding,),
        workers=_worker_rows(timeline),
        siblings=(siblings,),
        ledger=(),
        profiles=(),
    )


def call_profile() -> Profile:
    """As a cachegrind parser gives it: an exact tree, time and clamped memory."""
    frames = (
        Frame("{main}", "/srv/shop/index.php", 1),
        Frame("Shop\\Kernel->handle", "/srv/shop/src/Kernel.php", 20),
        Frame("Shop\\Cart->add", "/srv/shop/src/Cart.php", 41),
        Frame("array_merge", "php:internal", None),
        Frame("Shop\\View->render", "/srv/shop/src/View.php", 12),
    )
    tree = (
        CallNode(0, -1, 1, (120_000, 4_000), (9_800_000, 1_210_000)),
        CallNode(1, 0, 1, (300_000, 6_000), (9_680_000, 1_206_000)),
        CallNode(2, 1, 3, (4_100_000, 200_000), (6_000_000, 1_000_000)),
        CallNode(3, 2, 60, (1_900_000, 800_000), (1_900_000, 800_000)),
        CallNode(4, 1, 1, (3_380_000, 200_000), (3_380_000, 200_000)),
    )
    return Profile(
        tool="xdebug",
        value_types=(TIME, GROWTH),
        frames=frames,
        functions=tuple(FunctionCost(n.frame, n.calls, n.self_values, n.inclusive_values) for n in tree),
        edges=(CallEdge(1, 2, 33, 3, (6_000_000, 1_000_000)),),
        tree=tree,
        totals={"time_ns": 9_800_000, "peak_bytes": 4_400_000},
        notes=("Memory is growth during the call; frees are not counted, so parts do not add up to a total.",),
    )


def curve_profile() -> Profile:
    """As a trace gives it: signed growth, the memory at every entry and exit, the stack at the peak, runs of the collector."""
    base = call_profile()
    tree = (
        CallNode(0, -1, 1, (120_000, 4_000), (9_800_000, 10_000)),
        CallNode(1, 0, 1, (300_000, 6_000), (9_680_000, 6_000)),
        CallNode(2, 1, 3, (4_100_000, 900_000), (6_000_000, 1_000_000)),
        CallNode(3, 2, 60, (1_900_000, 100_000), (1_900_000, 100_000)),
        CallNode(4, 1, 1, (3_380_000, -1_000_000), (3_380_000, -1_000_000)),
    )
    moments = ((0, 400_000, "entering {main}"), (1_000_000, 410_000, "entering Shop\\Cart->add"),
               (7_000_000, 1_410_000, "leaving Shop\\Cart->add"), (9_800_000, 410_000, "leaving {main}"))  # fmt: skip
    return dataclasses.replace(
        base,
        tool="xdebug_trace",
        tree=tree,
        curve=tuple(CurvePoint(*moment) for moment in moments),
        peak=Peak(7_000_000, 1_410_000, (0, 1, 2)),
        collections=(CollectorRun(10_000, 10_001, 1_500_000, 1_400_000, 900_000, "Shop\\Cart->add", 6_500_000),),
    )


def line_profile() -> Profile:
    """As memory_profiler gives it: lines of one function."""
    value = ValueType("memory_growth", "bytes", "memory gained while the line ran")
    source = (
        "def add(cart, item):",
        "    row = build(item)",
        "    _HISTORY.append(row)  # never emptied",
        "    return row",
    )
    return Profile(
        tool="memory_profiler",
        value_types=(value,),
        lines=tuple(
            LineCost("/srv/shop/cart.py", 40 + i, "shop.cart.add", h, (v,), s)
            for i, (h, v, s) in enumerate(zip((None, 100, 100, 100), (None, 40_960, 2_150_400, 0), source, strict=True))
        ),
        notes=("RSS moves in pages of 4 KiB: small numbers are noise.",),
    )


def allocation_profile() -> Profile:
    """As tracemalloc with several frames gives it: stacks without a count of calls, and lines."""
    value = ValueType("inuse_space", "bytes", "still held")
    return Profile(
        tool="tracemalloc",
        value_types=(value,),
        frames=(Frame("views.py:12", "/srv/shop/views.py", 12), Frame("store.py:9", "/srv/shop/store.py", 9)),
        functions=(FunctionCost(0, 0, (0,), (4096,)), FunctionCost(1, 0, (4096,), (4096,))),
        tree=(CallNode(0, -1, 0, (0,), (4096,)), CallNode(1, 0, 0, (4096,), (4096,))),
        lines=(LineCost("/srv/shop/store.py", 9, "", None, (4096,)),),
    )


def object_profile() -> Profile:
    """As survivors and back-reference chains give it: what was born in the request, is still alive, and what holds it."""
    return Profile(
        tool="growth",
        value_types=(
            ValueType("inuse_objects", "count", "objects born in this request and still alive"),
            ValueType("inuse_space", "bytes", "their size, without what they refer to"),
        ),
        objects=(
            ObjectGroup("shop.models.Order", (50, 2_800)),
            ObjectGroup("dict", (52, 14_560)),
            ObjectGroup("_io.BufferedReader", (1, None)),
            ObjectGroup("list", (3, 264)),
        ),
        holders=(
            HolderChain(
                "dict",
                50,
                (
                    Holder("module shop.history", "_ORDERS"),
                    Holder("list of 4 350", "[4300]"),
                    Holder("shop.models.Order", "__dict__"),
                    Holder("dict", ""),
                ),
            ),
            HolderChain(
                "shop.models.Order",
                2,
                (
                    Holder("frame of worker_loop in shop/queue.py", "pending"),
                    Holder("collections.deque", ""),
                    Holder("shop.models.Order", ""),
                ),
            ),
            HolderChain(
                "shop.models.Order",
                48,
                (
                    Holder("module shop.history", "_ORDERS"),
                    Holder("list of 4 350", "[4300]"),
                    Holder("shop.models.Order", ""),
                ),
            ),
            HolderChain("list", 1, ()),
        ),
        totals={"new_objects": 106, "peak_bytes": None},
        notes=("Objects that the garbage collector does not track, such as text and numbers, are not counted.",),
    )


def _leak() -> Finding:
    return Finding(
        cause=Cause.LEAK_OBJECTS,
        severity=Severity.CRITICAL,
        confidence=Confidence.HIGH,
        subject=Subject("", "python", "app", None, "POST /cart", Location("shop/cart.py", 42, "add")),
        summary="The workers keep 2.1 KiB of every POST /cart request and never give it back.",
        growth=Growth(2150.0, (1940.0, 2360.0), 38_600_000.0, 96.0),
        evidence=(
            Evidence(
                "process.memory.pss", 2150.0, "bytes/request", "PSS of every worker rises by the same step each round."
            ),
            Evidence("rounds", 8, "count", "8 of 8 rounds end higher than they began; no round gives anything back."),
            Evidence(
                "gc.collected", None, "count", "The garbage collector was not asked, so garbage cannot be ruled out."
            ),
        ),
        prescriptions=(
            Prescription(
                id="bound-the-list",
                action="Bound or empty the list that shop/cart.py:42 appends to",
                command=None,
                expected="growth per request falls below 96 B",
                risk="older entries are no longer available",
                rollback="revert the change",
                verify="harness run shop.yaml; expect: verdict is healthy",
            ),
            Prescription(
                id="recycle",
                action="Until then recycle workers",
                command="gunicorn shop.wsgi --max-requests 2000 --max-requests-jitter 200",
                expected="peak PSS stays below 60 MiB per worker",
                risk="a slow request at each restart",
                rollback="remove the two options",
                verify="worker lifetimes in the report",
            ),
        ),
        range_ns=(START + 12 * SECOND, START + 52 * SECOND),
    )


def _warmup() -> Finding:
    return Finding(
        cause=Cause.WARMUP,
        severity=Severity.INFO,
        confidence=Confidence.MEDIUM,
        subject=Subject(pool="app", endpoint="GET /"),
        summary="GET / filled a cache during warm-up and has been flat since.",
        growth=Growth(None, None, None, 96.0),
        evidence=(
            Evidence("process.memory.pss", 6.0 * MIB, "bytes", "6.0 MiB were added before round 1 and none after."),
        ),
        prescriptions=(),
        range_ns=(START + 2 * SECOND, START + 10 * SECOND),
    )


def _windows() -> Sequence[Window]:
    s = SECOND
    rounds = []
    for number in range(8):
        begin = START + (12 + 5 * number) * s
        rounds.append(Window(PhaseName.ROUNDS, number, None, begin, begin + 5 * s - s // 5, begin + 5 * s - s // 4))
    return (
        Window(PhaseName.LAUNCH, None, None, START, START + 2 * s, None),
        Window(PhaseName.WARMUP, None, None, START + 2 * s, START + 12 * s, START + 12 * s - s // 10),
        Window(PhaseName.ROUNDS, None, None, START + 12 * s, START + 52 * s, None),
        *rounds,
        Window(PhaseName.PROFILED, None, None, START + 53 * s, START + 60 * s, None),
        Window(PhaseName.COOLDOWN, None, None, START + 60 * s, None, None),
    )


def _info(key: ProcessKey, pool: str, comm: str, *, born: int, ended: int | None) -> ProcessInfo:
    last = START + 62 * SECOND if ended is None else ended
    return ProcessInfo(key, 4210, comm, f"/usr/bin/{comm} --flag", 1000, pool, born, born, last, ended)


def _lives(workers: int) -> list[ProcessInfo]:
    master = _info(ProcessKey("", 4210, 100), "app", "gunicorn", born=START + SECOND, ended=None)
    pool = [
        _info(ProcessKey("", 4211 + i, 110 + i), "app", "gunicorn", born=START + SECOND + SECOND // 2, ended=None)
        for i in range(workers)
    ]
    if workers > 1:
        pool[1] = dataclasses.replace(pool[1], ended_ns=START + 30 * SECOND, last_seen_ns=START + 30 * SECOND)
    late = _info(ProcessKey("", 4290, 999), "app", "gunicorn", born=START + 30 * SECOND + SECOND // 5, ended=None)
    proxy = _info(ProcessKey("", 4300, 90), "proxy", "nginx", born=START + SECOND // 2, ended=None)
    return [master, *pool, proxy, late]


def _series(rng: np.random.Generator, lives: Sequence[ProcessInfo]) -> Mapping[tuple[str, ProcessKey | None], Series]:
    interval = SECOND // 4
    ticks = START + np.arange(1, 62 * 4) * interval + rng.integers(0, SECOND // 500, 62 * 4 - 1)
    ticks = ticks[(ticks < START + 40 * SECOND) | (ticks > START + 43 * SECOND)]  # the sampler stalled for 3 s
    found: dict[tuple[str, ProcessKey | None], Series] = {}

    def put(metric: str, key: ProcessKey | None, t: np.ndarray, values: np.ndarray) -> None:
        found[metric, key] = Series(metric, key, t.astype(np.int64), values.astype(np.int64))

    for info in lives:
        alive = ticks[(ticks >= info.born_ns) & (ticks < (info.ended_ns or START + 62 * SECOND))]
        age_s = (alive - info.born_ns) / SECOND
        served = np.clip((alive - START) / SECOND - 12, 0, 40)
        grows = info.pool == "app" and info.key.pid != 4210
        anon = (14 + 6 * (1 - np.exp(-age_s / 3)) + (0.28 * served if grows else 0)) * MIB
        anon = (anon + rng.normal(0, 0.05 * MIB, alive.size)) // 4096 * 4096
        file = np.full(alive.size, 9 * MIB) // 4096 * 4096
        shmem = np.full(alive.size, MIB // 4)
        parts = {"pss_anon": anon, "pss_file": file, "pss_shmem": shmem}
        for name, values in {**parts, "pss": sum(parts.values()), "rss": anon + 2 * file, "uss": anon}.items():
            put(f"process.memory.{name}", info.key, alive, values)
        put("process.threads", info.key, alive, np.ones(alive.size))
        put("process.fds", info.key, alive, np.full(alive.size, 12))
    n = ticks.size
    wave = np.linspace(0, 1, n)
    put("system.meminfo.MemAvailable", None, ticks, (5200 - 120 * wave) * MIB)
    put("system.meminfo.Cached", None, ticks, (1800 + 10 * np.sin(wave * 9)) * MIB)
    put("system.meminfo.Slab", None, ticks, (240 + 2 * wave) * MIB)
    put("system.vmstat.pswpin", None, ticks, np.cumsum(rng.integers(0, 2, n)) + 1000)
    put("system.vmstat.pswpout", None, ticks, np.cumsum(rng.integers(0, 40, n) * (np.arange(n) % 60 < 8)))
    put("system.psi.memory.some_avg10", None, ticks, np.abs(np.sin(wave * 5)) * 350)
    put("system.psi.memory.full_avg10", None, ticks, np.abs(np.sin(wave * 5)) * 90)
    for order in range(11):
        put(
            f"system.buddyinfo.0.Normal.{order}",
            None,
            ticks,
            np.maximum(0, (4000 >> order) * (1 - 0.8 * wave * order / 10)),
        )
        put(f"system.buddyinfo.0.DMA32.{order}", None, ticks, np.full(n, 900 >> order))
    put("sampler.tick", None, ticks, rng.integers(2_000_000, 5_000_000, n))
    put("sampler.late", None, ticks, rng.integers(0, 900_000, n))
    put("sampler.missed", None, ticks, np.zeros(n))
    seconds = START + np.arange(2, 60) * SECOND
    put("load.in_flight", None, seconds, rng.integers(1, 9, seconds.size))
    put("load.lag", None, seconds, rng.integers(100_000, 3_000_000, seconds.size))
    return found


def _span_id(number: int) -> str:
    return f"{number:016x}"


def _spans(rng: np.random.Generator, lives: Sequence[ProcessInfo], per_round: int) -> tuple[JoinedSpan, ...]:
    endpoints = ("GET /", "GET /", "POST /cart", "GET /product/{id}")
    spans: list[JoinedSpan] = []

    def add(phase: PhaseName, number: int | None, t: float, index: int) -> None:
        start = START + int(t * SECOND)
        end = start + int(rng.lognormal(1.3, 0.6) * 1e6)
        candidates = [
            i
            for i in lives
            if i.pool == "app" and i.key.pid != 4210 and i.born_ns < start and end < (i.ended_ns or end + 1)
        ]
        worker = candidates[int(rng.integers(len(candidates)))].key if candidates else None
        endpoint = endpoints[index % 4]
        failed = index % 151 == 17
        span = Span(
            _span_id(len(spans)), endpoint, phase, number, 0 if number is not None else None, index % 8, None, start, end,
            503 if failed else 302 if endpoint.startswith("POST") else 200, None, 900, ("status",) if failed else (),
        )  # fmt: skip
        delta = 4096 if endpoint == "POST /cart" and rng.random() < 0.5 else 0
        record = None
        if worker is not None and index % 97 != 5:
            values = {"rss_start_bytes": 40 * MIB, "rss_end_bytes": 40 * MIB + delta}
            record = RequestRecord(
                "python-agent", worker.pid, span.span_id, index, start, end, None, endpoint, span.status, False, values
            )
        joined = worker if record is not None else None
        spans.append(JoinedSpan(span, joined, JoinMethod.SPAN_ID if joined else JoinMethod.NONE, record))

    for i, t in enumerate(np.linspace(2.2, 11.5, per_round)):
        add(PhaseName.WARMUP, 0, float(t), i)
    for number in range(8):
        for i, t in enumerate(np.linspace(12.1 + 5 * number, 16.4 + 5 * number, per_round)):
            add(PhaseName.ROUNDS, number, float(t), i)
    for i, t in enumerate((55.0, 57.0, 58.0)):
        add(PhaseName.PROFILED, None, t, 2 + 4 * i)
    return tuple(spans)


def _artifact(
    tool: str,
    endpoint: str,
    pid: int,
    at: float,
    span_id: str | None,
    *,
    status: ArtifactStatus = ArtifactStatus.COMPLETE,
    detail: str = "",
) -> Artifact:
    path = None if status is ArtifactStatus.MISSING else f"artifacts/{pid}.out"
    size = None if path is None else 4096
    return Artifact(tool, "any", path, status, span_id, endpoint, pid, START + int(at * SECOND), size, detail)


def call_file(request: int) -> Artifact:
    """The first profile once more, for other programs."""
    artifact = _artifact("xdebug", "POST /cart", 4211, 58, _span_id(request))
    return dataclasses.replace(
        artifact, path="artifacts/xdebug-cart.callgrind", attributes={"opens_with": "KCachegrind, callgrind_annotate"}
    )


def _worker_rows(timeline: Timeline) -> tuple[WorkerRow, ...]:
    rows = []
    for w in timeline.workers:
        points = timeline.series.get(("process.memory.pss", w.info.key))
        values = None if points is None else points.values
        sizes = (None,) * 3 if values is None else (int(values[0]), int(values[-1]), int(values.max()))
        rows.append(
            WorkerRow(w.info.key, w.info.pool, w.role, w.info.comm, w.info.born_ns, w.info.ended_ns, w.requests, *sizes)
        )
    return tuple(rows)


def _ledger(timeline: Timeline) -> tuple[LedgerRow, ...]:
    rows = []
    for window in timeline.windows:
        if window.round is None or window.floor_ns is None:
            continue
        for worker in timeline.workers:
            points = timeline.series[("process.memory.pss", worker.info.key)]
            index = int(np.searchsorted(points.t_ns, window.floor_ns))
            if index < points.t_ns.size and worker.role is Role.WORKER:
                pss = int(points.values[index])
                rows.append(
                    LedgerRow(
                        worker.info.key, "python", window.phase, window.round, window.floor_ns,
                        pss, None, None, 9 * MIB, None, None, None, None,
                    )
                )  # fmt: skip
    return tuple(rows)
