"""Shared by the integration tests: one real browser a file, for those that open reports; Python servers with the agent.

`make integration` gives the files to several processes, on machines that may be slow and busy. So a test has ports from
`free_port`, names and directories that no other test uses, waits for what has happened and not for a time, and measures
nothing that depends on how much of a processor it gets.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import chromium
from pages import Opener
from playwright.sync_api import Browser
from python_envs import CACHE
from python_service import Services
from screen import Terminal
from ssh_hosts import SshHosts

# Begun first when several processes share the files (make integration), so that none of them is what the others wait for.
LONGEST = (
    "python_memray", "python_objects", "python_servers", "blackfire", "python_attach", "demo", "watch", "real_apps", "session",
    "bench_sampling", "python_lines", "python_jobs", "containers", "places", "exports", "bundle",
)  # fmt: skip
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ranks = {f"test_{name}.py": rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path.name, len(ranks)))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Until the end of the file: as long as it is there an event loop runs in our thread, and `asyncio.run` refuses to."""
    with chromium(FLAGS) as launched:
        yield launched


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshHosts]:
    """Other hosts, none yet: each that is added has a network and a clock of its own."""
    made = SshHosts(tmp_path_factory.mktemp("hosts"))
    yield made
    made.stop()


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator[Opener]:
    """Open a report, or the bytes of a page, in a fresh context; the contexts are closed with the test."""
    opener = Opener(browser, tmp_path)
    yield opener
    opener.close()


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(CACHE))
    monkeypatch.setenv("VICTIM_FILE", str(tmp_path / "victim"))
    launched = Services(tmp_path)
    yield launched
    launched.stop()


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal(columns=100, rows=30)
    yield made
    made.close()
