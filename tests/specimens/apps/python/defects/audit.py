"""An audit trail in memory. ``size``: entries that a request makes."""


class Entry:
    """Who did what."""

    def __init__(self, number, step):
        self.who = f"user-{number}"  # <- kept here: the name
        self.what = (number, step)  # <- kept here: the step


_trail = []


def use(size, number):
    for step in range(size):
        _trail.append(Entry(number, step))  # <- kept here: the entry
