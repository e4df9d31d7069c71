"""Request mode and worker mode, and the pools among processes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from adapters.php.fpm.pools import RunningPool, pools_among, workers_among
from adapters.php.inspection.model import Sapi
from adapters.php.sapi import drops_request_heap, facts_of, sapi_of


@pytest.mark.parametrize(
    ("sapi", "drops"), [(Sapi.FPM, True), (Sapi.APACHE, True), (Sapi.SERVER, True), (Sapi.CLI, False)]
)
def test_only_scripts_keep_their_heap(sapi: Sapi, drops: bool) -> None:
    assert drops_request_heap(sapi) is drops


def test_a_script_that_runs() -> None:
    code = "fwrite(STDOUT, 'ready'); fread(STDIN, 1);"
    with subprocess.Popen(["php", "-n", "-r", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as script:
        assert script.stdout is not None
        assert script.stdout.read(5) == b"ready"
        assert facts_of([script.pid, os.getpid()]) == {"sapi": "php", "heap": "kept until the process ends"}
        script.communicate(b"x")


def test_what_is_no_php_has_no_facts() -> None:
    assert sapi_of(os.getpid()) is None
    assert facts_of([os.getpid(), 2**22 + 1]) == {}


def test_a_title_alone_makes_nobody_a_php_fpm_whose_configuration_is_read() -> None:
    code = "import sys; print('x', flush=True); sys.stdin.read()"
    liar = ["php-fpm: pool www", "-c", code]
    with subprocess.Popen(liar, executable=sys.executable, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        assert workers_among([process.pid]) == [], "its words are behind the title"
        process.communicate()
    assert pools_among([os.getpid(), 2**22 + 1]) == ()


@pytest.mark.parametrize(
    ("listen", "where"),
    [
        ("/run/$pool.sock", "unix:///proc/7/root/run/www.sock"),
        ("/proc/self/cwd/main.sock", "unix:///proc/40/cwd/main.sock"),
        ("9000", "None"),
        ("main.sock", "None"),
    ],
)
def test_where_a_pool_in_a_container_listens(listen: str, where: str) -> None:
    pool = RunningPool("www", 40, (41,), {"listen": listen}, prefix="/proc/7/root", other_network=True)
    assert str(pool.address) == where


def test_the_status_page_may_have_a_listener_of_its_own() -> None:
    settings = {
        "listen": "/run/a.sock",
        "pm.status_listen": "127.0.0.1:9001",
        "pm.status_path": "/s",
        "ping.path": "/p",
    }
    pool = RunningPool("www", 40, (41,), settings)
    assert pool.status is not None
    assert (str(pool.status[0]), pool.status[1]) == ("tcp://127.0.0.1:9001", "/s")
    assert pool.own_paths == {"/s", "/p"}
    assert RunningPool("www", 40, (41,), {"pm.status_path": "/s"}).status is None
