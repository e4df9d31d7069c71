"""Bursts of work in a pool of threads: each thread has an arena of the C library, which stays as high as its highest burst.

``size``: blocks of a burst in each thread; ``threads``: of the pool. A few blocks of every burst live until the next one.
"""

import concurrent.futures
import random

_pool = []
_dice = random.Random(2)
_last = {}


def start(settings):
    _pool.append(settings.get("threads", 8))


def _burst(size, slot):
    blocks = [bytearray(_dice.randrange(600, 9000)) for _ in range(size)]  # <- kept here: the blocks
    _last[slot] = blocks[::40]  # <- kept here: the survivors


def use(size, number):
    if isinstance(_pool[0], int):
        _pool[0] = concurrent.futures.ThreadPoolExecutor(_pool[0])
    list(_pool[0].map(lambda slot: _burst(size, slot), range(16)))
