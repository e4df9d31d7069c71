"""glibc's malloc, 2.31 to 2.43, read from outside: what its arenas hold, hand out and keep.

No symbols and no version table: ``main_arena`` and ``mp_`` are found by the shape of their data in libc's writable segments,
and what was found has to hang together. Source of all layouts: malloc/malloc.c and malloc/arena.c of glibc.
"""
