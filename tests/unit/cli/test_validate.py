"""``harness validate``."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness import cli

GOOD = """\
name: shop
target: {runtime: python, launch: gunicorn shop.wsgi, ready: "http://127.0.0.1:8000/", env: {A: "${HARNESS_TEST_A}"}}
requests: [{name: home, get: /, headers: {Authorization: Bearer abc}}]
expect: [verdict is healthy]
"""


@pytest.fixture
def scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_TEST_A", "x")
    path = tmp_path / "good.yaml"
    path.write_text(GOOD)
    return path


def test_a_good_file_is_summarised_and_doubts_are_shown(scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.invoke(["validate", str(scenario)]) == 0
    captured = capsys.readouterr()
    summary = "python, launch, 1 request, 8 rounds of 1000 at concurrency 4, 1 expectation"
    assert captured.out == f"{scenario}: OK: {summary}\n"
    assert re.fullmatch(
        rf"{re.escape(str(scenario))}:3: 'Authorization' looks like a secret .* \(warning\)\n", captured.err
    )


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ('hosts: [{host: "ssh://a", containers: [{name: x, role: old}, y]}, {host: "ssh://b", name: a-old, attach: {port: 1}}]',
         "two pools would be called 'a-old': give a host another name, or a container a role"),
        ('runtime: php, php: {xdebug: {output_dir: /x, secret: "${HARNESS_TEST_A}"}}, attach: {port: 1}, '
         'hosts: [{host: "ssh://a"}, {host: "ssh://b"}]',
         "target.php.xdebug: on which host is /x (of a, b)?: add host: ssh://..., and container: NAME where they are in a "
         "container of that host"),
    ],
)  # fmt: skip
def test_places_that_a_run_could_not_tell_from_each_other(
    scenario: Path, capsys: pytest.CaptureFixture[str], target: str, said: str
) -> None:
    scenario.write_text(f"name: x\ntarget: {{{target}}}\nload: {{observe: 1m}}\n")
    assert cli.invoke(["validate", str(scenario)]) == 2
    assert capsys.readouterr().err == f"error: {scenario}: {said}\n"


@pytest.mark.parametrize(
    ("rest", "summary"),
    [
        ("load: {observe: 10m}", "any, attach, observed for 10.0 min"),
        ("load: {each_round: php x}", "any, attach, 8 rounds of php"),
        (
            "load: [{rate: 1/s, for: 30s}, {rate: 2/s, for: 30s}]\nrequests: [{name: a, get: /}, {name: b, get: /}]",
            "any, attach, 2 requests, 2 stages in 1.0 min",
        ),
    ],
)
def test_other_loads_are_summarised(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rest: str, summary: str
) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(f"name: x\ntarget: {{attach: {{port: 80}}}}\n{rest}\n")
    assert cli.invoke(["validate", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: OK: {summary}\n"


@pytest.mark.parametrize(
    ("target", "summary"),
    [
        ("{host: ssh://root@web-1, launch: gunicorn x}", "any, launch on web-1"),
        ("{host: ssh://web-1, container: shop}", "any, web-1 (container shop)"),
        ("{containers: [shop, {name: db, measured: false}]}", "any, container shop, container db only watched"),
        (
            "{hosts: [ssh://a, {host: ssh://b, measured: false}, {host: local, name: cron}], attach: {port: 80}}",
            "any, attach on a, b only watched, this machine (cron)",
        ),
        (f"{{hosts: [{', '.join(f'ssh://web-{n}' for n in range(9))}], attach: {{port: 80}}}}",
         "any, attach on web-0, web-1, web-2, web-3, web-4, web-5 and 3 more"),
    ],
)  # fmt: skip
def test_places_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], target: str, summary: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(f"name: x\ntarget: {target}\nload: {{observe: 10m}}\n")
    assert cli.invoke(["validate", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: OK: {summary}, observed for 10.0 min\n"


def test_problems_of_all_files_end_with_exit_code_2(
    scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(GOOD.replace("name: home", "nam: home").replace("[verdict", "[verdct"))
    unset = tmp_path / "unset.yaml"
    unset.write_text(GOOD.replace("TEST_A", "TEST_B") + "profile: [tracemaloc]\n")
    monkeypatch.delenv("HARNESS_TEST_B", raising=False)
    missing = tmp_path / "missing.yaml"
    assert cli.invoke(["validate", str(bad), str(scenario), str(unset), str(missing)]) == 2
    captured = capsys.readouterr()
    assert captured.out.startswith(f"{scenario}: OK: ")
    assert f"{bad}:3: 'name' is missing" in captured.err
    assert f"{bad}:3: unknown key 'nam' (did you mean 'name'?)" in captured.err
    assert f"{bad}:4: expect: " in captured.err
    assert f"{unset}:2: ${{HARNESS_TEST_B}} is not set" in captured.err
    assert f"{unset}:5: no profiler 'tracemaloc' for runtime python (did you mean 'tracemalloc'?)" in captured.err
    assert f"{missing}: cannot be read: No such file or directory" in captured.err


def test_a_runtime_without_an_adapter(scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenario.write_text(GOOD.replace("runtime: python", "runtime: ruby"))
    assert cli.invoke(["validate", str(scenario)]) == 2
    assert f"{scenario}:2: no adapter for the runtime 'ruby'; runtimes: php, python, any" in capsys.readouterr().err


def test_without_a_file_usage_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.invoke(["validate"]) == 2
    assert "SCENARIO..." in capsys.readouterr().err
