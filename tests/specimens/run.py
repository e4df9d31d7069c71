"""Records specimens with the real command, one directory each, and leaves out those that are recorded already."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from processes import free_port, harness
from python_envs import environment

from harness.errors import EXIT_INTERNAL, EXIT_OK, RunError
from harness.model.run import RunStatus
from harness.store.reader import read_run

from .model import APPS, Specimen

LIMIT_S = 150.0  # a run is made to take 30 to 60 s on an idle machine; a busy one is given more
_RUN = "run"
_PORTS = ("@PORT@", "@PORT2@", "@PORT3@", "@PORT4@")


@dataclass(frozen=True, slots=True)
class Recorded:
    """What came of one: seconds of the whole run (0: it was recorded before) and, where there is no run, why."""

    name: str
    directory: Path
    seconds: float
    failure: str | None = None
    skipped: bool = False


def run_directory(keep: Path, name: str) -> Path:
    """Where the run of a specimen is kept."""
    return keep / name / _RUN


def is_recorded(specimen: Specimen, keep: Path) -> bool:
    """Whether a run of exactly this definition is there."""
    try:
        meta = json.loads((keep / specimen.name / "meta.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(meta.get("digest") == specimen.digest() and run_directory(keep, specimen.name).is_dir())


def record_all(
    specimens: Sequence[Specimen], keep: Path, jobs: int, tell: Callable[[str], None], *, again: bool = False
) -> list[Recorded]:
    """Record those that are not, ``jobs`` at a time; the truth is written beside each, also beside those that were there."""
    keep.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        return list(pool.map(lambda s: _one(s, keep, tell, again), specimens))


def _one(specimen: Specimen, keep: Path, tell: Callable[[str], None], again: bool) -> Recorded:
    directory = keep / specimen.name
    if is_recorded(specimen, keep) and not again:
        write_truth(specimen, directory)
        return Recorded(specimen.name, directory, 0.0)
    reason = missing(specimen)
    if reason is not None:
        tell(f"{specimen.name}: left out: {reason}")
        return Recorded(specimen.name, directory, 0.0, reason, skipped=True)
    tell(f"{specimen.name}: recording")
    recorded = record(specimen, directory)
    tell(f"{specimen.name}: {recorded.failure or 'recorded'} ({recorded.seconds:.0f} s)")
    return recorded


def missing(specimen: Specimen) -> str | None:
    """Why this machine cannot record it; None when it can."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin:/sbin"
    lacking = [program for program in specimen.programs if shutil.which(program, path=path) is None]
    if lacking:
        return f"there is no {' and no '.join(lacking)}"
    return "it needs root" if specimen.root and os.geteuid() != 0 else None


def record(specimen: Specimen, directory: Path) -> Recorded:
    """Run it; an older run in ``directory`` is replaced once there is a new one."""
    directory.mkdir(parents=True, exist_ok=True)
    packages = sorted(specimen.packages)
    env = {}
    if packages:
        programs = Path(environment(_base_python(), *packages)).parent
        env["PATH"] = f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin:/sbin"
    with tempfile.TemporaryDirectory(prefix=f"specimen-{specimen.name}-") as here:
        Path(here).chmod(0o755)  # php-fpm's workers are another user
        return _in(Path(here), specimen, directory, env)


def _in(here: Path, specimen: Specimen, directory: Path, env: dict[str, str]) -> Recorded:
    words = {name: str(free_port()) for name in _PORTS} | {"@APPS@": str(APPS), "@HERE@": str(here)}
    for name, text in specimen.files.items():
        path = here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(filled(text, words), encoding="utf-8")
    scenario = here / "scenario.yaml"
    scenario.write_text(
        yaml.safe_dump(filled({**specimen.scenario, "name": specimen.name}, words), sort_keys=False), encoding="utf-8"
    )
    began = time.monotonic()
    with harness("run", scenario, "--out", here / "runs", cwd=here, env=env) as run:
        try:
            code, out, err = run.finish(LIMIT_S)
            left = run.tree()
        except subprocess.TimeoutExpired:
            code, out, err, left = -1, "", f"not done after {LIMIT_S:.0f} s", {}
    seconds = time.monotonic() - began
    (directory / "log.txt").write_text(f"{err}\n{out}\n", encoding="utf-8")
    made = sorted((here / "runs").glob("*")) if (here / "runs").is_dir() else []
    failure = _failure(code, err, made, left)
    if failure is not None:
        return Recorded(specimen.name, directory, seconds, failure)
    target = directory / _RUN
    if target.exists():
        shutil.rmtree(target)
    shutil.move(made[0], target)
    shutil.copy(scenario, directory / "scenario.yaml")
    meta = {"digest": specimen.digest(), "seconds": round(seconds, 1), "exit": code}
    (directory / "meta.json").write_text(json.dumps(meta) + "\n", encoding="utf-8")
    write_truth(specimen, directory)
    return Recorded(specimen.name, directory, seconds)


def _failure(code: int, err: str, made: Sequence[Path], left: Mapping[int, str]) -> str | None:
    """Why there is no usable run. One that was recorded to its end is usable, even if its report failed: that is judged later."""
    if code not in (EXIT_OK, EXIT_INTERNAL) or not _complete(made):
        told = [line for line in err.strip().splitlines() if line.strip()]
        return f"exit code {code}: {told[-1] if told else 'nothing was said'}"
    return f"processes were left: {left}" if left else None


def _complete(made: Sequence[Path]) -> bool:
    try:
        return len(made) == 1 and read_run(made[0]).manifest.status is RunStatus.COMPLETE
    except RunError:
        return False


def write_truth(specimen: Specimen, directory: Path) -> None:
    """``truth.json``: so that a recorded run can be judged by anybody, also by eye."""
    truth = asdict(specimen.truth)
    place = specimen.truth.place
    if place is not None:
        truth["place"]["lines"] = list(place.lines())
    text = json.dumps({"name": specimen.name, "group": specimen.group, "truth": truth}, indent=1, default=dict)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "truth.json").write_text(text + "\n", encoding="utf-8")


def filled(value: Any, words: Mapping[str, str]) -> Any:
    """All texts in ``value`` with the placeholders replaced."""
    if isinstance(value, str):
        for word, text in words.items():
            value = value.replace(word, text)
        return value
    if isinstance(value, Mapping):
        return {k: filled(v, words) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [filled(v, words) for v in value]
    return value


def _base_python() -> str:
    """The interpreter that the environment of these tests was made from."""
    return os.path.realpath(sys.executable)
