<?php

/** A cache with a limit of $of entries of $size bytes each, oldest out first: it fills, and then stays. */
function lru(int $size, int $of): string
{
    static $cache = array();
    $cache[hrtime(true)] = str_repeat('l', $size);
    if (count($cache) > $of) {
        unset($cache[array_key_first($cache)]);
    }
    return '<p>' . count($cache) . ' cached</p>';
}
