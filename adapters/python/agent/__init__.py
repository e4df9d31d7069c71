"""What runs inside a Python target: standard library only, Python 3.8 syntax, never raises into the app."""
