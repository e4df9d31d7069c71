"""What the line starts on the other host: hands its own connection, standard input and output, over to the keeper, and stays
while that is used. ``link DIRECTORY``; exit code 3 when there is no keeper any more."""

from __future__ import annotations

import array
import os
import socket
import sys

from .keeper import SOCKET

NOBODY = 3


def main() -> int:
    """Returns when the keeper lets go of the connection."""
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        link.connect(os.path.join(sys.argv[1], SOCKET))
    except OSError as error:
        sys.stderr.write("nothing of the run is left on this host ({})\n".format(error.strerror))
        return NOBODY
    try:
        link.sendmsg([b"!"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1]))])
        link.recv(1)
    except OSError:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
