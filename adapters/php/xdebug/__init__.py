"""Xdebug: what it is told to write of single requests, and how exactly that is found again."""
