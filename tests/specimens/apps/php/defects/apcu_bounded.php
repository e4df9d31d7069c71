<?php

/** The same cache with a proper key: $of different fragments of $size bytes, and then no more. */
function apcu_bounded(int $size, int $of): string
{
    $key = 'fragment:' . random_int(1, $of);
    return (string) strlen((string) apcu_entry($key, function () use ($size) {
        return str_repeat('f', $size);
    }));
}
