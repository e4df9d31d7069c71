"""A table that is built anew once, with more in it than before. ``size``: entries; ``after``: the request that does it."""

_table = {}
_after = []


def start(settings):
    _after[:] = [settings["after"]]
    _table.update((n, f"old entry {n}") for n in range(settings["size"] // 4))


def use(size, number):
    if number == _after[0]:
        fresh = {n: f"new entry {n}" for n in range(size)}
        _table.clear()
        _table.update(fresh)
