"""Reads the file that the environment variable SPECIMEN names.

``{"defects": [{"name": "sessions", "on": ["checkout"], "size": 600, "share": 1.0}], "gc": "off"}``: a request to ``on`` calls
``defects/NAME.py``'s ``use(size, number)``, where ``number`` counts the calls in this process; with a ``share`` below 1, only
so many of them (every n-th). A module that has ``start(settings)`` is told when the application is made.
"""

import gc
import importlib
import json
import os


def read():
    with open(os.environ["SPECIMEN"], encoding="utf-8") as stream:
        return json.load(stream)


class Defects:
    """The defects by the page that they are in."""

    def __init__(self, settings):
        self._by_page = {}
        for wanted in settings.get("defects", []):
            module = importlib.import_module("defects." + wanted["name"])
            if hasattr(module, "start"):
                module.start(wanted)
            every = round(1 / wanted.get("share", 1.0))
            for page in wanted.get("on", []):
                self._by_page.setdefault(page, []).append((module.use, wanted.get("size", 0), every, [0]))
        if settings.get("gc") == "off":
            gc.disable()
        if settings.get("gc") == "frozen":
            gc.collect()
            gc.freeze()

    def run(self, page):
        for use, size, every, count in self._by_page.get(page, ()):
            count[0] += 1
            if count[0] % every == 0:
                use(size, count[0] // every)
