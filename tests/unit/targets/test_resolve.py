"""What a number or a name means: on made-up /proc trees, and on this machine's own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from fake_proc import FakeProc
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import EXIT_TARGET, EXIT_USAGE, TargetError, UsageError
from harness.targets.attach import Attachment
from harness.targets.detect import Seen
from harness.targets.resolve import label, nearest, resolve

LOCALHOST = "0100007F"
US = 900  # the pid that plays the harness


@pytest.fixture
def proc(tmp_path: Path) -> FakeProc:
    """gunicorn on 8000 with two workers, nginx, two php-fpm masters, two unrelated Celery workers, us below a shell."""
    fake = FakeProc(tmp_path)
    fake.listen((LOCALHOST, 8000, 51), (LOCALHOST, 9000, 52), (LOCALHOST, 200, 53))
    fake.process(1, 0, "systemd", "/sbin/init")
    fake.process(100, 1, "gunicorn", "gunicorn shop.wsgi -w 2", 51)
    fake.process(101, 100, "gunicorn", "gunicorn shop.wsgi -w 2", 51)
    fake.process(102, 100, "gunicorn", "gunicorn shop.wsgi -w 2", 51)
    fake.process(200, 1, "nginx", "nginx: master process /usr/sbin/nginx")
    fake.process(201, 200, "nginx", "nginx: worker process", 53)
    fake.process(300, 1, "php-fpm8.2", "php-fpm: master process (/etc/php/8.2/fpm/php-fpm.conf)", 52)
    fake.process(301, 300, "php-fpm8.2", "php-fpm: pool www", 52)
    fake.process(302, 300, "php-fpm8.2", "php-fpm: pool www", 52)
    fake.process(303, 300, "php-fpm8.2", "php-fpm: pool www2", 52)
    fake.process(400, 1, "python3", "/usr/bin/python3 -m celery -A one worker")
    fake.process(401, 400, "python3", "/usr/bin/python3 -m celery -A one worker")
    fake.process(500, 1, "python3", "/usr/bin/python3 -m celery -A two worker --password=hush")
    fake.process(800, 1, "bash", "bash -c harness watch gunicorn")
    fake.process(US, 800, "harness", "python3 harness watch gunicorn celery")
    fake.process(850, 1, "sudo", "sudo harness watch gunicorn")
    fake.process(8000, 1, "cron", "cron -f")
    fake.process(950, 2, "kworker/0:1", "")
    return fake


def found(proc: FakeProc, text: str, *, everything: bool = False) -> tuple[Attachment, ...]:
    return resolve(text, everything=everything, proc=proc.root, self_pid=US).attachments


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("100", [Attachment("gunicorn", pid=100)]),
        ("101", [Attachment("gunicorn", pid=101)]),  # a pid is that process, worker or not
        ("9000", [Attachment("php-fpm", pid=300)]),  # a port is the master of whoever holds the socket
        ("port:8000", [Attachment("gunicorn", pid=100)]),
        ("pid:8000", [Attachment("cron", pid=8000)]),
        ("port:200", [Attachment("nginx", pid=201)]),
        ("gunicorn", [Attachment("gunicorn", pid=100)]),  # the shell above us and we ourselves contain the word, too
        ("shop.wsgi", [Attachment("gunicorn", pid=100)]),
        ("nginx: worker", [Attachment("nginx", match="nginx: worker")]),  # its master is not of that name
        ("nginx", [Attachment("nginx", pid=200)]),
        ("php-fpm: pool www2", [Attachment("www2", match="php-fpm: pool www2")]),
        ("php-fpm: master", [Attachment("php-fpm", pid=300)]),
        # the longer name first, because the sampler takes the first rule that matches
        ("php-fpm", [Attachment("www2", match="php-fpm: pool www2"), Attachment("www", match="php-fpm: pool www")]),
        ("-A two", [Attachment("celery", pid=500)]),
    ],
)
def test_what_is_meant(proc: FakeProc, text: str, expected: list[Attachment]) -> None:
    assert list(found(proc, text)) == expected


@pytest.mark.parametrize(
    ("text", "code", "says", "hint"),
    [
        ("8000", EXIT_USAGE, "8000 is the process cron and also a port", "pid:8000 or port:8000"),
        ("200", EXIT_USAGE, "200 is the process nginx and also a port", "pid:200 or port:200"),
        ("8001", EXIT_TARGET, "no process 8001, and nothing listens on port 8001", r"8000 \(gunicorn \(pid 100\)\)"),
        ("pid:7", EXIT_TARGET, "no process 7", "ps -ef"),
        ("port:7", EXIT_TARGET, "nobody listens on port 7", "start"),
        ("0", EXIT_USAGE, "neither a pid nor a port", "pid:4711"),
        ("port:70000", EXIT_USAGE, "neither a pid nor a port", "port:8000"),
        ("99999999999999999999", EXIT_USAGE, "neither a pid nor a port", "pid:4711"),
        ("pid:", EXIT_USAGE, "neither a pid nor a port", "pid:4711"),
        ("pid:²", EXIT_USAGE, "neither a pid nor a port", "pid:4711"),
        ("port:٣", EXIT_USAGE, "neither a pid nor a port", "port:8000"),
        ("gu", EXIT_USAGE, "too short", "3 letters"),
        ("", EXIT_USAGE, "too short", "3 letters"),
        ("x" * 513, EXIT_USAGE, "at most 512", "shorter"),
        ("gunicron", EXIT_TARGET, "no process matches 'gunicron'", r"nearest: gunicorn \(pid 100\)"),
        ("Celery", EXIT_TARGET, "no process matches 'Celery'", r"nearest: celery \(pid 400\)"),
        ("\x1b[31mzzzzqqqq", EXIT_TARGET, r"no process matches '\?\[31mzzzzqqqq'", "ps -ef"),
        ("celery", EXIT_USAGE, "2 unrelated families", "--all"),
    ],
)
def test_what_is_not_clear_or_not_there(proc: FakeProc, text: str, code: int, says: str, hint: str) -> None:
    with pytest.raises((UsageError, TargetError), match=says) as caught:
        found(proc, text)
    assert caught.value.exit_code == code
    with pytest.raises((UsageError, TargetError), match=hint):
        raise type(caught.value)(caught.value.hint or "")


def test_unrelated_families_are_listed_without_their_arguments(proc: FakeProc) -> None:
    with pytest.raises(UsageError) as caught:
        found(proc, "celery")
    assert "pid:400  celery, 2 processes" in caught.value.message
    assert "pid:500  celery, 1 process" in caught.value.message
    assert "hush" not in str(caught.value)


def test_all_of_them_have_pools_of_their_own(proc: FakeProc) -> None:
    assert found(proc, "celery", everything=True) == (
        Attachment("celery-400", pid=400),
        Attachment("celery-500", pid=500),
    )


@pytest.mark.parametrize(
    ("text", "name"),
    [("php-fpm", "php-fpm"), ("pool www2", "www2"), ("celery", "celery"), ("A one", "celery"), ("-m c", "m-c")],
)
def test_the_run_is_called_by_what_is_watched(proc: FakeProc, text: str, name: str) -> None:
    assert resolve(text, everything=True, proc=proc.root, self_pid=US).name == name


def test_a_text_that_two_masters_share_is_one_rule(proc: FakeProc) -> None:
    proc.process(310, 1, "php-fpm8.1", "php-fpm: master process (/etc/php/8.1/fpm/php-fpm.conf)")
    proc.process(311, 310, "php-fpm8.1", "php-fpm: pool www")
    with pytest.raises(UsageError, match="2 unrelated"):
        found(proc, "pool www")
    both = found(proc, "php-fpm: pool www", everything=True)
    assert both.count(Attachment("www", match="php-fpm: pool www")) == 1


def test_a_loop_of_parents_ends(proc: FakeProc) -> None:
    proc.process(600, 601, "odd", "odd one")
    proc.process(601, 600, "odd", "odd one")
    assert len(found(proc, "odd one", everything=True)) >= 1


@pytest.mark.parametrize(
    ("cmdline", "comm", "expected"),
    [
        ("/usr/bin/python3 -u /srv/app/server.py --port 1", "python3", "server.py"),
        ("python3.11 -m http.server", "python3.11", "http.server"),
        ("python3 -c import_os", "python3", "python3"),
        ("python3", "python3", "python3"),
        ("python3 -m", "python3", "python3"),
        ("php /srv/worker.php", "php", "worker.php"),
        ("php -S 127.0.0.1:8000 -t /srv/public", "php", "php"),
        ("/usr/bin/php8.2 -d memory_limit=1G -S 127.0.0.1:8000 router.php", "php8.2", "router.php"),
        ("python3 -X dev -W error /srv/app.py", "python3", "app.py"),
        ("perl -W /srv/app.pl", "perl", "app.pl"),
        ("php-fpm: pool www", "php-fpm8.2", "www"),
        ("nginx: worker process", "nginx", "nginx"),
        ("./a b", "../\x1b[0m", "0m"),
        ("", "", "app"),
    ],
)
def test_labels(cmdline: str, comm: str, expected: str) -> None:
    assert label(Seen(1, 0, comm, cmdline, "")) == expected


@given(comm=st.text(max_size=64), cmdline=st.text(max_size=200))
def test_a_label_is_fit_for_a_directory_whatever_a_process_is_called(comm: str, cmdline: str) -> None:
    name = label(Seen(1, 0, comm, cmdline, ""))
    assert 1 <= len(name) <= 48
    assert all(c.isascii() and (c.isalnum() or c in "._-") for c in name)
    assert not name.startswith((".", "-"))


@given(text=st.text(min_size=3, max_size=40), names=st.lists(st.text(max_size=40), max_size=30))
def test_nearest_is_short_and_printable(text: str, names: list[str]) -> None:
    said = nearest(text, [Seen(pid, 1, name, name, "") for pid, name in enumerate(names, 10)])
    assert len(said) <= 5
    assert all(line.isprintable() for line in said)


def test_this_process_by_port_and_pid_but_never_by_name() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert resolve(f"port:{port}").attachments[0].pid == os.getpid()
    assert resolve(f"pid:{os.getpid()}").attachments[0].pid == os.getpid()
    # By a name that no other test process has.
    program = "import sys; from harness.targets.resolve import resolve; resolve(sys.argv[1])"
    name = f"resolver-of-{os.getpid()}"
    done = subprocess.run([sys.executable, "-c", program, name], capture_output=True, text=True, check=False)
    assert f"no process matches '{name}'" in done.stderr


def test_a_thread_is_not_a_process() -> None:
    """/proc/TID opens although it is not listed."""
    ready, end = threading.Event(), threading.Event()
    found: list[int] = []

    def body() -> None:
        found.append(threading.get_native_id())
        ready.set()
        end.wait()

    thread = threading.Thread(target=body)
    thread.start()
    try:
        ready.wait()
        assert Path(f"/proc/{found[0]}/stat").exists()
        with pytest.raises(TargetError, match="no process"):
            resolve(f"pid:{found[0]}")
    finally:
        end.set()
        thread.join()


def test_who_watches_the_port_of_a_container_hears_of_the_container(proc: FakeProc) -> None:
    """A container is watched with more than its processes; who only passes on to one has no memory worth watching."""
    identifier = "5e" * 32
    proc.listen((LOCALHOST, 8001, 61), (LOCALHOST, 8002, 62), (LOCALHOST, 8003, 63))
    proc.process(600, 1, "gunicorn", "gunicorn other.wsgi", 61)
    (proc.root / "600" / "cgroup").write_text(f"0::/docker/{identifier}\n")
    proc.process(601, 1, "conmon", f"/usr/bin/conmon --api-version 1 -c {identifier}", 62)
    proc.process(602, 1, "docker-proxy", "docker-proxy -host-port 8003", 63)
    for port in (8001, 8002):
        said = resolve(f"port:{port}", proc=proc.root, self_pid=US).found
        assert said.endswith(
            f"in a container; with its limits, restarts and kills: harness watch container:{identifier[:12]}"
        )
    assert "it only passes on to a container" in resolve("port:8003", proc=proc.root, self_pid=US).found
    proc.listen((LOCALHOST, 8000, 51))
    assert "container" not in resolve("port:8000", proc=proc.root, self_pid=US).found
