"""What the web applications for line-level tools do: known allocations, in functions of every kind. Runs on Python 3.8 too."""

import asyncio
import os
import threading

MB = int(os.environ.get("LINES_BYTES", "1000000"))
KEPT = []
MEET = threading.Barrier(2)


def known(n=MB):
    first = bytearray(n)
    transient = len(bytearray(5 * n))
    KEPT.append(bytearray(2 * n))
    del first
    KEPT.clear()
    return transient


def unwatched(n):
    temporary = bytearray(3 * n)
    del temporary
    return bytearray(n)


def calls(n=MB):
    of_unwatched = unwatched(n)
    of_watched = callee(n)
    return len(of_unwatched) + len(of_watched)


def callee(n):
    temporary = bytearray(3 * n)
    del temporary
    return bytearray(n)


def recursive(depth, n=MB):
    mine = bytearray(n)
    if depth:
        return len(mine) + recursive(depth - 1)
    return len(mine)


def raises(n=MB):
    lost = bytearray(n)
    raise ValueError(len(lost))


def catches(n=MB):
    try:
        raises(n)
    except ValueError:
        kept = bytearray(n)
    return len(kept)


def nested(n=MB):
    blocks = [bytearray(n) for _ in range(3)]

    def inside():
        return bytearray(n)

    blocks.append(inside())
    return len(blocks)


def numbers(count, n=MB):
    for number in range(count):
        block = bytearray(n)
        yield f"{number + len(block)} "
        del block


async def async_numbers(count, n=MB):
    for number in range(count):
        block = bytearray(n)
        await asyncio.sleep(0)
        yield f"{number + len(block)} "
        del block


async def awaits(n=MB):
    before = bytearray(n)
    inner = await awaited(n)
    await asyncio.sleep(0)
    after = bytearray(n)
    return len(before) + len(inner) + len(after)


async def awaited(n):
    temporary = bytearray(2 * n)
    await asyncio.sleep(0)
    del temporary
    return bytearray(n)


def in_thread(n=MB):
    block = bytearray(4 * n)
    return len(block)


def meets(n=MB):
    """Two threads of one request, in it at the same time."""
    block = bytearray(n)
    MEET.wait()
    return len(block)


def many(count=300_000):
    total = 0
    for number in range(count):
        total += number
    return total


class Shelf:
    def put(self, n=MB):
        self.block = bytearray(n)
        return len(self.block)
