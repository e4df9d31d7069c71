"""Scratch space from mmap(2) itself, as just-in-time compilers and pools of C++ use it, never unmapped. ``size``: bytes."""

import ctypes

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_READ_WRITE, _PRIVATE_ANONYMOUS = 3, 0x22


def use(size, number):
    space = _libc.mmap(None, size, _READ_WRITE, _PRIVATE_ANONYMOUS, -1, 0)  # <- kept here
    ctypes.memset(space, 1, size)
