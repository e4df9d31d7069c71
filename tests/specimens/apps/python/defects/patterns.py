"""Patterns of what visitors type: the module re keeps the last 512 compiled ones. ``size``: new ones in a request."""

import re


def use(size, number):
    for n in range(size):
        re.compile(f"^(chapter|section) {number}-{n}[a-z]+$").match("chapter 4a")
