"""Read prescription rules: those of the package, those kept in a run, and directories that users name."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from harness.diagnose.prescribe.rule import Rule, merged, repeated, rules_in
from harness.errors import ScenarioError, UsageError
from harness.model.event import Missing
from harness.model.run import RunManifest
from harness.scenario.source import MAX_BYTES, parse_source

KEPT = "prescriptions"  # in a run's directory: the users' rules it was made with
_MOST_FILES = 100
_SUFFIXES = (".yaml", ".yml")


def builtin_rules() -> tuple[Rule, ...]:
    """The rules of the package."""
    rules: list[Rule] = []
    for entry in sorted(files("harness").joinpath("prescriptions").iterdir(), key=lambda e: e.name):
        if entry.name.endswith(_SUFFIXES):
            found, problems = rules_in(parse_source(entry.read_text(encoding="utf-8"), Path(entry.name)))
            if problems:
                raise AssertionError("\n".join(problems))
            rules += found
    return tuple(rules)


def rules_for(run_dir: Path, directories: Sequence[Path] = ()) -> tuple[Rule, ...]:
    """All rules that hold for a run, sorted; later ones replace earlier ones with the same id: the package's, those kept in the
    run, then those of ``directories``. Raises UsageError with every mistake in them."""
    kept = sorted(p for p in (run_dir / KEPT).glob("*") if p.is_dir()) if (run_dir / KEPT).is_dir() else []
    return merged([builtin_rules(), *(read_directory(d) for d in (*kept, *directories))])


def read_directory(directory: Path) -> tuple[Rule, ...]:
    """The rules in a directory's files. Raises UsageError with every mistake, each as ``file:line: text``."""
    rules, problems = _read(directory)
    if problems:
        raise UsageError("\n".join(problems), hint="docs/prescriptions.md says what a rule is")
    return rules


def problems_of(directory: Path) -> tuple[str, ...]:
    """What is wrong with the rules in a directory, each as ``file:line: text``."""
    return _read(directory)[1]


def keep(run_dir: Path, directories: Sequence[Path]) -> None:
    """Copy users' rules into the run, so that it can be judged the same way later and elsewhere. Raises UsageError."""
    for number, directory in enumerate(directories):
        place = run_dir / KEPT / f"{number:03d}"
        try:
            place.mkdir(parents=True, exist_ok=True)
            for path in _files(directory):
                shutil.copyfile(path, place / path.name)
        except OSError as error:
            raise UsageError(f"cannot keep the prescriptions of {directory} in the run: {error.strerror}") from error


def missing_rules(manifest: RunManifest, run_dir: Path) -> tuple[Missing, ...]:
    """Rules that the scenario names and the run does not hold: a session that was killed did not get to copy them."""
    named = manifest.scenario.get("prescriptions")
    if not isinstance(named, list | tuple) or not named or (run_dir / KEPT).is_dir():
        return ()
    reason = "the run was stopped before it could keep the scenario's own rules"
    return (Missing("prescriptions", reason, "only built-in rules were applied; give the others with --prescriptions"),)


def _read(directory: Path) -> tuple[tuple[Rule, ...], tuple[str, ...]]:
    try:
        paths = _files(directory)
    except OSError as error:
        return (), (f"{directory}: cannot be read: {error.strerror}",)
    if not paths:
        return (), (f"{directory}: holds no file that ends in .yaml",)
    if len(paths) > _MOST_FILES:
        return (), (f"{directory}: holds {len(paths)} files, at most {_MOST_FILES} are read",)
    rules: list[Rule] = []
    problems: list[str] = []
    for path in paths:
        found, wrong = _read_file(path)
        rules += found
        problems += wrong
    return tuple(rules), (*problems, *repeated(rules))


def _read_file(path: Path) -> tuple[tuple[Rule, ...], tuple[str, ...]]:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        return (), (f"{path}: cannot be read: {error.strerror}",)
    if len(raw) > MAX_BYTES:
        return (), (f"{path}: is larger than 1 MiB",)
    try:
        return rules_in(parse_source(raw.decode("utf-8-sig"), path))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        return (), (f"{path}:{line}: is not UTF-8 text: save the file as UTF-8",)
    except ScenarioError as error:
        return (), error.problems


def _files(directory: Path) -> list[Path]:
    return sorted(p for p in directory.iterdir() if p.suffix in _SUFFIXES and p.is_file())
