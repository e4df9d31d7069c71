"""Orders from the harness between requests: a file says what is wanted, a signal says that the file has been written.

No thread, no socket, no route in the application. The signal is a real-time one that nobody else handles here; where somebody
does, or where this is not the main thread, the agent takes no orders and the harness sees that in /proc/PID/status (SigCgt).
"""

import _signal
import os

from . import settings
from .recorder import Recorder

_ORDER_CAP = 4096
_last = 0
_recorder: "Recorder" = None  # type: ignore[assignment]  # install sets it before an order can come
_number = 0
_pending = _busy = False


def install(recorder):
    """Take orders in this process and in those it forks."""
    global _recorder, _number
    number = settings.text("SIGNAL")
    if not number or not settings.text("ORDERS"):
        return
    try:
        if _signal.getsignal(int(number)) in (_signal.SIG_DFL, _signal.SIG_IGN):  # ignored: an agent was here before
            _signal.signal(int(number), _handle)
            _recorder, _number = recorder, int(number)
    except (ValueError, OSError):
        pass  # not the main thread


def remove():
    """Take no orders any more; the signal would end the process now, so it is ignored from here on."""
    if _number and _signal.getsignal(_number) is _handle:
        _signal.signal(_number, _signal.SIG_IGN)


def _handle(number, frame):
    """One order after the other: a signal that comes while an order is carried out, a module for it half loaded, has to wait."""
    global _pending, _busy
    _pending = True
    while _pending and not _busy:
        _busy = True
        try:
            _pending = False
            order = _read()
            if order is not None:
                _obey(*order)
        except Exception:
            pass  # this runs in the middle of the application
        finally:
            _busy = False


def _read():
    """(number, verb, rest) of an order that has not been carried out here, else None."""
    global _last
    fd = os.open(settings.text("ORDERS"), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        text = os.read(fd, _ORDER_CAP).decode("ascii")
    finally:
        os.close(fd)
    number, verb, rest = text.rstrip("\n").split(" ", 2)
    if int(number) <= _last:
        return None
    _last = int(number)
    return int(number), verb, rest


def _obey(number, verb, rest):
    if verb == "floor":
        from . import floor

        floor.take(_recorder, number, rest)
    elif verb == "arm":
        _recorder.armed = (rest, {}) if rest else None
    elif verb == "retire":
        from . import boot

        boot.leave()
