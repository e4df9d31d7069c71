"""``python -m harness.sampling``: commands on stdin, samples on stdout."""

from __future__ import annotations

import signal
import sys

from .loop import Loop
from .protocol import ProtocolError
from .reading import allow_many_files


def main() -> int:
    """Exit code 0 after stop, end of file or when nobody listens any more; 2 when told something that is no command."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the session's to handle; it will close the pipe
    allow_many_files()
    try:
        Loop(0, 1).run()
    except BrokenPipeError:
        return 0
    except ProtocolError as error:
        sys.stderr.write("{}\n".format(error))
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
