"""Keeps exceptions for a page that shows the last errors; their tracebacks hold the frames, and these what was worked on.
``size``: rows that were read before it failed."""

_errors = []


def read_rows(size, number):
    rows = [("row", number, n, f"{number}/{n}") for n in range(size)]  # <- kept here: what the frame holds
    if rows[-1][1] == number:
        raise ValueError(f"row {number}: no such product")
    return rows


def use(size, number):
    try:
        read_rows(size, number)
    except ValueError as error:
        _errors.append(error)  # <- kept here: the exception
