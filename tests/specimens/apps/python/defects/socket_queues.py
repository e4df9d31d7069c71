"""Messages for subscribers that are connected and never read. ``size``: bytes that wait in each."""

import socket

_subscribers = []


def use(size, number):
    ours, theirs = socket.socketpair()  # <- kept here
    ours.setblocking(False)
    ours.send(b"m" * size)
    _subscribers.append((ours, theirs))
