"""What the first requests load: modules, tables, one after the other, and then it is all there. ``size``: entries of a table."""

_tables = {}
_STEPS = 150


def use(size, number):
    if number <= _STEPS:
        _tables[number] = {n: f"entry {n} of table {number}" for n in range(size)}
