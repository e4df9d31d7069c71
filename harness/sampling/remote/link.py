"""What the line starts on the other host: hands its own connection, standard input and output, over to the keeper, and stays
while that is used. ``link DIRECTORY``; exit code 3 when there is no keeper any more. ``link DIRECTORY end`` has the keeper end
everything, and stays until it has: for a home that has lost its line."""

from __future__ import annotations

import array
import fcntl
import os
import shutil
import socket
import sys
import time

from .keeper import ARCHIVE, END, LOCK, SOCKET

NOBODY = 3
_LAST_S = 20.0  # programs whose keeper was killed end with their standard input


def remove_remains(directory: str, patience_s: float = _LAST_S) -> None:
    """The directory of a keeper that was killed, once its programs, which work in it, have ended."""
    try:
        lock = os.open(os.path.join(directory, LOCK), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return  # there is none, or it is none of ours
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(lock).st_uid != os.geteuid() or not os.path.isfile(os.path.join(directory, ARCHIVE)):
            return
        until = time.monotonic() + patience_s
        while _in_use(os.path.realpath(directory)) and time.monotonic() < until:
            time.sleep(0.1)
        shutil.rmtree(directory, ignore_errors=True)
    except OSError:
        pass  # a keeper holds it
    finally:
        os.close(lock)


def _in_use(directory: str) -> bool:
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and os.readlink("/proc/{}/cwd".format(name)) == directory:
                return True
        except OSError:
            continue
    return False


def main() -> int:
    """Returns when the keeper lets go of the connection."""
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        link.connect(os.path.join(sys.argv[1], SOCKET))
    except OSError as error:
        remove_remains(sys.argv[1])
        sys.stderr.write("nothing of the run is left on this host ({})\n".format(error.strerror))
        return NOBODY
    try:
        if sys.argv[2:] == ["end"]:
            link.sendall(END)
        else:
            link.sendmsg([b"!"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1]))])
        link.recv(1)
    except OSError:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
