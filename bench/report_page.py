"""Measure the HTML report in Chromium and Firefox: bytes, time to write it, to be ready, to redraw, memory, the call tree.

python bench/report_page.py          1e6, 5e6 and 2e7 samples with 1e5 requests, and 500 processes, in both browsers: 2 minutes
python bench/report_page.py 1e6      one of them

Needs `npm --prefix tests/browser ci --ignore-scripts`, chromium and firefox-esr. Bars: docs/report.md.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from big_reports import big_report

from harness.report.exporters.html import export

ROOT = Path(__file__).resolve().parents[1]
MIB = 1 << 20
SIZES = {
    "1e6": {"samples": 1_000_000, "requests": 100_000, "processes": 10, "seconds": 1000},
    "5e6": {"samples": 5_000_000, "requests": 100_000, "processes": 20, "seconds": 4 * 3600},
    "2e7": {"samples": 20_000_000, "requests": 100_000, "processes": 50, "seconds": 48 * 3600},
    "500": {"samples": 200_000, "requests": 20_000, "processes": 500, "seconds": 600},
}
READY_S = {"1e6": 1.5, "5e6": 2.5, "2e7": 4.0, "500": 2.5}
HEAP_MIB = {"1e6": 100, "5e6": 350, "2e7": 350, "500": 350}
REDRAW = """(() => {
  const t = __app.timeline, v = t.view, whole = v.last - v.first, took = [];
  for (let i = 0; i < 90; i++) {
    const length = whole * 0.9 ** (i % 30), lo = v.first + (whole - length) * (i * 37 % 100) / 100;
    const before = performance.now();
    v.show(lo, lo + length);
    t.draw();
    took.push(performance.now() - before);
  }
  v.reset();
  return took;
})()"""
SETTLE = """(() => {
  const v = __app.timeline.view;
  v.zoom(0.5);
  const before = performance.now();
  v.settle();
  return performance.now() - before;
})()"""
FRAME = "await new Promise((done) => requestAnimationFrame(done));"
PASSES = 3  # the one that other work on the machine disturbed least counts
TREE = f"""(async () => {{
  const t = performance.now();
  await __app.profiles.open(0, "Call tree");
  {FRAME}
  const open = performance.now() - t, area = document.querySelector(".icicle");
  let least = Infinity;
  for (let pass = 0; pass < {PASSES}; pass++) {{
    const took = [];
    for (const key of ["ArrowDown", "Enter", "ArrowDown", "Enter", "Escape"]) {{
      const begin = performance.now();
      area.dispatchEvent(new KeyboardEvent("keydown", {{ key }}));
      {FRAME}
      took.push(performance.now() - begin);
    }}
    least = Math.min(least, Math.max(...took));
  }}
  return [open, least];
}})()"""


def drive(browser: str, program: str, page: Path) -> dict[str, Any]:
    """What the driver says about one page in one browser."""
    redraw: dict[str, object] = {"evaluate": REDRAW}
    steps: list[dict[str, object]] = [*[redraw] * PASSES, {"evaluate": SETTLE}, {"evaluate": TREE}]
    if browser == "chrome":
        steps.append({"heap": True})
    told = {"browser": browser, "program": program, "url": page.as_uri(), "steps": steps, "width": 1600}
    command = ["node", str(ROOT / "tests/browser/drive.mjs")]
    done = subprocess.run(command, input=json.dumps(told), capture_output=True, text=True, timeout=180, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def measure(name: str) -> None:
    """One size: written once, opened in each browser."""
    report = big_report(**SIZES[name])
    before = time.perf_counter()
    page = export(report)
    print(f"{name}: written in {time.perf_counter() - before:.2f} s, {len(page) / 1e6:.2f} MB")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "report.html"
        path.write_bytes(page)
        for browser, program in (("chrome", "chromium"), ("firefox", "firefox-esr")):
            where = shutil.which(program)
            if where is None:
                raise SystemExit(f"{program} is not installed: apt install {program}")
            found = drive(browser, where, path)
            say(name, found)


def say(name: str, found: dict[str, Any]) -> None:
    """One line a browser, with the bars it misses."""
    passes, (settle, (opened, zoomed), *heap) = found["results"][:PASSES], found["results"][PASSES:]
    redraw = min(passes, key=statistics.median)
    ready = found["ready"]["page_ms"] / 1000
    took = sorted(redraw)
    median, p95 = statistics.median(took), took[int(0.95 * len(took))]
    bars = [
        (ready, READY_S[name], "ready"),
        (median, 8, "redraw"),
        (p95, 30, "redraw p95"),
        (opened, 300, "tree"),
        (zoomed, 60, "tree zoom"),
    ]
    line = f"  {found['version']}: ready {ready:.2f} s, redraw {median:.1f} ms (p95 {p95:.1f}), tables {settle:.0f} ms"
    line += f", call tree {opened:.0f} ms, zoom {zoomed:.0f} ms"
    if heap:
        size = (heap[0]["used"] + heap[0]["buffers"]) / MIB
        bars.append((size, HEAP_MIB[name], "memory"))
        line += f", memory {size:.0f} MiB"
    missed = [what for value, bar, what in bars if value > bar]
    print(line + (f"  MISSED: {', '.join(missed)}" if missed else ""))


if __name__ == "__main__":
    for wanted in sys.argv[1:] or SIZES:
        measure(wanted)
