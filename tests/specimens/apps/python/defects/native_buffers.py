"""A binding that asks the C library for memory and never gives it back. ``size``: bytes."""

import ctypes

_libc = ctypes.CDLL(None)
_libc.malloc.restype = ctypes.c_void_p
_libc.malloc.argtypes = [ctypes.c_size_t]
_libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]


def use(size, number):
    buffer = _libc.malloc(size)  # <- kept here
    _libc.memset(buffer, number & 0xFF, size)
