"""A Python program whose content is known, for what looks into it from outside."""

from __future__ import annotations

OBJECTS = 4321  # instances of Plain and of Slotted in the dump
THREADS = 3  # besides the main one
PROGRAM = f"""
import gc, sys, threading
class Plain: pass
class Slotted: __slots__ = ("value",)
kept = [(Plain(), Slotted()) for _ in range({OBJECTS})]
done = threading.Event()
for _ in range({THREADS}): threading.Thread(target=done.wait, daemon=True).start()
gc.collect()
gc.set_threshold(701, 11, 12)
print("ready", flush=True)
sys.stdin.read()
"""
