"""The staging stacks of ``docker/``, built and run for real with podman."""

from __future__ import annotations

import functools
import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from processes import alone, free_port, wait_for

DOCKER = Path(__file__).parents[2] / "docker"
ENGINE = ("podman", "--runtime", "runc")
LIMITS = ("--ulimit", "nofile=20000:20000", "--ulimit", "nproc=1000:1000")


def podman(*words: str, check: bool = True, timeout_s: float = 120.0) -> str:
    done = subprocess.run([*ENGINE, *words], check=False, capture_output=True, text=True, timeout=timeout_s)
    assert not check or done.returncode == 0, f"podman {' '.join(words)}: {done.stderr}"
    return done.stdout.strip()


@functools.cache
def image(name: str) -> str:
    """The image of a directory of ``docker/``, built once in this process; layers are shared with whoever built it before."""
    assert os.geteuid() == 0, "only root can build images here"
    for program in ("podman", "runc", "debootstrap"):
        assert shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin"), f"apt-get install {program}"
    with alone("images"):
        done = subprocess.run(
            [DOCKER / "podman", "build", name], check=False, capture_output=True, text=True, timeout=280
        )
    assert done.returncode == 0, done.stderr
    return f"harness-{name}"


@contextmanager
def container(name: str, options: Sequence[str] = (), command: Sequence[str] = ()) -> Iterator[str]:
    """A container of one of the images, by `docker/podman run`; its name."""
    image(name)
    called = f"harness-test-{name}-{secrets.token_hex(4)}"
    done = subprocess.run(
        [DOCKER / "podman", "run", name, "--name", called, *options, "--", *command],
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    try:
        assert done.returncode == 0, done.stderr
        yield called
    finally:
        podman("rm", "-f", "-t", "0", called, check=False)


@dataclass(frozen=True)
class PhpStack:
    """nginx before php-fpm, and before a second master with Xdebug for requests with the secret: names of their containers, and
    of the volume that their sockets and the first one's access log are on."""

    url: str
    secret: str
    php: str
    second: str
    nginx: str
    volume: str

    @property
    def profiles(self) -> str:
        """Names of Xdebug's files that are in the second master's container."""
        return podman("exec", self.second, "find", "/var/lib/harness-xdebug", "-name", "cachegrind*")


@contextmanager
def php_stack(options: Sequence[str] = ()) -> Iterator[PhpStack]:
    """A stack that answers. ``options``: of the first master's container."""
    secret, address = secrets.token_hex(16), f"127.0.0.1:{free_port()}"
    volume = f"harness-test-{secrets.token_hex(4)}"
    sockets, knowing = ("-v", f"{volume}:/run/php"), ("-e", f"XDEBUG_SECRET={secret}")
    try:
        with (
            container("php", (*sockets, *options), ("www",)) as php,
            container("php", (*sockets, *knowing), ("xdebug",)) as second,
            container("nginx", (*sockets, *knowing, "-e", f"LISTEN={address}")) as nginx,
        ):
            answers(f"http://{address}/", nginx)
            yield PhpStack(f"http://{address}", secret, php, second, nginx, volume)
    finally:
        podman("volume", "rm", "-f", volume, check=False)


def inspect(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(podman("container", "inspect", name))[0]
    return found


def logs(name: str) -> str:
    done = subprocess.run([*ENGINE, "logs", name], check=False, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


def answers(url: str, name: str) -> None:
    """Wait until the container's server answers."""

    def there() -> bool:
        try:
            return httpx.get(url, timeout=5).status_code == 200
        except httpx.HTTPError:
            assert inspect(name)["State"]["Running"], logs(name)
            return False

    wait_for(there, f"{url} to answer")
