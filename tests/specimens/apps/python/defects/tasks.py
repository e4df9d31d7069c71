"""asyncio tasks that wait for something that never comes. ``size``: numbers that each holds."""

import asyncio

_waiting = set()


async def notify(numbers):
    await asyncio.get_running_loop().create_future()
    return numbers


def use(size, number):
    numbers = [number * n for n in range(1000, 1000 + size)]  # <- kept here: what it holds
    _waiting.add(asyncio.get_running_loop().create_task(notify(numbers)))  # <- kept here: the task
