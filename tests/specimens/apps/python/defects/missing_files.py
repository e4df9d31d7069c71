"""Looks for pictures under names that are not there, always new ones: the kernel remembers each. ``size``: names per request."""

import os


def start(settings):
    os.environ["PICTURES"] = settings["directory"]


def use(size, number):
    directory, me = os.environ["PICTURES"], os.getpid()
    for n in range(size):
        os.path.exists(f"{directory}/picture-{me}-{number}-{n}.jpg")
