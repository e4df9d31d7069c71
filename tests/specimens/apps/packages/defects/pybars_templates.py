"""A template that is compiled for every mail: each compilation becomes a module, and nobody removes modules."""

from pybars import Compiler

_compiler = Compiler()
_SOURCE = "Dear {{name}}, you bought {{#each items}}{{this}} {{/each}}"


def use(size):
    for _ in range(size):
        _compiler.compile(_SOURCE)({"name": "Anna", "items": ["a book", "a lamp"]})  # <- kept here
