"""``harness init`` beside a php-fpm that runs: the scenario attaches to it, the files give it an Xdebug of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import free_port, harness, wait_for

from adapters.php.installed import find_fpm
from harness.scenario.reader import read_scenario

pytestmark = pytest.mark.integration
POOL = "my-site"


@pytest.fixture(params=["unix", "tcp"])
def fpm_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, int]]:
    """A php-fpm with one pool; gives what a web server would pass to, and the pid of a worker."""
    fpm = find_fpm()
    assert fpm is not None, "php-fpm is not installed"
    listen = str(tmp_path / "fpm.sock") if request.param == "unix" else f"127.0.0.1:{free_port()}"
    (tmp_path / "fpm.conf").write_text(
        f"[global]\nerror_log = {tmp_path}/fpm.log\ndaemonize = no\n"
        f"[{POOL}]\nlisten = {listen}\npm = static\npm.max_children = 2\nuser = nobody\ngroup = nogroup\n"
    )
    (tmp_path / "php.ini").write_text("memory_limit = 77M\n")
    own = ["-c", str(tmp_path / "php.ini"), "-d", "precision=11"]
    with subprocess.Popen([fpm, *own, "-F", "-R", "-y", str(tmp_path / "fpm.conf")]) as server:
        try:
            wait_for(lambda: len(workers(server.pid)) == 2, "the pool to start")
            yield f"unix:{listen}" if request.param == "unix" else listen, workers(server.pid)[0]
        finally:
            server.terminate()


def workers(master: int) -> list[int]:
    """Children that have named themselves after the pool."""
    pids = map(int, Path(f"/proc/{master}/task/{master}/children").read_text().split())
    return [pid for pid in pids if f"pool {POOL}".encode() in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_a_scenario_and_a_second_master(fpm_server: tuple[str, int], tmp_path: Path) -> None:
    upstream, pid = fpm_server
    with harness("init", str(pid), "--php-fpm-config", "xdebug", cwd=tmp_path) as run:
        code, out, err = run.finish()
    assert code == 0, err
    assert f"({upstream})" in out
    scenario = read_scenario(tmp_path / "scenario.yaml")
    assert scenario.runtime == "php"
    files = tmp_path / "xdebug"
    assert f'default "{upstream}";' in (files / "nginx-map.conf").read_text()
    assert all(path.stat().st_mode & 0o077 == 0 for path in files.rglob("*"))
    assert f" -c {tmp_path}/php.ini -d precision=11 -F -y " in (files / "harness-xdebug.service").read_text()
    fpm = find_fpm()
    assert fpm is not None
    config = files / "php-fpm-xdebug.conf"
    (tmp_path / "log").mkdir()  # in place of the directory that README.txt tells to make
    config.write_text(config.read_text().replace("/var/log/harness-xdebug", str(tmp_path / "log")))
    subprocess.run([fpm, "-t", "-y", config], check=True, capture_output=True)


def test_without_any_php_fpm_it_says_so(tmp_path: Path) -> None:
    with harness("init", f"127.0.0.1:{free_port()}", "--php-fpm-config", "xdebug", cwd=tmp_path) as run:
        code, _, err = run.finish()
    assert code != 0
    assert "Traceback" not in err
