"""A thread that notes the state of the shop twenty times a second, whether anybody visits or not. ``size``: bytes of a note."""

import threading
import time

_notes = []
_size = []
_PAUSE_S = 0.05


def _watch():
    while True:
        time.sleep(_PAUSE_S)
        _notes.append(bytes(_size[0]))


def start(settings):
    _size[:] = [settings["size"]]


def use(size, number):
    if number == 1:  # not in the master, whose threads do not survive the fork
        threading.Thread(target=_watch, daemon=True).start()
