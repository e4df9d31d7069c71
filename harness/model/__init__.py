"""Frozen data types shared by every part; no I/O."""
