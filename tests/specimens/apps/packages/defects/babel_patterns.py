"""Dates in patterns that users write: babel keeps every pattern it has parsed."""

import itertools
from datetime import datetime

from babel.dates import format_datetime

_numbers = itertools.count()


def use(size):
    for _ in range(size):
        format_datetime(datetime(2024, 4, 1), f"yyyy.MM.dd 'no. {next(_numbers)}' HH:mm", locale="en")  # <- kept here
