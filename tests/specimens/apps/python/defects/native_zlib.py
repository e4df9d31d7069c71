"""zlib as a binding may use it: deflateInit2 for every document, and never deflateEnd. ``size``: log2 of the window."""

import ctypes
import ctypes.util

_zlib = ctypes.CDLL(ctypes.util.find_library("z") or "libz.so.1")
_STREAM_BYTES = 112  # of z_stream, where pointers have 64 bits
_NO_FLUSH, _DEFLATED, _DEFAULT = 0, 8, 0


def use(size, number):
    stream = ctypes.create_string_buffer(_STREAM_BYTES)
    code = _zlib.deflateInit2_(stream, 1, _DEFLATED, size, 1, _DEFAULT, b"1.2.11", _STREAM_BYTES)  # <- kept here
    if code != 0:
        raise RuntimeError(f"zlib: {code}")
