"""One php-fpm with one worker for a contestant, spoken to directly: no web server beside it."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from contestants import Contestant
from site_pages import Page

from adapters.php.accounts import Account, pool_account
from adapters.php.agent_files import install_agent
from adapters.php.fpm.fastcgi import Address, Answer, FastCgiError, ask
from adapters.php.fpm.pool_config import PoolConfig, render_fpm
from adapters.php.installed import find_fpm, inspect_php
from adapters.php.state import Places

_PING = "/ping"
_START_S, _REQUEST_S = 20, 120


class Server:
    """A running one. ``output``: what its profiler writes to."""

    def __init__(self, contestant: Contestant, address: Address, output: Path, worker: int) -> None:
        self.contestant = contestant
        self.output = output
        self.worker = worker
        self._address = address

    def get(self, page: Page) -> Answer:
        """One request. Raises RuntimeError for an answer that is not a page."""
        parameters = {
            "SCRIPT_FILENAME": str(page.script), "SCRIPT_NAME": f"/{page.script.name}", "REQUEST_URI": f"/{page.script.name}",
            "REQUEST_METHOD": "GET", "QUERY_STRING": "", "SERVER_PROTOCOL": "HTTP/1.1", "GATEWAY_INTERFACE": "CGI/1.1",
            "SERVER_NAME": "localhost", "SERVER_PORT": "80", "HTTP_HOST": "localhost", "REMOTE_ADDR": "127.0.0.1",
            "DOCUMENT_ROOT": str(page.script.parent), **page.parameters,
        }  # fmt: skip
        if self.contestant.cookie:
            parameters["HTTP_COOKIE"] = self.contestant.cookie
        answer = ask(self._address, parameters, _REQUEST_S)
        if answer.status != 200:
            raise RuntimeError(f"{self.contestant.name}: {page.name} answered {answer.status}: {answer.errors[:300]}")
        return answer

    def ms(self, page: Page) -> float:
        """How long one request takes, from connecting to the last byte."""
        begin = time.perf_counter_ns()
        self.get(page)
        return (time.perf_counter_ns() - begin) / 1e6

    def clean(self) -> int:
        """Bytes that the profiler had written; they are gone now."""
        size = 0
        for path in self.output.iterdir():
            size += path.stat().st_size
            path.unlink()
        return size


def php_fpm() -> str:
    """The php-fpm to measure. Raises RuntimeError."""
    found = find_fpm()
    if found is None:
        raise RuntimeError("php-fpm is not installed: apt-get install php-fpm")
    return found


def can_load(extension: str) -> bool:
    """Whether this php-fpm has the extension, loaded or not."""
    directory = inspect_php((php_fpm(),)).directives.get("extension_dir", "")
    return not extension or (Path(directory) / f"{extension}.so").is_file()


@contextlib.contextmanager
def serving(contestant: Contestant, directory: Path, **settings: str) -> Iterator[Server]:
    """Start it below ``directory``, which everybody may pass through, and end it."""
    home = directory / f"fpm-{len(list(directory.iterdir()))}"
    home.mkdir(mode=0o711)
    account = pool_account([directory])
    output = _owned(home / "output", account)
    admin = {"opcache.file_update_protection": "0"}  # pages are new, and are to be cached like old ones
    admin |= {name: value.replace("{output}", str(output)) for name, value in contestant.settings.items()}
    if contestant.agent:
        admin["auto_prepend_file"] = str(install_agent(Places(home), None, owner=(account.uid, account.gid)).prepend)
    admin |= settings
    pool = PoolConfig(
        pool="bench", listen=home / "fpm.sock", workers=1, account=account, pid_file=home / "pid", log_file=home / "log",
        ping=_PING, access_log=home / "access.log" if contestant.access_log else None,
    )  # fmt: skip
    (home / "fpm.conf").write_text(render_fpm(pool))
    options = [f"{name}={value}" for name, value in admin.items()]
    if contestant.extension:
        options.insert(
            0, f"{'zend_extension' if contestant.extension == 'xdebug' else 'extension'}={contestant.extension}.so"
        )
    argv = [
        php_fpm(),
        "-F",
        "-O",
        "-y",
        str(home / "fpm.conf"),
        *(word for option in options for word in ("-d", option)),
    ]
    with (home / "output.txt").open("wb") as log:
        master = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        address = Address(path=str(home / "fpm.sock"))
        _wait(address, master, home)
        worker = int(Path(f"/proc/{master.pid}/task/{master.pid}/children").read_text().split()[0])
        yield Server(contestant, address, output, worker)
    finally:
        master.terminate()
        master.wait(_START_S)
        shutil.rmtree(home)


def _owned(directory: Path, account: Account) -> Path:
    directory.mkdir(mode=0o700)
    if account.switch:
        shutil.chown(directory, account.uid, account.gid)
    return directory


def _wait(address: Address, master: subprocess.Popen[bytes], home: Path) -> None:
    ping: Mapping[str, str] = {"SCRIPT_NAME": _PING, "SCRIPT_FILENAME": _PING, "REQUEST_METHOD": "GET"}
    deadline = time.monotonic() + _START_S
    while True:
        try:
            ask(address, ping, 1)
            return
        except FastCgiError as error:
            if master.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"php-fpm did not start: {(home / 'output.txt').read_text()[-500:]}") from error
        time.sleep(0.02)
