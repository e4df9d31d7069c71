"""``harness doctor`` for PHP: set-ups with every kind of mistake, in real php-fpm, ``php -S`` and a script, with Xdebug."""

from __future__ import annotations

import grp
import json
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from nobody import unprivileged

from adapters.php.adapter import ADAPTER
from adapters.php.fpm.fastcgi import ask, listen_address
from adapters.php.inspection.names import SETTINGS, known
from adapters.php.inspection.phpinfo import version_of
from adapters.php.installed import find_fpm
from harness import cli
from harness.plugins.spec import Check, CheckLevel

pytestmark = pytest.mark.integration

ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not ROOT, reason="only root may give a process a file system of its own")
SECRET = "0123456789abcdef0123456789abcdef"
WRONG = """\
zend_extension = xdebug.so
xdebug.profiler_enable_trigger = 1
xdebug.collect_memory_garbage_collection = 1
xdebug.memory_analysis_level = 2
xdebug.mode = profile
xdebug.start_with_request = yes
xdebug.output_dir = {directory}/profiles
xdebug.trigger_value = letmein
xdebug.profiler_output_name = page.%p.xprof
max_execution_time = 30
"""
POOL = """\
[global]
daemonize = no
error_log = /dev/stderr
include = {directory}/pool.d/*.conf
"""
WWW = """\
[www]
listen = {directory}/www.sock
{account}
pm = static
pm.max_children = 1
pm.max_requests = 500
request_terminate_timeout = 30s
php_admin_value[xdebug.mode] = trace
env[XDEBUG_MODE] = trace
"""


@pytest.fixture(scope="module")
def tree() -> Iterator[Path]:
    """A configuration that everybody may read, as in /etc: below /tmp, because pytest's directories are private."""
    with tempfile.TemporaryDirectory(prefix="harness-inspection-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        for sub in ("ini", "pool.d", "profiles", "public"):
            (directory / sub).mkdir()
        account = ""
        if ROOT:
            user = pwd.getpwnam("nobody")
            account = f"user = nobody\ngroup = {grp.getgrgid(user.pw_gid).gr_name}"
        (directory / "ini" / "wrong.ini").write_text(WRONG.format(directory=directory))
        (directory / "php-fpm.conf").write_text(POOL.format(directory=directory))
        (directory / "pool.d" / "www.conf").write_text(WWW.format(directory=directory, account=account))
        (directory / "public" / "modes.php").write_text(
            "<?php echo json_encode([ini_get('xdebug.mode'), xdebug_info('mode'), xdebug_info('extension-flags')]);"
        )
        yield directory


@contextmanager
def started(argv: Sequence[str], says: str, env: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A program that has said that it is ready."""
    process = subprocess.Popen(
        argv,
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = ""
        while says not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=20)


@pytest.fixture(scope="module")
def master(tree: Path) -> Iterator[int]:
    """A php-fpm whose options and environment decide: what it overwrites with its title."""
    fpm = find_fpm()
    assert fpm is not None, "apt-get install php-fpm"
    argv = (fpm, "-F", "-y", str(tree / "php-fpm.conf"), "-d", "memory_limit=-1", "-d", "xdebug.log_level=0")
    with started(argv, "ready to handle connections", {"PHP_INI_SCAN_DIR": str(tree / "ini")}) as process:
        yield process.pid


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def by_name(checks: Sequence[Check]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for check in checks:
        found.setdefault(check.name, []).append(check.message)
    return found


@pytest.fixture(scope="module")
def inspected(master: int) -> Sequence[Check]:
    return ADAPTER.inspect(children(master))


def test_every_mistake_with_its_line(tree: Path, master: int, inspected: Sequence[Check]) -> None:
    found, ini, www = by_name(inspected), f"{tree}/ini/wrong.ini", f"{tree}/pool.d/www.conf"
    line = len(WWW.format(directory=tree, account="a\nb" if ROOT else "").splitlines())
    expected = {
        "php.setup": f"php-fpm master {master}: PHP ",
        "php.xdebug.renamed": f"{ini}:2: xdebug.profiler_enable_trigger is a setting of Xdebug 2",
        "php.xdebug.unknown": f"{ini}:3: xdebug.collect_memory_garbage_collection exists in no version",
        "php.xdebug.profile": f"{ini}:5: mode profile is on",
        "php.xdebug.every_request": f"{ini}:6: start_with_request=yes",
        "php.xdebug.secret.weak": f"{ini}:8: xdebug.trigger_value is 7 letters",
        "php.xdebug.secret.readable": f"{ini}:8: xdebug.trigger_value stands in a file",
        "php.xprof": f"{ini}:9: Xdebug writes cachegrind",
        "php.max_execution_time": f"{ini}:10",
        "php.xdebug.mode_per_pool": f"{www}:{line - 1}: xdebug.mode in a pool",
        "php.fpm.request_terminate_timeout": f"{www}:{line - 2}",
        "php.fpm.max_requests": f"{www}:{line - 3}",
        "php.memory_limit": "-d on the command line (pool www): no memory_limit",
    }
    for name, begins in expected.items():
        assert found[name][0].startswith(begins), (name, found.get(name))
    assert len(found["php.xdebug.unknown"]) == len(found["php.xdebug.mode_per_pool"]) == 2
    assert ("php.xdebug.output_dir" in found) == ROOT  # nobody may not write into root's directory
    assert "php.unread" not in found
    assert "letmein" not in f"{inspected}"
    assert all(check.fix for check in inspected if check.level is CheckLevel.WARNING)


def test_asking_writes_nothing(tree: Path, inspected: Sequence[Check]) -> None:
    """The configuration profiles every request, and phpinfo() is one."""
    assert inspected
    assert list((tree / "profiles").iterdir()) == []


def test_a_mode_in_a_pool_has_no_effect(tree: Path, master: int) -> None:
    """The claim behind php.xdebug.mode_per_pool: ini_get() believes in the pool's trace, Xdebug runs with profile."""
    address = listen_address(str(tree / "www.sock"))
    assert address is not None
    script = str(tree / "public" / "modes.php")
    answer = ask(address, {"SCRIPT_FILENAME": script, "SCRIPT_NAME": "/modes.php", "REQUEST_METHOD": "GET"}, 20)
    said = json.loads(answer.body)
    assert said[0] == "trace"
    assert said[1] == ["profile"]


def test_the_command(tree: Path, master: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.invoke(["doctor", "--json", "--pid", str(master)]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["would_start"] is None
    lines = {check["name"]: check for check in shown["setup"]}
    assert lines["php.xdebug.renamed"]["runtime"] == "php"
    assert lines["php.xdebug.renamed"]["fix"] == "xdebug.mode = profile\nxdebug.start_with_request = trigger"
    assert cli.invoke(["doctor", "--pid", str(master)]) == 0
    text = capsys.readouterr().out
    assert "set-up of php\n" in text
    assert f"! php.xdebug.renamed: {tree}/ini/wrong.ini:2: " in text
    assert "      fix: xdebug.mode = profile\n           xdebug.start_with_request = trigger\n" in text
    assert "pm.status_path = /fpm-status" in text  # notes too, of a target that was named
    assert "letmein" not in text


def test_a_scenario_would_start_all_the_same(tree: Path, master: int, capsys: pytest.CaptureFixture[str]) -> None:
    scenario = tree / "shop.yaml"
    scenario.write_text(
        f"name: shop\ntarget: {{runtime: php, attach: {{pid: {master}}}}}\nload: {{observe: 5s}}\nprofile: none\n"
    )
    assert cli.invoke(["doctor", "--json", str(scenario)]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["would_start"] is True
    assert "php.xdebug.renamed" in {check["name"] for check in shown["setup"]}
    assert not {check["name"] for check in shown["checks"]} & {"php.xdebug.renamed", "php.setup"}


def test_what_is_installed(capsys: pytest.CaptureFixture[str]) -> None:
    fpm = find_fpm()
    found = ADAPTER.inspect(())
    titles = [check.message.split(": ")[0] for check in found if check.name == "php.setup"]
    assert fpm is not None
    assert os.path.realpath(fpm) in [os.path.realpath(title) for title in titles]
    assert any(Path(title).name == "php" for title in titles)
    assert all(check.level is not CheckLevel.ERROR for check in found)
    assert cli.invoke(["doctor"]) == 0
    assert "set-up of php\n" in capsys.readouterr().out


def test_the_built_in_server(tree: Path) -> None:
    argv = ("php", "-n", "-d", "zend_extension=xdebug.so", "-d", f"xdebug.trigger_value={SECRET}",
            "-d", "xdebug.start_with_request=trigger", "-d", f"xdebug.output_dir={tree}/public",
            "-d", "xdebug.profiler_output_name=p.%r", "-S", "127.0.0.1:0", "-t", str(tree / "public"))  # fmt: skip
    with started(argv, "started", {"XDEBUG_MODE": "profile", "USE_ZEND_ALLOC": "1"}) as server:
        checks = ADAPTER.inspect([server.pid])
    found = by_name(checks)
    assert "(php -S), Xdebug 3.2.0, mode profile" in found["php.setup"][0]
    assert f"is below the document root {tree}/public" in found["php.xdebug.output_served"][0]
    assert "is shown to everybody by ps" in found["php.xdebug.secret.readable"][0]
    assert "php.unread" not in found
    assert SECRET not in f"{checks}"


def test_the_table_of_settings_is_xdebugs() -> None:
    """Every name that this Xdebug registers and does not call renamed or removed, and no other."""
    code = "echo phpversion('xdebug'), PHP_EOL, json_encode(ini_get_all('xdebug', false));"
    argv = ("php", "-n", "-d", "zend_extension=xdebug.so", "-r", code)
    said = subprocess.run(argv, env={**os.environ, "XDEBUG_MODE": "off"}, capture_output=True, text=True, check=True)
    text, settings = said.stdout.split("\n", 1)
    version = version_of(text)
    assert version is not None
    theirs = {name for name, value in json.loads(settings).items() if not (value or "").startswith("This setting has")}
    assert theirs == {name for name in SETTINGS if known(name, version)}


def test_a_program_that_is_no_php() -> None:
    assert ADAPTER.inspect([os.getpid(), 1]) == []


def test_xdebug_as_an_ordinary_extension_and_an_extension_that_is_not_there(tree: Path) -> None:
    code = "echo 'up', PHP_EOL; fgets(STDIN);"
    argv = (
        "php",
        "-n",
        "-d",
        "extension=xdebug.so",
        "-d",
        "zend_extension=/no/such/xdebug.so",
        "-r",
        f"{code} sleep(60);",
    )
    with started(argv, "up", {}) as worker:
        found = by_name(ADAPTER.inspect([worker.pid]))
    assert "must be loaded as a Zend extension" in found["php.xdebug.extension"][0]
    assert "names a file that is not there" in found["php.extension.missing"][0]


def test_a_program_that_was_replaced_is_judged_by_its_files(tree: Path) -> None:
    """As after an upgrade: what runs cannot be asked any more, and nothing else is."""
    directory = tree / "replaced"
    directory.mkdir()
    program = directory / "php"
    shutil.copy(os.path.realpath(shutil.which("php") or "php"), program)
    (directory / "php.ini").write_text("zend_extension=xdebug.so\nxdebug.profiler_enable=1\nxdebug.mode=develop\n")
    code = "echo 'up', PHP_EOL; sleep(60);"
    env = {"PHP_INI_SCAN_DIR": "", "XDEBUG_TRIGGER": "1"}
    with started((str(program), "-c", str(directory / "php.ini"), "-r", code), "up", env) as worker:
        program.unlink()
        found = by_name(ADAPTER.inspect([worker.pid]))
    assert "cannot be started from here" in found["php.unread"][0]
    assert f"{directory}/php.ini:2: xdebug.profiler_enable is a setting of Xdebug 2" in found["php.xdebug.renamed"][0]
    assert found["php.xdebug.develop"][0].startswith(f"{directory}/php.ini:3: mode develop is on")
    assert "PHP 8" in found["php.setup"][0]
    assert "php.xdebug.trigger_in_environment" in found


@needs_root
def test_a_file_system_of_its_own(tree: Path) -> None:
    """As with PrivateTmp: its /tmp is another than ours."""
    private = tree / "private"
    private.mkdir()
    (private / "sub").mkdir(mode=0o700)
    php = ["php", "-n", "-d", "zend_extension=xdebug.so", "-d", "xdebug.mode=profile", "-d", f"xdebug.output_dir={private}",
           "-S", "127.0.0.1:0", "-t", "/usr"]  # fmt: skip
    shell = f'mount -t tmpfs -o mode=0700 none {private} && exec "$@"'
    with started(("unshare", "--mount", "sh", "-c", shell, "sh", *php), "started", {}) as server:
        found = by_name(ADAPTER.inspect([server.pid]))
        assert f"/proc/{server.pid}/root{private}" in found["php.xdebug.output_private"][0]
        assert "php.xdebug.output_public" not in found  # its own is private, ours is not


@needs_root
def test_as_another_user(tree: Path, master: int) -> None:
    """What may not be read is said."""
    done = unprivileged("doctor", "--json", "--pid", str(master), cwd=tree / "public")
    assert done.returncode == 0, done.stderr
    unread = [check["message"] for check in json.loads(done.stdout)["setup"] if check["name"] == "php.unread"]
    assert any("the environment of php-fpm master" in message for message in unread)
    assert any("the command line of php-fpm master" in message for message in unread)
    assert any("which program it is may not be read" in message for message in unread)
