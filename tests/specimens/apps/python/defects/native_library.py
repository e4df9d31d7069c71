"""A C library of the application's own, compiled when it starts, whose parser forgets to free what it copied. ``size``: bytes."""

import ctypes
import os
import subprocess
import tempfile

_SOURCE = r"""
#include <stdlib.h>
#include <string.h>

size_t count_words(const char *text, size_t length)
{
    char *copy = malloc(length + 1);
    size_t words = 0;
    memcpy(copy, text, length);
    copy[length] = 0;
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        words++;
    return words;
}
"""
_TEXT = b"the river rose in the night and the mill stood still "


def _compiled():
    with tempfile.TemporaryDirectory() as directory:
        source, library = os.path.join(directory, "words.c"), os.path.join(directory, "libwords.so")
        with open(source, "w", encoding="ascii") as stream:
            stream.write(_SOURCE)
        subprocess.run(["cc", "-O1", "-g", "-shared", "-fPIC", "-o", library, source], check=True)
        return ctypes.CDLL(library)


_library = _compiled()
_library.count_words.restype = ctypes.c_size_t
_library.count_words.argtypes = [ctypes.c_char_p, ctypes.c_size_t]


def use(size, number):
    text = _TEXT * (size // len(_TEXT) + 1)
    _library.count_words(text, size)  # <- kept here
