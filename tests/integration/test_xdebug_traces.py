"""The readers of traces and of the collector's reports against what the installed Xdebug writes and what PHP says of itself."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from processes import DEADLINE_S

from adapters.formats.cachegrind import read_cachegrind
from adapters.formats.xdebug_gcstats import read_gcstats
from adapters.formats.xdebug_trace import read_trace
from harness.model.profile import Profile

pytestmark = pytest.mark.integration

NOISE_BYTES = 512  # what Xdebug itself holds while a call runs; 30 to 120 for each call within another

SHOP = r"""<?php
namespace Shop;
require __DIR__ . '/rows of.php';
final class Cart
{
    private array $rows = [];
    public function fill(int $n): void { for ($i = 0; $i < $n; $i++) { $this->rows[] = \row($i); } }
    public function drop(): void { $this->rows = []; }
    public function __destruct() { \strlen('late'); }
}
function fib(int $n): int { return $n < 2 ? $n : fib($n - 1) + fib($n - 2); }
function spike(): int { $x = \str_repeat('t', 5000000); return \strlen($x); }
function numbers(): \Generator { $b = \str_repeat('g', 200000); foreach ([1, 2, 3] as $i) { yield \strlen($b) + $i; } }
function fails(int $n): int { if ($n === 0) { throw new \RuntimeException('no'); } return fails($n - 1); }
function held(string $when): void { global $held; $held[] = [$when, \memory_get_usage()]; }
$held = [];
held('begin');
$cart = new Cart();
$cart->fill(500);
held('filled');
fib(8);
spike();
held('after the spike');
foreach (numbers() as $n) { \strtolower('A'); }
try { fails(4); } catch (\RuntimeException $e) { }
$fiber = new \Fiber(function (): void { $z = \str_repeat('f', 400000); \Fiber::suspend(1); \strlen($z); fib(3); });
$fiber->start();
held('in between');
$fiber->resume();
\array_map(fn ($x) => $x * 2, [1, 2, 3]);
eval('function evaluated() { return \strlen("q"); } \evaluated();');
\register_shutdown_function(function (): void { fib(2); });
$cart->drop();
held('dropped');
echo \json_encode(['held' => $held, 'peak' => \memory_get_peak_usage()]);
"""
ROWS = "<?php\nfunction row(int $i): array { return ['id' => $i, 'name' => str_pad((string) $i, 100, 'x')]; }\n"


def run(directory: Path, code: str, mode: str, *options: str) -> tuple[str, int]:
    """What the script printed, and how it ended. Traces and profiles are in ``directory``."""
    (directory / "rows of.php").write_text(ROWS)
    (directory / "script.php").write_text(code)
    settings = {
        "zend_extension": "xdebug.so", "xdebug.mode": mode, "xdebug.start_with_request": "yes",
        "xdebug.output_dir": str(directory), "xdebug.use_compression": "0", "xdebug.trace_format": "1",
        "xdebug.trace_output_name": "trace", "xdebug.profiler_output_name": "profile",
        "xdebug.gc_stats_output_name": "collector", "xdebug.log_level": "0", "opcache.enable_cli": "0",
        "display_errors": "0", "log_errors": "0",
    }  # fmt: skip
    arguments = [part for name, value in settings.items() for part in ("-d", f"{name}={value}")]
    done = subprocess.run(
        ["php", *arguments, *options, str(directory / "script.php")],
        capture_output=True, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    return done.stdout, done.returncode


def costs(profile: Profile) -> dict[str, tuple[int, int, int]]:
    """Calls, inclusive time and inclusive memory by name."""
    return {
        profile.frames[f.frame].function: (f.calls, f.inclusive_values[0], f.inclusive_values[1])
        for f in profile.functions
    }


def names(profile: Profile, stack: tuple[int, ...]) -> list[str]:
    return [profile.frames[frame].function for frame in stack]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Profile, Profile, dict[str, object]]:
    """Trace, profile and PHP's own numbers of one run."""
    directory = tmp_path_factory.mktemp("shop")
    printed, status = run(directory, SHOP, "profile,trace")
    assert status == 0
    return read_trace(directory / "trace.xt"), read_cachegrind(directory / "profile"), json.loads(printed)


def test_a_trace_and_a_profile_of_one_run_agree(shop: tuple[Profile, Profile, dict[str, object]]) -> None:
    trace, profile, _ = shop
    assert trace.complete
    assert [note for note in trace.notes if "no end in the trace" in note or "could not be read" in note] == []
    traced, profiled = costs(trace), costs(profile)
    assert {name: cost[0] for name, cost in traced.items()} == {name: cost[0] for name, cost in profiled.items()}
    for name, (calls, time_ns, _) in traced.items():
        # Both start a call's clock at the same moment and the trace stops it later; it cuts every moment to whole microseconds.
        assert time_ns + 1000 * calls >= profiled[name][1], name
    assert traced["{main}"][1] <= (trace.totals["time_ns"] or 0)
    edges = {(trace.frames[e.caller].function, trace.frames[e.callee].function, e.line): e.calls for e in trace.edges}
    assert edges == {
        (profile.frames[e.caller].function, profile.frames[e.callee].function, e.line): e.calls for e in profile.edges
    }


def test_files_of_functions_are_those_of_the_profile_where_they_are_known(
    shop: tuple[Profile, Profile, dict[str, object]],
) -> None:
    trace, profile, _ = shop
    files = {frame.function: frame.file for frame in profile.frames}
    known = {frame.function: frame.file for frame in trace.frames if frame.file}
    assert {name: files[name] for name in known} == known
    assert {"row", r"Shop\Cart->fill", "php::str_repeat", "{main}"} <= known.keys()


def test_memory_is_what_php_says_at_the_same_moments(shop: tuple[Profile, Profile, dict[str, object]]) -> None:
    trace, _, said = shop
    held = said["held"]
    assert isinstance(held, list)
    traced = [point.bytes for point in trace.curve if point.label == "entering php::memory_get_usage"]
    assert len(traced) == len(held) == 5
    for (when, size), point in zip(held, traced, strict=True):
        assert abs(size - point) <= NOISE_BYTES, when
    by_name = costs(trace)
    filled, dropped = by_name[r"Shop\Cart->fill"][2], by_name[r"Shop\Cart->drop"][2]
    assert filled > 100_000
    assert abs(filled + dropped) < 5_000 + 500 * 120
    assert abs(by_name[r"Shop\spike"][2]) <= NOISE_BYTES


def test_the_peak_is_phps_own_with_the_stack_that_made_it(shop: tuple[Profile, Profile, dict[str, object]]) -> None:
    trace, profile, said = shop
    assert trace.peak is not None
    assert names(trace, trace.peak.stack) == ["{main}", r"Shop\spike", "php::str_repeat"]
    peak = said["peak"]
    assert isinstance(peak, int)
    assert 0 <= peak - trace.peak.bytes <= NOISE_BYTES
    assert profile.totals["peak_bytes"] == peak


SWELLS = """function swells(): void { ini_set('memory_limit', '8M'); $a = []; while (true) { $a[] = str_repeat('z', 100000); } }
swells();"""
SUSPENDED = "$open = new \\Fiber(function (): void { \\Fiber::suspend(1); }); $open->start();\n"


@pytest.mark.parametrize(
    ("last", "open_calls"),
    [
        ("function leaves(): void { exit(3); } leaves();", ()),
        ("function breaks(): void { nowhere(); } breaks();", ()),
        (SWELLS, ()),
        # with a fiber in between, PHP gives up and Xdebug writes no more returns
        (SUSPENDED + SWELLS, ("{main}", r"Shop\swells", "php::str_repeat")),
    ],
    ids=["exit", "uncaught", "memory_limit", "memory_limit and a fiber"],
)
def test_requests_that_end_badly_are_whole(tmp_path: Path, last: str, open_calls: tuple[str, ...]) -> None:
    code = SHOP.replace("echo \\json_encode", last + "\necho \\json_encode").replace("$cart->drop();", "")
    printed, status = run(tmp_path, code, "trace")
    assert (printed, status != 0) == ("", True)
    trace = read_trace(tmp_path / "trace.xt")
    assert trace.complete
    assert any("no end in the trace" in note for note in trace.notes) == bool(open_calls)
    by_name = costs(trace)
    assert by_name[r"Shop\fib"][0] == 67 + 5 + 3  # the shutdown function ran too
    assert set(open_calls) <= by_name.keys()
    growth = sum(node.inclusive_values[1] for node in trace.tree if node.parent < 0)
    assert sum(f.self_values[1] for f in trace.functions) == growth


def test_a_killed_request_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    _, status = run(
        tmp_path, SHOP.replace("echo \\json_encode", "posix_kill(getmypid(), 9); echo \\json_encode"), "trace"
    )
    assert status == -9
    trace = read_trace(tmp_path / "trace.xt")
    assert not trace.complete
    assert "the trace is incomplete: its end is missing" in trace.notes
    assert costs(trace)[r"Shop\spike"][0] == 1


def test_returned_values_and_assignments_change_nothing(tmp_path: Path) -> None:
    run(tmp_path, SHOP, "trace", "-d", "xdebug.collect_return=1", "-d", "xdebug.collect_assignments=1")
    trace = read_trace(tmp_path / "trace.xt")
    assert trace.complete
    assert costs(trace)[r"Shop\fib"][0] == 67 + 5 + 3


@pytest.mark.parametrize("trace_format", ["0", "2"])
def test_other_formats_are_refused(tmp_path: Path, trace_format: str) -> None:
    run(tmp_path, SHOP, "trace", "-d", f"xdebug.trace_format={trace_format}")
    with pytest.raises(ValueError, match="format"):
        read_trace(tmp_path / "trace.xt")


def test_the_collectors_runs_are_those_php_counted(tmp_path: Path) -> None:
    code = r"""<?php
    class Knot { public $other; }
    function knots(int $n): void { for ($i = 0; $i < $n; $i++) { $a = new Knot; $b = new Knot; $a->other = $b; $b->other = $a; } }
    class Sweep { static function now(int $n): void { knots($n); gc_collect_cycles(); } }
    knots(12000);
    Sweep::now(30);
    echo json_encode(gc_status());
    """
    printed, status = run(tmp_path, code, "gcstats")
    assert status == 0
    said = json.loads(printed)
    report = read_gcstats(tmp_path / "collector")
    assert report.complete
    assert report.totals["collected"] == said["collected"]
    assert report.totals["collected"] == sum(run.collected for run in report.collections) == 24_060
    assert sum(run.collected > 0 for run in report.collections) == said["runs"]
    assert {run.function for run in report.collections} <= {"knots", "gc_collect_cycles"}
    assert (report.totals["freed_bytes"] or 0) >= 24_060 * 56  # an object with one property
