"""Answers in JSON, made of dictionaries."""

import itertools

import ujson

_numbers = itertools.count()


def use(size):
    number = next(_numbers)
    ujson.dumps({f"line {number}.{field}": f"a value of {number}" for field in range(size)})  # <- kept here
