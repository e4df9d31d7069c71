"""Have Locust's master and workers speak over a socket of the file system, in a directory that only its user can enter, and not
over a port, which every user of the machine can reach: their messages are not signed.

Locust makes addresses of the form ``tcp://HOST:PORT`` and has no option for others; ZeroMQ has ``ipc://PATH`` (zmq_ipc(7)), with
the same bytes on it. So what opens the socket is replaced, and nothing else of Locust.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

import zmq.green as zmq
from locust.rpc import zmqrpc

from harness.load.swarm.wire import SOCKET

# Of a directory that ours may be in: a socket's path has 108 bytes, and ssh reads colons and percent signs in it.
_PLAIN = re.compile(r"[A-Za-z0-9._/+@-]{1,70}")


class _Server(zmqrpc.Server):
    path = ""

    def __init__(self, host: str, port: int) -> None:
        """``host``, ``port``: as Locust calls it; they say nothing here."""
        self.socket = zmq.Context().socket(zmq.ROUTER)
        self.socket.bind(f"ipc://{self.path}")
        self.port = 0


class _Client(zmqrpc.Client):
    path = ""

    def __init__(self, host: str, port: int, identity: str) -> None:
        """``host``, ``port``: as Locust calls it; they say nothing here."""
        self.socket = zmq.Context().socket(zmq.DEALER)
        self.socket.setsockopt(zmq.IDENTITY, identity.encode())
        self.socket.connect(f"ipc://{self.path}")


def listen() -> Path:
    """From now on a master of this process listens there, in a new directory; `forget` removes it. Raises OSError."""
    parent = tempfile.gettempdir()
    directory = tempfile.mkdtemp(prefix="harness-load-", dir=parent if _PLAIN.fullmatch(parent) else "/tmp")  # noqa: S108
    path = Path(directory) / "m"
    _Server.path = str(path)
    zmqrpc.Server = _Server  # type: ignore[misc]
    return path


def forget(path: Path | None) -> None:
    """Remove what `listen` has made; None: nothing."""
    if path is not None:
        shutil.rmtree(path.parent, ignore_errors=True)


def join() -> None:
    """From now on a worker of this process finds its master where the environment says, if it does."""
    path = os.environ.get(SOCKET)
    if path:
        _Client.path = path
        zmqrpc.Client = _Client  # type: ignore[misc]
