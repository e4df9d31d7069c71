"""Xdebug's files from other places: php-fpm in a private /tmp, in a container of podman, and behind a real sshd."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from processes import free_port, wait_for

from adapters.php.accounts import Account
from adapters.php.adapter import ADAPTER
from adapters.php.deployment.files import ACCESS_FORMAT as DEPLOYED_FORMAT
from adapters.php.fpm.fastcgi import Address, FastCgiError, ask
from adapters.php.fpm.pool_config import PoolConfig, render_fpm
from adapters.php.installed import find_fpm, inspect_php
from adapters.php.xdebug.elsewhere import places
from adapters.php.xdebug.elsewhere.place import ContainerPlace, HostPlace, parse_place
from adapters.php.xdebug.settings import settings_of
from adapters.php.xdebug.tools import PROFILE
from harness.clock import SystemClock
from harness.model.profile import Artifact, ArtifactStatus
from harness.plugins.spec import AdapterContext, Check, CheckLevel, ProfiledResponse
from harness.targets.shells import shell_to

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make namespaces and switch accounts"),
]
UID = 12345
USER = "xdebugger"
PAGE = """<?php
function work() { return str_repeat('x', 100000); }
if (isset($_GET['hide'])) { header_remove(); }
echo strlen(work());
"""


@dataclass
class Site:
    """A php-fpm with Xdebug. ``output_dir`` as it sees it; ``where``: how a scenario says the place."""

    socket: Path
    page: Path
    output_dir: str
    where: Mapping[str, str]
    secret: str = field(default_factory=lambda: secrets.token_hex(16))

    @property
    def access_log(self) -> str:
        return f"{self.output_dir}/access.log"

    def context(self, work: Path, **options: str | None) -> AdapterContext:
        xdebug = {"secret": self.secret, "output_dir": self.output_dir, "access_log": self.access_log, **self.where}
        return AdapterContext(work, "0" * 32, {"xdebug": {**xdebug, **options}}, ("xdebug",), shell=shell_to)

    def get(self, context: AdapterContext, query: str = "", *, names: bool) -> ProfiledResponse:
        """One triggered request. ``names``: the server passes the span on, so that files are named after it."""
        span = secrets.token_hex(8)
        parameters = {
            "SCRIPT_FILENAME": str(self.page), "SCRIPT_NAME": "/page.php",
            "REQUEST_METHOD": "GET", "REQUEST_URI": f"/?{query}", "QUERY_STRING": query,
            "HTTP_COOKIE": "; ".join(f"{k}={v}" for k, v in ADAPTER.trigger(context, "xdebug").cookies.items()),
            "HTTP_TRACEPARENT": f"00-{'1' * 32}-{span}-01", "SERVER_PROTOCOL": "HTTP/1.1",
        } | ({"UNIQUE_ID": span} if names else {})  # fmt: skip
        start = time.monotonic_ns()
        answer = ask(Address(path=str(self.socket)), parameters, 20)
        assert answer.body == b"100000"
        return ProfiledResponse(span, "GET /", answer.status, start, time.monotonic_ns(), answer.headers)

    def profile(self, context: AdapterContext, query: str = "", *, names: bool = True) -> Artifact:
        response = self.get(context, query, names=names)
        (artifact,) = ADAPTER.collect(
            context, ADAPTER.trigger(context, "xdebug"), response, context.work_dir / "copies"
        )
        if artifact.path is not None:
            profile = ADAPTER.parse("xdebug", context.work_dir / "copies" / artifact.path)
            assert "work" in {frame.function for frame in profile.frames}
        return artifact


def checks(context: AdapterContext) -> list[Check]:
    return [check for check in ADAPTER.preflight(context, []) if check.name == "php.xdebug"]


def fpm_command(home: Path, site: Site, account: Account) -> list[str]:
    """php-fpm in the foreground, with its configuration in ``home``; only its output directory is in the place."""
    fpm = find_fpm()
    assert fpm is not None
    site.page.write_text(PAGE)
    pool = PoolConfig(
        "xdebug", site.socket, 1, account, Path(f"{site.output_dir}/pid"), Path(f"{site.output_dir}/fpm.log"), "/ping",
        access_log=Path(site.access_log), access_format=DEPLOYED_FORMAT,
    )  # fmt: skip
    (home / "fpm.conf").write_text(render_fpm(pool))
    load = inspect_php([fpm]).xdebug is None
    settings = settings_of(PROFILE, Path(site.output_dir), site.secret, load=load)
    return [
        fpm,
        "-F",
        "-y",
        str(home / "fpm.conf"),
        *(word for k, v in settings.items() for word in ("-d", f"{k}={v}")),
    ]


@contextmanager
def running(argv: Sequence[str], **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(argv, start_new_session=True, env={**os.environ, **environment})
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(site: Site) -> bool:
    try:
        ask(
            Address(path=str(site.socket)),
            {"SCRIPT_NAME": "/ping", "SCRIPT_FILENAME": "/ping", "REQUEST_METHOD": "GET"},
            2,
        )
    except FastCgiError:
        return False
    return True


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """Not in /tmp, which is another one in some of the places."""
    path = Path(tempfile.mkdtemp(prefix="harness-elsewhere-", dir="/var/tmp"))
    path.chmod(0o755)
    yield path
    for outputs in places._known.values():
        outputs.close()
    shutil.rmtree(path)


def part(home: Path, name: str) -> Path:
    path = home / name
    path.mkdir()
    path.chmod(0o755)
    return path


# --- as a process sees it -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def private_tmp(home: Path) -> Iterator[Site]:
    """As systemd's PrivateTmp, with a pid namespace in addition."""
    here = part(home, "private")
    site = Site(here / "sock", here / "page.php", "/tmp/xdebug", {"process": f"({here}/fpm.conf)"})
    start = 'mount -t tmpfs tmpfs /tmp && mkdir -m 0777 /tmp/xdebug && exec "$@"'
    command = fpm_command(here, site, Account("www-data", "www-data", 33, 33, switch=True))
    with running(
        ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", start, "sh", *command]
    ):
        wait_for(lambda: answers(site), "php-fpm in a private /tmp")
        yield site


def test_private_tmp(private_tmp: Site, tmp_path: Path) -> None:
    context = private_tmp.context(tmp_path)
    assert checks(context) == []
    artifact = private_tmp.profile(context)
    assert artifact.status is ArtifactStatus.COMPLETE
    assert artifact.attributes["found_by"] == "name"
    # The pid in the file's name is that of another namespace; ours is told.
    assert artifact.pid is not None
    assert Path(f"/proc/{artifact.pid}/cmdline").read_bytes().startswith(b"php-fpm: pool xdebug")
    assert not Path(private_tmp.output_dir).exists(), "it is not in our own /tmp"
    outputs = places.new_outputs(
        parse_place(process=private_tmp.where["process"], container=None, host=None) or ContainerPlace("none"),
        private_tmp.output_dir, None, SystemClock(), shell_to,
    )  # fmt: skip
    assert not [entry.name for entry in outputs.entries() if entry.name.startswith("cachegrind")], "all was removed"


@pytest.mark.parametrize("query", ["", "hide=1"])
def test_private_tmp_by_header_and_by_access_log(private_tmp: Site, tmp_path: Path, query: str) -> None:
    artifact = private_tmp.profile(private_tmp.context(tmp_path), query, names=False)
    assert artifact.status is ArtifactStatus.COMPLETE
    assert artifact.attributes["found_by"] == ("access-log" if query else "header")


def test_processes_that_are_not_there(private_tmp: Site, tmp_path: Path) -> None:
    context = private_tmp.context(tmp_path, process="no-such-process-anywhere")
    (check,) = checks(context)
    assert check.level is CheckLevel.ERROR
    assert "there is no process" in check.message
    artifact = private_tmp.profile(context)
    assert artifact.status is ArtifactStatus.MISSING
    assert "there is no process" in artifact.detail
    (check,) = checks(private_tmp.context(tmp_path, output_dir="/tmp/nowhere"))
    assert "/tmp/nowhere" in check.message
    assert check.fix is not None


# --- in a container -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def container(home: Path) -> Iterator[Site]:
    """A container without an image: its root has the programs of this machine, read-only, and nothing else."""
    podman = shutil.which("podman")
    assert podman is not None, "apt-get install podman runc"
    here = part(home, "container")
    root = part(here, "root")
    for name in ("usr", "etc", "tmp", "proc", "sys", "dev", "run", "var"):
        part(root, name)
    for name in ("bin", "lib", "lib64", "sbin"):
        (root / name).symlink_to(f"usr/{name}")
    name = f"harness-test-{secrets.token_hex(4)}"
    site = Site(here / "sock", here / "page.php", "/var/xdebug", {"container": name})
    command = fpm_command(here, site, Account("www-data", "www-data", 33, 33, switch=True))
    subprocess.run(
        [
            podman, "--runtime", "runc", "run", "-d", "--name", name, "--network", "none",
            "--ulimit", "nofile=20000:20000", "--ulimit", "nproc=1000:1000",
            "-v", "/usr:/usr:ro", "-v", "/etc:/etc:ro", "-v", f"{here}:{here}", "--tmpfs", "/var/xdebug:mode=1777",
            "--rootfs", str(root), *command,
        ],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    try:
        wait_for(lambda: answers(site), "php-fpm in a container")
        yield site
    finally:
        subprocess.run([podman, "rm", "-f", "-t", "0", name], check=False, capture_output=True, timeout=60)


@pytest.fixture(params=["root", "exec"])
def road(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Below /proc/PID/root, and by a shell in the container as where that may not be looked into."""
    if request.param == "exec":
        monkeypatch.setattr(places._Container, "needs_a_shell", True)
    places._known.clear()
    return str(request.param)


def test_container(container: Site, road: str, tmp_path: Path) -> None:
    context = container.context(tmp_path)
    assert checks(context) == []
    by_name = container.profile(context)
    by_log = container.profile(context, "hide=1", names=False)
    for artifact, found_by in ((by_name, "name"), (by_log, "access-log")):
        assert artifact.status is ArtifactStatus.COMPLETE
        assert artifact.attributes["found_by"] == found_by
        assert artifact.pid is not None
        assert Path(f"/proc/{artifact.pid}/cmdline").read_bytes().startswith(b"php-fpm: pool xdebug")
    (outputs,) = places._known.values()
    left = [entry.name for entry in outputs.entries() if entry.name.startswith("cachegrind")]
    assert len(left) == 1, "what carries the span of a request was removed; the other may be anybody's"
    outputs.remove(left)
    assert not [entry.name for entry in outputs.entries() if entry.name.startswith("cachegrind")]
    outputs.close()


def test_links_in_a_container_lead_nowhere_else(container: Site, home: Path, tmp_path: Path) -> None:
    outside = part(home, "outside")
    name = "cachegrind.out.1.1700000001.500000.0a1b2c"
    (outside / name).write_text("summary: 1 2\n\n")
    subprocess.run(
        ["podman", "exec", container.where["container"], "ln", "-s", str(outside), "/var/xdebug/link"], check=True
    )
    place = ContainerPlace(container.where["container"])
    outputs = places.new_outputs(place, "/var/xdebug/link", None, SystemClock(), shell_to)
    assert outputs.entries() == ()
    assert "no directory" in outputs.trouble
    assert outputs.fetch(PROFILE, name, tmp_path / "copy").status is ArtifactStatus.MISSING


def test_containers_that_are_not_there(container: Site, road: str, tmp_path: Path) -> None:
    context = container.context(tmp_path, container="no-such-container")
    (check,) = checks(context)
    assert check.level is CheckLevel.ERROR
    assert "no-such-container" in check.message
    artifact = container.profile(context)
    assert artifact.status is ArtifactStatus.MISSING
    assert "no-such-container" in artifact.detail


# --- on a host ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def host(home: Path) -> Iterator[Site]:
    """sshd and php-fpm as on a machine of their own: an account that only they know, with a login shell that talks too much."""
    sshd, keygen = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin"), shutil.which("ssh-keygen")
    assert sshd is not None, "apt-get install openssh-server"
    assert keygen is not None
    here, port = part(home, "host"), free_port()
    for key in ("host_key", "user_key"):
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(here / key)], check=True)
    (here / "passwd").write_text(Path("/etc/passwd").read_text() + f"{USER}:*:{UID}:{UID}::{here}:/bin/bash\n")
    (here / ".bashrc").write_text("echo 'Welcome to staging!'; head -c 3000 /dev/urandom\n")
    (here / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {here}/host_key\nPidFile none\nUsePAM no\nStrictModes no\n"
        f"PasswordAuthentication no\nAuthorizedKeysFile {here}/user_key.pub\nBanner {here}/banner\nPrintMotd yes\n"
    )
    (here / "banner").write_text("Authorised use only\n")
    (here / "known_hosts").write_text(f"[127.0.0.1]:{port} {(here / 'host_key.pub').read_text()}")
    (here / "ssh_config").write_text(
        f"IdentityFile {here}/user_key\nIdentitiesOnly yes\nUserKnownHostsFile {here}/known_hosts\n"
        f"GlobalKnownHostsFile /dev/null\nStrictHostKeyChecking yes\n"
    )
    out = part(here, "out")
    os.chown(out, UID, UID)
    site = Site(here / "sock", here / "page.php", str(out), {"host": f"ssh://{USER}@127.0.0.1:{port}"})
    fpm = fpm_command(here, site, Account("", "", UID, UID, switch=False))
    start = (
        'mount --bind "$1/passwd" /etc/passwd && mount -t tmpfs tmpfs /run && mkdir -m 0755 /run/sshd && touch "$1/started" && '
        'shift && exec "$@"'
    )
    apart = ["unshare", "--mount", "sh", "-c", start, "sh", str(here)]
    (here / "sock").parent.chmod(0o777)
    with (
        running([*apart, sshd, "-D", "-e", "-f", str(here / "sshd_config")]),
        running(["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", *fpm]),
    ):
        wait_for(lambda: answers(site), "php-fpm of the host")
        yield site


@pytest.fixture
def our_ssh(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The real ssh with a configuration of the test's, where a user has ~/.ssh/config; the file may be changed."""
    config, bin_dir = tmp_path / "ssh_config", tmp_path / "bin"
    shutil.copy(home / "host" / "ssh_config", config)
    bin_dir.mkdir()
    (bin_dir / "ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {config} "$@"\n')
    (bin_dir / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_dir}:{os.environ['PATH']}")
    return config


def of_user() -> dict[int, str]:
    """Processes of the account, but php-fpm, with their command lines."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.stat().st_uid == UID:
                found[int(process.name)] = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
    return {pid: line for pid, line in found.items() if "php-fpm" not in line and line}


def test_host(host: Site, our_ssh: Path, tmp_path: Path) -> None:
    context = host.context(tmp_path)
    assert checks(context) == []
    by_name = host.profile(context)
    by_log = host.profile(context, "hide=1", names=False)
    for artifact, found_by in ((by_name, "name"), (by_log, "access-log")):
        assert artifact.status is ArtifactStatus.COMPLETE
        assert artifact.attributes["found_by"] == found_by
        assert artifact.pid is None, "a pid of another host says nothing here"
    left = [path.name for path in Path(host.output_dir).glob("cachegrind*")]
    assert len(left) == 1
    outputs = next(known for (place, *_), known in places._known.items() if isinstance(place, HostPlace))
    offset = outputs.wall_offset()
    assert abs(offset.ns) <= offset.error_ns < 5e9
    outputs.remove(left)
    assert not list(Path(host.output_dir).glob("cachegrind*"))
    # The line drops: the next question makes a new one. Closed, nothing of us stays there.
    assert any("sshd" in line for line in of_user().values())
    (shell,) = [pid for pid, line in of_user().items() if line == "sh "]
    os.kill(shell, signal.SIGKILL)
    wait_for(lambda: shell not in of_user(), "the end of the shell")
    assert outputs.entries() == []
    assert outputs.trouble == ""
    outputs.close()
    wait_for(lambda: of_user() == {}, "the end of all that the account runs")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UserKnownHostsFile /dev/null\n", "Host key verification failed"),
        ("IdentityFile /dev/null\n", "Permission denied"),
        ("ProxyCommand false\n", "the connection ended"),
    ],
)
def test_hosts_that_cannot_be_reached(host: Site, our_ssh: Path, tmp_path: Path, change: str, said: str) -> None:
    """The user's configuration is what counts, and what ssh says of it is told, once in preflight and for each request."""
    our_ssh.write_text(change + our_ssh.read_text().replace("IdentityFile", "#"))
    context = host.context(tmp_path)
    (check,) = checks(context)
    assert check.level is CheckLevel.ERROR
    assert said in check.message
    assert "ssh -o BatchMode=yes -p" in str(check.fix)


def test_what_is_wrong_on_a_host(host: Site, our_ssh: Path, tmp_path: Path) -> None:
    (check,) = checks(host.context(tmp_path, output_dir="/nowhere", access_log=None))
    assert check.level is CheckLevel.ERROR
    assert "/nowhere does not exist" in check.message
    (check,) = checks(host.context(tmp_path, output_dir="/root", access_log=None))
    assert "cannot be read" in check.message
    writes, log = checks(host.context(tmp_path, output_dir="/etc", access_log="/nowhere"))
    assert (writes.level, log.level) == (CheckLevel.WARNING, CheckLevel.WARNING)
    assert "may not be removed" in writes.message
    assert "/nowhere does not exist" in log.message
