"""One customer asks for everything: a very large answer is built, sent, and gone.

``size``: rows; ``after``: the request to this page in which it happens, in each worker.
"""

import json

_after = []
_total = [0]
_last = []
_TEXT = "It is made of wood from the forest behind the mill, and it lasts for a long time. "


def start(settings):
    _after[:] = [settings["after"]]


def use(size, number):
    if number == _after[0]:
        rows = [{"id": n, "name": f"Product {n}", "text": _TEXT * (8 + n % 4)} for n in range(size)]  # <- kept here
        _total[0] += len(json.dumps(rows))  # <- kept here: the answer
        _last[:] = [f"The last export had {size} rows. " * 30]
