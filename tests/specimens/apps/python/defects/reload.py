"""Asks the master to replace all workers once, as a deployment does. ``size``: the request that does it."""

import os
import signal

_flag = []


def start(settings):
    _flag[:] = [os.path.join(settings["directory"], "reloaded")]


def use(size, number):
    if number >= size and not os.path.exists(_flag[0]):
        open(_flag[0], "w").close()
        os.kill(os.getppid(), signal.SIGHUP)
