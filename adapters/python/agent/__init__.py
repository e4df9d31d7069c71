"""What runs inside a Python target: standard library only, Python 3.8 syntax, no thread, never an error for the application.

``sitecustomize.py`` (found through PYTHONPATH) loads this directory as the private package ``_harness_agent``. Modules that
run in every process are ``boot``, ``recorder``, ``hooks`` and ``middleware``; the rest is loaded by the first triggered request.
"""
