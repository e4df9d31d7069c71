"""A cache without need of a bound: there are only so many things, and visitors ask for them at random. ``size``: bytes of one;
``keys``: how many there are."""

import random

_cache = {}
_keys = []
_dice = random.Random(9)


def start(settings):
    _keys[:] = [settings["keys"]]


def use(size, number):
    key = _dice.randrange(_keys[0])
    if key not in _cache:
        _cache[key] = f"{key:08d}" * (size // 8)
