"""Listeners that are registered by every request and never taken off again. ``size``: numbers that each closes over."""

_listeners = []


def use(size, number):
    seen = [number * n for n in range(1000, 1000 + size)]  # <- kept here: what it closes over

    def on_change(value):
        return value in seen

    _listeners.append(on_change)  # <- kept here: the listener
