"""Applications we did not write: Django's admin under gunicorn, Debian's DokuWiki under php-fpm and nginx.

Each logs in and edits, is judged without a false leak, and has a profiled request that opens from the report.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser
from processes import DEADLINE_S, free_port, harness

from harness.analysis.pipeline import analyse

pytestmark = pytest.mark.integration
REAL = Path(__file__).parents[2] / "scenarios" / "real"


def prepare(script: str, directory: Path, env: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, str(REAL / script), str(directory)],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def run_real(scenario: Path, env: dict[str, str], directory: Path) -> tuple[Path, dict[str, Any]]:
    with harness("run", scenario, cwd=directory, env=env) as run:
        code, out, err = run.finish()
        run.assert_nothing_left()
    assert code == 0, f"{out}\n{err}"
    path = Path(out.splitlines()[-1])
    return path, json.loads((path / "report.json").read_text())


def shorter(scenario: str, directory: Path, **replacements: str) -> Path:
    """The scenario with less traffic and a free port, for a test; everything else as it ships."""
    text = (REAL / scenario).read_text()
    for pattern, replacement in replacements.items():
        text, count = re.subn(pattern, replacement, text)
        assert count, pattern
    path = directory / scenario
    path.write_text(text)
    return path


def open_profile(browser: Browser, run: Path, endpoint: str) -> str:
    """Click the endpoint's profile in the HTML report, offline; the text of the view that opens."""
    context = browser.new_context(offline=True)
    context.set_default_timeout(DEADLINE_S * 1000)
    try:
        page = context.new_page()
        page.goto((run / "report.html").as_uri())
        page.wait_for_selector("body[data-ready]")
        page.locator("tr", has_text=endpoint).locator("button.open").first.click()
        page.locator("#profile-root tbody tr").first.wait_for()
        return page.locator("#profile-root").inner_text()
    finally:
        context.close()


def assert_no_secret(run: Path, secret: str) -> None:
    for file in run.rglob("*"):
        if file.is_file() and not file.is_symlink():
            assert secret.encode() not in file.read_bytes(), f"{file} holds the password"


def test_the_admin_of_django(tmp_path: Path, browser: Browser) -> None:
    env = {
        "ADMIN_PASSWORD": "c0rrect-horse-battery",
        "DJANGO_SITE": str(tmp_path / "site"),
        "DJANGO_ADDRESS": f"127.0.0.1:{free_port()}",
    }
    prepare("prepare_django_admin.py", tmp_path / "site", env)
    scenario = shorter("django-admin.yaml", tmp_path, **{"requests_per_round: 200": "requests_per_round: 60"})
    run, report = run_real(scenario, env, tmp_path)
    endpoints = {e["name"]: e for e in report["endpoints"]}
    assert endpoints["change-group"]["requests"] > 0
    assert sum(e["errors"] for e in report["endpoints"]) == 0
    views = [v for v in analyse(run).profiles if v.profile is not None]
    lines = next(v.profile for v in views if v.artifact.tool == "memory_profiler" and v.artifact.endpoint == "groups")
    assert lines is not None
    assert any(line.function.endswith("changelist_view") for line in lines.lines)
    held = next(v.profile for v in views if v.artifact.tool == "tracemalloc" and v.artifact.endpoint == "groups")
    assert held is not None
    assert any("django" in line.file for line in held.lines)
    assert "django" in open_profile(browser, run, "groups")
    assert_no_secret(run, env["ADMIN_PASSWORD"])


def test_dokuwiki(tmp_path: Path, browser: Browser) -> None:
    tmp_path.chmod(0o755)  # the pool's unprivileged user must reach the wiki
    tmp_path.parent.chmod(0o755)
    tmp_path.parent.parent.chmod(0o755)
    env = {"WIKI_PASSWORD": "c0rrect-horse-battery", "WIKI": str(tmp_path / "wiki/usr/share/dokuwiki")}
    prepare("prepare_dokuwiki.py", tmp_path / "wiki", env)
    less = {"requests_per_round: 120": "requests_per_round: 40", "8766": str(free_port())}
    run, report = run_real(shorter("dokuwiki.yaml", tmp_path, **less), env, tmp_path)
    endpoints = {e["name"]: e for e in report["endpoints"]}
    assert endpoints["save"]["requests"] > 0
    assert sum(e["errors"] for e in report["endpoints"]) == 0
    page = tmp_path / "wiki/var/lib/dokuwiki/data/pages/notes.txt"
    assert "Saved under load" in page.read_text()
    view = next(v for v in analyse(run).profiles if v.artifact.endpoint == "save")
    assert view.profile is not None
    assert view.profile.complete
    assert view.profile.totals["peak_bytes"]
    assert any(frame.function == "saveWikiText" for frame in view.profile.frames)
    assert "save" in open_profile(browser, run, "save")
    assert_no_secret(run, env["WIKI_PASSWORD"])
