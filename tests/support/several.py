"""Several applications in one simulated run."""

from __future__ import annotations

from dataclasses import replace

from timelines import App, simulate

from harness.model.run import RawRun


def beside(first: App, **others: App) -> RawRun:
    """The runs of several applications as one, each a pool of its own name; the first is ``app``."""
    run = simulate(first)
    floors = sorted({t for s in run.series.values() for t in s.t_ns.tolist()})
    processes, series = list(run.processes), dict(run.series)
    for number, (name, app) in enumerate(others.items(), 1):
        other = simulate(app)  # it runs beside it under other pids, with the same clock
        moved = {p.key: replace(p.key, pid=p.key.pid + 1000 * number) for p in other.processes}
        processes += [replace(p, key=moved[p.key], pool=name) for p in other.processes]
        for (metric, key), old in other.series.items():
            if key is not None:
                times = type(old.t_ns)(old.t_ns.shape, dtype=old.t_ns.dtype)
                times[:] = floors[: times.size]
                series[metric, moved[key]] = replace(old, process=moved[key], t_ns=times)
    return replace(run, processes=processes, series=series)
