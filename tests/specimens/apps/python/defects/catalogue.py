"""A catalogue that is loaded before the workers are forked, and read bit by bit: reading changes the reference counts, and so
the worker gets a copy of each page it reads. ``size``: entries that a request reads; ``entries``: of the catalogue."""

_catalogue = []
_at = [0]


def start(settings):
    for n in range(settings["entries"]):
        _catalogue.append({"id": str(n), "name": f"Product {n}", "price": n * 1.19, "stock": f"{n % 90} pieces"})


def use(size, number):
    first = _at[0] % len(_catalogue)
    _at[0] += size
    part = _catalogue[first : first + size]
    return sum(len(entry["name"]) + len(entry["stock"]) + entry["price"] for entry in part)
