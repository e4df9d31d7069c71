"""Labels of a metric with a value of its own for each request. ``size``: length of a label."""

import secrets

_labels = []


def use(size, number):
    _labels.append("request_seconds{id=" + secrets.token_hex(size // 2) + "}")  # <- kept here
