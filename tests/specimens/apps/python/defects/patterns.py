"""Patterns of what visitors type: the module re keeps the last 512 compiled ones. ``size``: different ones."""

import re


def use(size, number):
    re.compile(f"^(chapter|section) {number % size}[a-z]+$").match("chapter 4a")
