"""Rules on disk: the package's, users' directories, what a run keeps of them; and the example of the documentation."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from situations import HELD, PYTHON
from timelines import App, simulate, six

from harness.analysis.pipeline import report_on
from harness.analysis.prescriptions import builtin_rules, keep, missing_rules, problems_of, read_directory, rules_for
from harness.diagnose.prescribe.apply import prescriptions_for
from harness.errors import EXIT_USAGE, UsageError
from harness.model.finding import Cause

PAGE = (Path(__file__).parents[3] / "docs" / "prescriptions.md").read_text(encoding="utf-8")
(EXAMPLE,) = re.findall(r"```yaml\n(rules:.*?)```", PAGE, re.DOTALL)
OURS = """\
rules:
  - id: fix-leak-of-unknown-kind
    causes: [leak]
    priority: 0
    action: Call the shop team about {where}.
    because: "It grows: {growth}."
    expected: They know.
    risk: None.
    verify: Ask them.
"""


def directory(parent: Path, **files: str) -> Path:
    made = parent / "rules"
    made.mkdir(parents=True)
    for name, text in files.items():
        (made / f"{name}.yaml").write_text(text)
    return made


def test_the_example_of_the_documentation_works(tmp_path: Path) -> None:
    ours = directory(tmp_path, example=EXAMPLE)
    rules = rules_for(tmp_path, [ours])
    known = {**PYTHON, **HELD, "endpoint": "thumbnails"}
    first = prescriptions_for(Cause.FRAGMENTATION, known, rules)[0]
    assert first.id == "our-image-thumbnails"
    assert first.because == "malloc keeps 350.0 MiB free in 4 workers, 87.5 MiB each."
    assert first.change == 'target:\n  env:\n    THUMBNAIL_PROCESS: "1"\n'
    already = prescriptions_for(Cause.FRAGMENTATION, {**known, "env.THUMBNAIL_PROCESS": 1.0}, rules)
    assert all(p.id != "our-image-thumbnails" for p in already)


def test_a_rule_of_the_users_replaces_the_built_in_one(tmp_path: Path) -> None:
    ours = directory(tmp_path, ours=OURS)
    rules = rules_for(tmp_path, [ours])
    assert len(rules) == len(builtin_rules())
    raw = simulate(App(endpoints=six(cart_add={"leak_bytes": 20_480}), with_blocks=False))
    report = report_on(raw, tmp_path, [ours])
    assert report.findings[0].prescriptions[0].action == "Call the shop team about the handler of cart_add."
    assert report.recycling


def test_a_run_keeps_the_rules_it_was_made_with(tmp_path: Path) -> None:
    run, first, second = (
        tmp_path / "run",
        directory(tmp_path / "a", x=OURS),
        directory(tmp_path / "b", x=OURS.replace("Call", "Ask")),
    )
    run.mkdir()
    keep(run, [first, second])
    first.joinpath("x.yaml").unlink()
    second.joinpath("x.yaml").unlink()
    by_id = {rule.id: rule for rule in rules_for(run)}
    assert by_id["fix-leak-of-unknown-kind"].texts["action"].text.startswith("Ask")
    third = directory(tmp_path / "c", x=OURS.replace("Call", "Tell"))
    by_id = {rule.id: rule for rule in rules_for(run, [third])}
    assert by_id["fix-leak-of-unknown-kind"].texts["action"].text.startswith("Tell")


def test_rules_that_a_killed_run_could_not_keep_are_missing(tmp_path: Path) -> None:
    manifest = simulate(App(requests=30, blocks=1)).manifest
    named = dataclasses.replace(manifest, scenario={**manifest.scenario, "prescriptions": ["our-rules"]})
    assert missing_rules(manifest, tmp_path) == ()
    (missing,) = missing_rules(named, tmp_path)
    assert "--prescriptions" in missing.costs
    keep(tmp_path, [directory(tmp_path, x=OURS)])
    assert missing_rules(named, tmp_path) == ()


def test_every_mistake_in_all_files_is_told(tmp_path: Path) -> None:
    ours = directory(
        tmp_path, a=OURS, b=OURS, c="rules: 5", d="rules:\n  - {id: x, causes: [leek]}\n", e="a: [", f="rules: [&x 1]"
    )  # fmt: skip
    (ours / "g.yaml").write_bytes(b"rules:\n  - \xff\n")
    with pytest.raises(UsageError) as caught:
        read_directory(ours)
    assert caught.value.exit_code == EXIT_USAGE
    for line in (
        f"{ours}/b.yaml:2: the id 'fix-leak-of-unknown-kind' is there twice, first at {ours}/a.yaml:2",
        f"{ours}/c.yaml:1: has no list 'rules:'", f"{ours}/d.yaml:2: causes: 'leek' is not known (did you mean 'leak'?)",
        f"{ours}/e.yaml:", f"{ours}/f.yaml:1: &x", f"{ours}/g.yaml:2: is not UTF-8 text",
    ):  # fmt: skip
        assert line in caught.value.message
    assert problems_of(ours) == tuple(caught.value.message.splitlines())


def test_directories_that_are_none(tmp_path: Path) -> None:
    assert problems_of(tmp_path / "nowhere") == (f"{tmp_path}/nowhere: cannot be read: No such file or directory",)
    assert problems_of(tmp_path) == (f"{tmp_path}: holds no file that ends in .yaml",)
    huge = directory(tmp_path, x="#" * (1 << 20) + "#")
    assert problems_of(huge) == (f"{huge}/x.yaml: is larger than 1 MiB",)
    many = tmp_path / "many"
    many.mkdir()
    for number in range(101):
        (many / f"{number}.yml").touch()
    assert problems_of(many) == (f"{many}: holds 101 files, at most 100 are read",)
