<?php

/** A buffer of a C library that nobody frees, as a binding by FFI without a destructor leaves it. */
function native_buffer(int $size, int $of): string
{
    static $libc = null;
    $libc ??= FFI::cdef('void *malloc(size_t); void *memset(void *, int, size_t);', 'libc.so.6');
    $buffer = $libc->malloc($size);
    $libc->memset($buffer, 1, $size);
    return '<p>done</p>';
}
