"""The same mail from a template that is compiled once, as the thread about the leak advises."""

from pybars import Compiler

from defects.pybars_templates import _SOURCE

_template = Compiler().compile(_SOURCE)


def use(size):
    for _ in range(size):
        _template({"name": "Anna", "items": ["a book", "a lamp"]})
