"""What runs there: on this machine's /proc with our own sockets, and on small made-up /proc trees for the rest."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_proc import FakeProc

from harness.errors import TargetError, UsageError
from harness.targets.detect import (
    detect_command,
    detect_pid,
    detect_url,
    guess_url,
    interpreter,
    is_local,
    listening_inodes,
    look,
    own_ports,
    printable,
    socket_owners,
)


def recognise(comm: str, cmdline: str, exe: str) -> str | None:
    if "php" in comm:
        return "php"
    return "python" if "python" in exe or "gunicorn" in cmdline else None


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.fixture
def proc(tmp_path: Path) -> FakeProc:
    return FakeProc(tmp_path)


# --- this machine ---------------------------------------------------------------------------------------------------


def test_the_owner_of_a_port_is_found(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    assert os.getpid() in socket_owners(listening_inodes(port))
    found = detect_url("127.0.0.1", port, f"http://127.0.0.1:{port}", recognise)
    assert (found.runtime, found.attach, found.url) == ("python", ("port", port), f"http://127.0.0.1:{port}")
    assert f"(pid {os.getpid()})" in found.found[0]


def test_a_server_is_named_by_its_master_not_by_a_worker(listener: socket.socket) -> None:
    code = "import sys; print('ready', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        pass_fds=[listener.fileno()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"ready\n"
        port = listener.getsockname()[1]
        assert set(socket_owners(listening_inodes(port))) >= {os.getpid(), worker.pid}
        found = detect_url("localhost", port, f"http://localhost:{port}", recognise)
        assert f"(pid {os.getpid()}), 2 processes" in found.found[0]
        worker.communicate()


def test_a_pid_that_listens_is_attached_by_port(listener: socket.socket) -> None:
    ports = {port for port, _ in own_ports(os.getpid())}
    assert listener.getsockname()[1] in ports
    found = detect_pid(os.getpid(), recognise)
    assert found.attach == ("port", min(ports))
    assert found.runtime == "python"


def test_nobody_there(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    listener.close()
    with pytest.raises(TargetError, match=f"nothing listens on port {port}"):
        detect_url("127.0.0.1", port, "http://x", recognise)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with pytest.raises(TargetError, match=f"there is no process {ended.pid}"):
        detect_pid(ended.pid, recognise)


def test_addresses_of_this_machine() -> None:
    assert is_local("127.0.0.1")
    assert is_local("localhost")
    assert is_local("0.0.0.0")
    assert not is_local("192.0.2.1")  # TEST-NET-1, nobody's
    assert not is_local("no such host")
    with pytest.raises(UsageError, match=r"192\.0\.2\.1 is not this machine"):
        detect_url("192.0.2.1", 80, "http://192.0.2.1", recognise)


# --- made-up machines -----------------------------------------------------------------------------------------------


def test_behind_a_web_server_the_php_fpm_pool_is_found(proc: FakeProc) -> None:
    proc.listen(("00000000", 80, 70))
    proc.process(10, 1, "nginx", "nginx: master process /usr/sbin/nginx", 70)
    proc.process(11, 10, "nginx", "nginx: worker process", 70)
    proc.process(20, 1, "php-fpm8.2", "php-fpm: master process (/etc/php/8.2/fpm/php-fpm.conf)")
    for pid, pool in ((21, "www"), (22, "www"), (23, "admin")):
        proc.process(pid, 20, "php-fpm8.2", f"php-fpm: pool {pool}")
    found = detect_url("127.0.0.1", 80, "http://127.0.0.1", recognise, proc.root)
    assert (found.name, found.runtime, found.attach) == ("admin", "php", ("match", "php-fpm: pool admin"))
    assert found.found == (
        "port 80: nginx (pid 10), 2 processes",
        "behind it, probably: php-fpm pool admin",
        "other php-fpm pools here: www; change match: if it is one of these",
    )


def test_pools_of_one_name_under_two_masters_are_pointed_out(proc: FakeProc) -> None:
    for master in (20, 30):
        proc.process(master, 1, "php-fpm", "php-fpm: master process (/etc/php/fpm/php-fpm.conf)")
        for pid in (master + 1, master + 2):
            proc.process(pid, master, "php-fpm", "php-fpm: pool www")
    warning = detect_pid(21, recognise, proc.root).found[1]
    assert warning.startswith("php-fpm masters 20 and 30 each have a pool www")
    assert "attach: {pid: MASTER}" in warning
    proc.listen(("00000000", 80, 70))
    proc.process(10, 1, "nginx", "nginx: master process /usr/sbin/nginx", 70)
    assert warning in detect_url("127.0.0.1", 80, "http://127.0.0.1", recognise, proc.root).found


def test_a_php_fpm_worker_means_its_pool(proc: FakeProc) -> None:
    proc.process(21, 20, "php-fpm8.2", "php-fpm: pool www")
    found = detect_pid(21, recognise, proc.root)
    assert (found.runtime, found.attach, found.url) == ("php", ("match", "php-fpm: pool www"), None)


def test_what_runs_in_a_container_is_found_as_that(proc: FakeProc) -> None:
    """Not by the names of groups that we are in too: then the container is this machine, as far as we know."""
    identifier, ours = "5e" * 32, "0a" * 32
    proc.listen(("0100007F", 8000, 70))
    proc.process(10, 1, "gunicorn", "/usr/bin/python3 /usr/bin/gunicorn app", 70)
    (proc.root / "self").mkdir()
    (proc.root / "self" / "cgroup").write_text(f"4:memory:/docker/{ours}\n")
    (proc.root / "10" / "cgroup").write_text(f"4:memory:/docker/{ours}\n")
    assert detect_url("127.0.0.1", 8000, "http://127.0.0.1:8000", recognise, proc.root).container is None
    (proc.root / "10" / "cgroup").write_text(f"4:memory:/docker/{ours}/docker/{identifier}\n0::/\n")
    by_url = detect_url("127.0.0.1", 8000, "http://127.0.0.1:8000", recognise, proc.root)
    assert (by_url.container, by_url.attach, by_url.url, by_url.runtime) == (
        identifier,
        None,
        "http://127.0.0.1:8000",
        "python",
    )
    proc.listen(("0100007F", 8001, 71))
    proc.process(12, 1, "conmon", f"/usr/bin/conmon --api-version 1 -c {identifier} -n web", 71)
    assert detect_url("127.0.0.1", 8001, "http://127.0.0.1:8001", recognise, proc.root).container == identifier
    by_pid = detect_pid(10, recognise, proc.root)
    assert (by_pid.container, by_pid.attach, by_pid.url) == (identifier, None, None)


def test_an_unknown_server_is_watched_from_outside(proc: FakeProc) -> None:
    proc.listen(("0100007F", 81, 71), ("0" * 32, 82, 72))
    proc.process(10, 1, "caddy", "caddy run", 71)
    proc.process(12, 1, "docker-proxy", "docker-proxy -host-port 82", 72)
    caddy = detect_url("127.0.0.1", 81, "http://127.0.0.1:81", recognise, proc.root)
    assert (caddy.name, caddy.runtime, caddy.attach) == ("caddy", "any", ("port", 81))
    assert "without profilers" in caddy.found[1]
    assert "container" in detect_url("127.0.0.1", 82, "http://x:82", recognise, proc.root).found[1]


def test_ipv6_listeners_and_their_address(proc: FakeProc) -> None:
    proc.listen(("0" * 24 + "01000000", 83, 73), ("0" * 32, 84, 74))
    proc.process(13, 1, "server", "gunicorn app", 73, 74)
    assert own_ports(13, proc.root) == {(83, "[::1]"), (84, "127.0.0.1")}
    found = detect_pid(13, recognise, proc.root)
    assert (found.runtime, found.attach, found.url) == ("python", ("port", 83), "http://[::1]:83")


def test_a_port_whose_owner_is_hidden(proc: FakeProc) -> None:
    proc.listen(("00000000", 80, 70))
    found = detect_url("127.0.0.1", 80, "http://127.0.0.1", recognise, proc.root)
    assert (found.runtime, found.attach) == ("any", ("port", 80))
    assert "not visible to this user" in found.found[0]


def test_a_process_that_listens_nowhere_is_attached_by_pid(proc: FakeProc) -> None:
    proc.process(30, 1, "worker", "python3 worker.py", exe="/usr/bin/python3.11")
    found = detect_pid(30, recognise, proc.root)
    assert (found.name, found.runtime, found.url, found.attach) == ("worker", "python", None, ("pid", 30))


def test_names_of_processes_are_hostile(proc: FakeProc) -> None:
    proc.process(40, 7, "a) S 99 (\x1b]0;x\x07", "evil\x1b[2J")
    seen = look(40, proc.root)
    assert seen is not None
    assert seen.ppid == 7
    found = detect_pid(40, recognise, proc.root)
    assert found.name == "a-S-99-0-x"
    assert all(sentence.isprintable() for sentence in found.found)
    assert printable("x" * 100, 10) == "xxxxxxx..."


# --- commands -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "url"),
    [
        ("gunicorn shop.wsgi -w 4 -b 127.0.0.1:8001", "http://127.0.0.1:8001"),
        ("gunicorn shop.wsgi --bind=0.0.0.0:8002", "http://127.0.0.1:8002"),
        ("gunicorn shop.wsgi -b :8003", "http://127.0.0.1:8003"),
        ("gunicorn shop.wsgi --bind [::1]:8004", "http://[::1]:8004"),
        ("gunicorn shop.wsgi -w 4", "http://127.0.0.1:8000"),
        ("gunicorn shop.wsgi -b unix:/run/x.sock", None),
        ("uvicorn shop:app --port 8005 --host 127.0.0.2", "http://127.0.0.2:8005"),
        ("php -S localhost:8006 -t public", "http://localhost:8006"),
        ("python manage.py runserver", "http://127.0.0.1:8000"),
        ("python manage.py runserver 8007", "http://127.0.0.1:8007"),
        ("python manage.py runserver 0:8008", "http://0:8008"),
        ("python -m http.server 8009", "http://127.0.0.1:8009"),
        ("python -m flask run -p 5001", "http://127.0.0.1:5001"),
        ("flask run", "http://127.0.0.1:5000"),
        ("uwsgi --http 127.0.0.1:8010", "http://127.0.0.1:8010"),
        ("gunicorn shop.wsgi -b 127.0.0.1:99999", None),
        ("python worker.py", None),
        ("php bin/worker", None),
    ],
)
def test_the_address_a_command_will_listen_on(command: str, url: str | None) -> None:
    assert guess_url(command.split()) == url


def test_a_script_is_recognised_by_its_interpreter(tmp_path: Path) -> None:
    script = tmp_path / "serve"
    script.write_text(f"#!{sys.executable}\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    assert interpreter(script) == sys.executable
    found = detect_command([str(script), "-b", "127.0.0.1:8011"], recognise)
    assert (found.name, found.runtime, found.launch) == ("serve", "python", (str(script), "-b", "127.0.0.1:8011"))
    assert found.url == "http://127.0.0.1:8011"


def test_env_in_the_first_line_is_looked_through(tmp_path: Path) -> None:
    script = tmp_path / "serve"
    script.write_text("#!/usr/bin/env sh\n")
    assert Path(interpreter(script)).name == "sh"
    assert interpreter(tmp_path / "none") == str(tmp_path / "none")


def test_a_command_that_does_not_exist() -> None:
    with pytest.raises(UsageError, match="no-such-program: command not found"):
        detect_command(["no-such-program"], recognise)
