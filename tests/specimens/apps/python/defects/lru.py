"""A cache with a bound. ``size``: bytes of an entry; ``bound``: entries; ``keys``: different ones that are asked for (0: always
new)."""

import collections

_cache = collections.OrderedDict()
_bound = []


def start(settings):
    _bound[:] = [settings["bound"], settings.get("keys", 0)]


def use(size, number):
    bound, keys = _bound
    key = number % keys if keys else number
    if key in _cache:
        _cache.move_to_end(key)
        return
    _cache[key] = f"{key:08d}" * (size // 8)
    if len(_cache) > bound:
        _cache.popitem(last=False)
