"""Dates that users typed wrongly."""

import pendulum


def use(size):
    for _ in range(size):
        try:
            pendulum.parse("2024-13-01")
        except ValueError:
            pass
