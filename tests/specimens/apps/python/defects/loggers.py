"""A logger with a name of its own for each request: the logging module keeps them all. ``size``: of these, per request."""

import logging


def use(size, number):
    for part in range(size):
        logging.getLogger(f"shop.request.{number}.{part}").debug("done")  # <- kept here
