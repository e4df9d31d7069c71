"""The allocator state of a running, unmodified process, read through its memory: nothing injected, written, traced or stopped.

Everything here reads ``/proc/PID/mem`` and believes nothing it sees: data structures are found by
their shape or by an exported symbol, checked by their own arithmetic at attach and at every reading, and refused when in
doubt (`Refused`). A torn read is the normal case under load; a refused reading is a missing value, never a guess.
Stripped binaries need no debug symbols: symbol tables are read where the loader mapped them, so that deleted files and
files in a container's root are no different from others.
"""
