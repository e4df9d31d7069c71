"""A thread that watches each order until it is delivered, which nobody tells it. ``size``: not used."""

import threading


def use(size, number):
    delivered = threading.Event()
    threading.Thread(target=delivered.wait, daemon=True, name=f"order-{number}").start()  # <- kept here
