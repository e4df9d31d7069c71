"""An import that builds many blocks of the C library and drops most of them: every third stays, and pins what is around it.

``size``: blocks. It happens in the first request to the page.
"""

import random

_kept = []


def use(size, number):
    if number == 1:
        dice = random.Random(3)
        blocks = [bytearray(dice.randrange(600, 1100)) for _ in range(size)]  # <- kept here: the blocks
        _kept.extend(blocks[::3])  # <- kept here: the survivors
