"""Rendered documents that are kept by their number, in case somebody asks again. ``size``: bytes of one."""

_rendered = {}
_PARAGRAPH = "All work and no play makes a dull document, so there is some colour in this one. "


def use(size, number):
    _rendered[number] = (_PARAGRAPH * (size // len(_PARAGRAPH) + 1))[:size]  # <- kept here
