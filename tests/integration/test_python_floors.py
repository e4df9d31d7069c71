"""Floors: agents in real servers say how their allocators stand, on every CPython, as it is seen from outside."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from obedient import Target
from processes import free_port, harness, wait_for
from python_envs import environment
from python_service import DEADLINE_S, PROGRAMS, Service, Services, prepared, record_lines
from pythons import pythons

from adapters.python.adapter import ADAPTER
from adapters.python.agent.allocators import Allocators
from harness.model.event import PROBE_COLLECT, PROBE_COLLECT_AGAIN, PROBE_TRIM
from harness.model.span import BootRecord, FloorRecord, PhaseName
from harness.plugins import orders
from harness.plugins.records import parse_record
from harness.plugins.spec import AdapterContext, FloorDepth
from harness.sampling.outside.glibc import reader as glibc_reader
from harness.sampling.outside.process import Process
from harness.sampling.outside.python import reader as python_reader
from harness.store.reader import read_run

pytestmark = pytest.mark.integration

every_python = pytest.mark.parametrize("python", pythons().values(), ids=pythons().keys())
OWN_BLOCKS = 150  # of Python's allocator that answering itself holds
OWN_BYTES = 16_384  # of malloc's, for the text that malloc_info writes
LIBRARIES = Path(f"/usr/lib/{os.uname().machine}-linux-gnu")


def by_minor(minor: str) -> str:
    """A Python of this minor version, our own where there is none."""
    return next((p for version, p in pythons().items() if version.startswith(minor + ".")), sys.executable)


def floors(context: AdapterContext, number: int) -> dict[int, FloorRecord]:
    records = [parse_record(line) for line in record_lines(context)]
    return {r.pid: r for r in records if isinstance(r, FloorRecord) and r.number == number}


def ask(context: AdapterContext, depth: FloorDepth, pids: Sequence[int]) -> dict[int, FloorRecord]:
    """The answers of all these processes. A signal that comes just before a blocking call waits for its end: it is repeated."""
    number = time.monotonic_ns()

    def answered() -> bool:
        left = [pid for pid in pids if pid not in floors(context, number)]
        assert sorted(ADAPTER.ask_floor(context, number, depth, left)) == sorted(left)
        return not left

    wait_for(answered, f"answers of {pids}", DEADLINE_S)
    return floors(context, number)


def announced(service: Service, count: int) -> list[int]:
    """The living processes with the agent, once there are so many."""

    def living() -> list[int]:
        pids = {r.pid for r in service.records() if isinstance(r, BootRecord)}
        return [pid for pid in sorted(pids) if Path(f"/proc/{pid}/cmdline").exists() and cmdline(pid)]

    wait_for(lambda: len(living()) >= count, f"{count} processes", DEADLINE_S)
    return living()


def cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def number(record: FloorRecord, name: str) -> int:
    found = record.values[name]
    assert found is not None, name
    return found


@contextmanager
def obedient(
    directory: Path, python: str = sys.executable, options: Mapping[str, object] | None = None, **env: str
) -> Iterator[tuple[AdapterContext, Target]]:
    """The program of known states, launched with the agent."""
    context, environ = prepared(directory, [python], options, **env)
    command = [python, str(PROGRAMS / "python_floor_states.py")]
    with subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            target = Target(process)
            assert target.hear() == "ready"
            yield context, target
        finally:
            process.kill()


def outside(pid: int) -> dict[str, int]:
    """What the readers from outside say of pymalloc and glibc."""
    process = Process("/proc", pid)
    try:
        python = python_reader.attach(process)
        assert python is not None
        glibc = glibc_reader.attach(process)
        return {**python.counters(), **python.walk(), **glibc.counters(), **glibc.walk()}
    finally:
        process.close()


# --- two views of one thing ------------------------------------------------------------------------------------------


@every_python
def test_inside_and_outside_agree_to_the_byte_at_rest(tmp_path: Path, python: str) -> None:
    """The same parser that the agent uses, at a moment when nothing moves."""
    with obedient(tmp_path, python) as (_, target):
        target.do("fill")
        with target.at_rest() as said:
            seen = outside(target.pid)
        inside: dict[str, dict[str, int]] = json.loads(said[0])
    pymalloc = inside["pymalloc"]
    for name in ("held", "live"):
        assert seen[f"runtime.python.pymalloc.{name}"] == pymalloc[f"pymalloc.{name}_bytes"]
    for name in ("blocks", "free_pools"):
        assert seen[f"runtime.python.pymalloc.{name}"] == pymalloc[f"pymalloc.{name}"]
    assert seen["runtime.python.arenas"] == pymalloc["arenas"]
    assert pymalloc["pymalloc.blocks"] > 20_000
    for name, value in inside["glibc"].items():
        assert seen[f"runtime.glibc.{name}"] == value


@every_python
def test_an_answer_agrees_with_a_look_from_outside(services: Services, python: str) -> None:
    """But for what answering itself holds at that moment."""
    service = services.wsgiref(python)
    service.get("/keep")
    [pid] = announced(service, 1)
    first = ask(service.context, FloorDepth.LOOK, [pid])[pid]
    assert number(first, "loaded_bytes") < 4 << 20
    record = ask(service.context, FloorDepth.LOOK, [pid])[pid]
    seen = outside(pid)
    assert record.missing == {}
    assert "loaded_bytes" not in record.values
    for name, own in {
        "pymalloc.held_bytes": 0,
        "pymalloc.live_bytes": 64 * OWN_BLOCKS,
        "pymalloc.blocks": OWN_BLOCKS,
        "pymalloc.free_pools": 4,
        "arenas": 0,
        "threads": 0,
        "gc.collections2": 0,
        "gc.collected2": 0,
        "gc.uncollectable": 0,
        "gc.enabled": 0,
    }.items():
        theirs = seen["runtime.python." + name.removesuffix("_bytes")]
        assert abs(theirs - number(record, name)) <= own, name
    for name in ("system", "used", "mmapped", "arenas"):
        mine = number(record, f"glibc.{name}" + ("" if name == "arenas" else "_bytes"))
        assert abs(seen[f"runtime.glibc.{name}"] - mine) <= (0 if name == "arenas" else OWN_BYTES), name
    assert number(record, "glibc.main_system_bytes") == number(record, "glibc.system_bytes")


# --- servers ---------------------------------------------------------------------------------------------------------

GUNICORN = ("gevent", "gunicorn", "packaging", "uvicorn")  # gunicorn's worker for gevent needs it and does not say so


def gunicorn(worker: str) -> tuple[str, ...]:
    return ("-m", "gunicorn", "python_wsgi_app:application", "-b", "127.0.0.1:0", "-w", "2", "-k", worker,
            "--no-control-socket")  # fmt: skip


@pytest.mark.parametrize(
    ("words", "processes"),
    [
        (gunicorn("sync"), 3),
        ((*gunicorn("gthread"), "--threads", "3"), 3),
        (gunicorn("gevent"), 3),
        (("-m", "uvicorn", "python_asgi_app:application", "--port", "0"), 1),
    ],
    ids=["sync", "gthread", "gevent", "uvicorn"],
)
def test_every_process_of_a_server_answers_and_serves_on(
    services: Services, words: tuple[str, ...], processes: int
) -> None:
    service = services.serve([environment(by_minor("3.12"), *GUNICORN), *words])
    pids = announced(service, processes)
    assert len(pids) == processes
    for depth in (FloorDepth.LOOK, FloorDepth.COLLECT, FloorDepth.LOOK, FloorDepth.TRIM):
        answers = ask(service.context, depth, pids)
        for record in answers.values():
            assert record.missing == {}
            assert number(record, "pymalloc.live_bytes") > 1 << 20
            assert ("collect.objects" in record.values) == (depth is not FloorDepth.LOOK)
            assert ("trim.released" in record.values) == (depth is FloorDepth.TRIM)
        assert service.get("/").status_code == 200
    assert service.process.poll() is None


def test_a_uwsgi_worker_answers_once_it_runs_python_again(services: Services) -> None:
    """It waits for requests in C, where no signal handler of Python's runs."""
    assert shutil.which("uwsgi"), "these tests need uWSGI: apt install uwsgi-core uwsgi-plugin-python3 python3-venv"
    home = Path(environment("/usr/bin/python3", "flask")).parents[1]
    port = free_port()
    words = ["uwsgi", "--plugin", "python3", "--http-socket", f"127.0.0.1:{port}", "--home", str(home), "--need-app",
             "--module", "python_wsgi_app:application"]  # fmt: skip
    service = services.serve(words, port=port)
    pids = announced(service, 1)
    at = time.monotonic_ns()
    told = ADAPTER.ask_floor(service.context, at, FloorDepth.LOOK, pids)
    assert set(told) == set(pids)
    service.get("/")
    wait_for(lambda: floors(service.context, at).keys() == set(pids), "the answer", DEADLINE_S)


# --- who is left alone -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["reset", "ignore"])
def test_a_process_that_took_the_signal_for_itself_is_not_asked(tmp_path: Path, word: str) -> None:
    with obedient(tmp_path) as (context, target):
        ask(context, FloorDepth.LOOK, [target.pid])
        target.do(word)
        assert ADAPTER.ask_floor(context, time.monotonic_ns(), FloorDepth.LOOK, [target.pid]) == []
        target.do("fill")


def test_another_program_in_the_same_process_is_never_signalled(tmp_path: Path) -> None:
    """The signal would end it."""
    with obedient(tmp_path) as (context, target):
        target.do("exec")
        wait_for(lambda: b"cat" in cmdline(target.pid).split(b"\0")[0], "cat")
        assert ADAPTER.ask_floor(context, time.monotonic_ns(), FloorDepth.TRIM, [target.pid]) == []
        target.say("still here")
        assert target.hear() == "still here"


def test_a_process_that_is_gone_and_pids_of_nobody_are_no_trouble(tmp_path: Path) -> None:
    with obedient(tmp_path) as (context, target):
        target.process.kill()
        target.process.wait()
        assert ADAPTER.ask_floor(context, time.monotonic_ns(), FloorDepth.LOOK, [target.pid, 2**22 + 1]) == []


def test_a_floor_that_comes_too_late_is_not_taken(tmp_path: Path) -> None:
    """The process was stopped all the while; a collection would fall into whatever it does next."""
    with obedient(tmp_path) as (context, target):
        late = time.monotonic_ns()
        path = context.work_dir / "python" / "orders" / "order"
        assert orders.post(path, late, "floor", f"collect {late - 1}", [target.pid]) == [target.pid]
        ask(context, FloorDepth.LOOK, [target.pid])
        assert floors(context, late) == {}


def test_a_measured_request_is_not_disturbed(services: Services) -> None:
    service = services.gunicorn("python_wsgi_app:application", "-w", "1", "-k", "gthread", "--threads", "4")
    [worker] = [pid for pid in announced(service, 2) if pid != service.process.pid]
    with ThreadPoolExecutor(1) as pool:
        measured = pool.submit(service.measure, "tracemalloc", "/hold", 0)
        wait_for((services.directory / "held").exists, "the measured request")
        record = ask(service.context, FloorDepth.TRIM, [worker])[worker]
        assert service.get("/release").text == "released"
        measured.result()
    assert record.values == {}
    assert list(record.missing) == ["floor.measuring"]
    assert ask(service.context, FloorDepth.TRIM, [worker])[worker].missing == {}


# --- other allocators ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("library", "name", "package"),
    [
        ("libjemalloc.so.2", "jemalloc.allocated_bytes", "libjemalloc2"),
        ("libtcmalloc_minimal.so.4", "tcmalloc.allocated_bytes", "libtcmalloc-minimal4"),
        ("libmimalloc.so.2", "mimalloc.committed_peak_bytes", "libmimalloc2.0"),
    ],
)
def test_another_malloc_is_asked_instead_of_glibcs(tmp_path: Path, library: str, name: str, package: str) -> None:
    assert (LIBRARIES / library).exists(), f"these tests need {package}: apt install {package}"
    with obedient(tmp_path, LD_PRELOAD=str(LIBRARIES / library)) as (context, target):
        before = ask(context, FloorDepth.LOOK, [target.pid])[target.pid]
        target.do("fragment")
        after = ask(context, FloorDepth.TRIM, [target.pid])[target.pid]
    assert not [n for n in after.values if n.startswith("glibc.")], "glibc's counters are of nothing here"
    assert after.missing == {"trim": "only glibc's malloc can be asked to give free memory back"}
    grown = number(after, name) - number(before, name)
    assert grown > 2_000_000, "one in twenty of 20000 blocks of 3 kB stays"
    assert number(after, "pymalloc.live_bytes") > 1 << 20


def test_python_without_its_own_allocator(tmp_path: Path) -> None:
    with obedient(tmp_path, PYTHONMALLOC="malloc") as (context, target):
        record = ask(context, FloorDepth.COLLECT, [target.pid])[target.pid]
    assert list(record.missing) == ["pymalloc"]
    assert "PYTHONMALLOC" in record.missing["pymalloc"]
    assert record.values["blocks"] is None, "the interpreter counts 0, and means that it does not count"
    assert record.values["collect.blocks_after"] is None
    assert number(record, "glibc.used_bytes") > 1 << 20


def test_musls_c_library_lacks_what_is_asked_for_and_that_is_said() -> None:
    """Its functions, in a process of glibc's: no Python for musl is here. Only malloc's part is safe to try."""
    library = next(iter(Path("/lib").glob("ld-musl-*.so.1")), None)
    assert library is not None, "these tests need musl: apt install musl-tools"
    program = (
        "import ctypes, sys; from adapters.python.agent.allocators import Allocators; "
        f"found = Allocators(ctypes.CDLL({str(library)!r})); values, missing = {{}}, {{}}; found._ask_malloc(values, missing); "
        "print(values, sorted(missing), found.can_trim(), bool(found._find('open_memstream', None)))"
    )
    checkout = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=checkout, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "{} ['malloc'] False True", done.stderr
    assert Allocators().can_trim()


# --- probes ----------------------------------------------------------------------------------------------------------


def test_a_trim_gives_a_fragmented_heap_back(tmp_path: Path) -> None:
    with obedient(tmp_path) as (context, target):
        target.do("fragment")
        looked = ask(context, FloorDepth.LOOK, [target.pid])[target.pid]
        record = ask(context, FloorDepth.TRIM, [target.pid])[target.pid]
        seen = ask(context, FloorDepth.LOOK, [target.pid])[target.pid]
    assert number(looked, "glibc.free_bytes") > 40_000_000
    returned = number(record, "trim.rss_before_bytes") - number(record, "trim.rss_after_bytes")
    assert returned > 30_000_000
    assert number(record, "trim.released") == 1
    assert number(seen, "memory.rss_bytes") < number(looked, "memory.rss_bytes") - 30_000_000


@every_python
def test_a_collection_frees_what_only_cycles_keep(tmp_path: Path, python: str) -> None:
    with obedient(tmp_path, python) as (context, target):
        target.do("cycles")
        record = ask(context, FloorDepth.COLLECT, [target.pid])[target.pid]
    assert 20_000 <= number(record, "collect.objects") < 21_000
    freed = number(record, "collect.blocks_before") - number(record, "collect.blocks_after")
    assert 20_000 <= freed < 45_000


def collected_privately(services: Services, **options: object) -> tuple[Service, int, FloorRecord]:
    """The worker of a preloaded application, and its floor with a collection."""
    service = services.gunicorn("python_preloaded_app:application", "--preload", "-w", "1", options=options)
    [worker] = [pid for pid in announced(service, 2) if pid != service.process.pid]
    service.get("/")
    return service, worker, ask(service.context, FloorDepth.COLLECT, [worker])[worker]


def test_freezing_before_the_fork_keeps_a_workers_pages_shared(services: Services) -> None:
    plain, _, without = collected_privately(services)
    frozen, worker, experiment = collected_privately(services, gc_freeze=True)
    assert int(plain.get("/").text) == 0 or sys.version_info[:2] == (3, 12)
    assert int(frozen.get("/").text) > 150_000
    assert number(without, "fork.blocks") > 300_000
    before = number(without, "memory.private_dirty_bytes")
    unshared = number(without, "collect.private_dirty_after_bytes") - before
    kept = number(experiment, "collect.private_dirty_after_bytes") - number(experiment, "memory.private_dirty_bytes")
    assert unshared > 20_000_000, "a collection writes to every object"
    assert kept < unshared / 4
    assert number(experiment, "gc.frozen_objects") > 150_000
    frozen.measure("tracemalloc", "/")
    again = ask(frozen.context, FloorDepth.LOOK, [worker])[worker]
    assert number(again, "gc.frozen_objects") > 150_000, "a tool thawed what it had not frozen"


# --- whole runs ------------------------------------------------------------------------------------------------------


def recorded(directory: Path, **scenario: Any) -> tuple[Path, dict[str, Any], str]:
    """(run directory, JSON report, what was said) of a scenario that ends well."""
    data = {"name": "floors", "sample": {"interval": "200ms"}, "profile": "none", **scenario}
    (directory / "scenario.yaml").write_text(json.dumps(data))
    with harness("run", "scenario.yaml", cwd=directory) as run:
        code, out, err = run.finish()
        run.assert_nothing_left()
    assert code == 0, err
    found = Path(out.splitlines()[-1])
    report: dict[str, Any] = json.loads((found / "report.json").read_text())
    schema = json.loads(files("harness.report").joinpath("report.schema.json").read_text())
    jsonschema.validate(report, schema, jsonschema.Draft202012Validator)
    return found, report, err


def garbage(floors: str) -> dict[str, Any]:
    port = free_port()
    return {
        "target": {
            "runtime": "python",
            "launch": f"{sys.executable} {PROGRAMS / 'python_garbage_app.py'} {port}",
            "ready": f"http://127.0.0.1:{port}/",
            "python": {"floors": floors},
        },
        "requests": [{"name": "make", "get": "/make"}, {"name": "home", "get": "/"}],
        "load": {"rounds": 7, "requests_per_round": 120, "blocks": 5, "warmup_rounds": 1, "settle": "20ms"},
    }


def test_growth_that_a_collection_frees_is_garbage_and_no_leak(tmp_path: Path) -> None:
    directory, report, _ = recorded(tmp_path, **garbage("look"))
    run = read_run(directory)
    assert [w.phase for w in run.windows if w.round is None] == [
        PhaseName.PREFLIGHT,
        PhaseName.LAUNCH,
        PhaseName.PROBES,
        PhaseName.COOLDOWN,
    ]
    asked = (PhaseName.WARMUP, PhaseName.ROUNDS)  # after the stretch without traffic nobody is
    rounds = [w.floor_ns for w in run.windows if w.phase in asked and w.block is None]
    live = {name: series for (name, _), series in run.series.items() if name.endswith("python.pymalloc.live")}
    inside, beside = live["agent.python.pymalloc.live"], live["runtime.python.pymalloc.live"]
    assert set(rounds) <= set(inside.t_ns.tolist()) & set(beside.t_ns.tolist())
    [probe] = [e for e in run.events if e.kind == PROBE_COLLECT]
    assert isinstance(probe.attributes["blocks"], int)
    assert probe.attributes["blocks"] > 7 * 60 * 400
    assert [e for e in run.events if e.kind == PROBE_TRIM]
    assert not [m for m in run.missing if m.signal.startswith("agent.")]
    costs = run.manifest.costs
    assert costs["agent_floors_answered"] == costs["agent_floors_asked"] == 1 + 8 + 3
    timed_us, most_us = costs["agent_us_per_request"], costs["agent_us_per_request_p95"]
    assert timed_us is not None
    assert most_us is not None
    assert 0 < timed_us <= most_us
    assert timed_us < 10_000
    [again] = [e for e in run.events if e.kind == PROBE_COLLECT_AGAIN]
    assert isinstance(again.attributes["blocks"], int)
    assert 60 * 400 < again.attributes["blocks"] < probe.attributes["blocks"] / 4, (
        "of one round, where the first had all"
    )
    assert report["verdict"]["cause"] == "gc-delay"
    assert not [f for f in report["findings"] if f["cause"].startswith("leak")]
    assert "experiment" not in json.dumps(report["coverage"])


def test_floors_that_collect_leave_no_growth_and_an_experiment_is_in_the_report(tmp_path: Path) -> None:
    scenario = garbage("collect")
    scenario["target"]["python"]["gc_freeze"] = True
    _, report, _ = recorded(tmp_path, **scenario)
    assert not [f for f in report["findings"] if f["cause"].startswith("leak")]
    assert "gc.freeze" in json.dumps(report["coverage"])


def test_the_signal_does_not_end_what_has_it_by_default() -> None:
    """What all of this rests on: the check of /proc/PID/status before a signal is sent."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        assert not orders.tell(process.pid)
        assert process.poll() is None
        process.send_signal(orders.NUMBER)
        assert process.wait(DEADLINE_S) == -orders.NUMBER
