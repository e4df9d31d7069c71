<?php

/** A cached fragment whose key contains the time: never found again, without a time to live. */
function apcu_forever(int $size, int $of): string
{
    $key = 'fragment:' . hrtime(true) . ':' . getmypid();
    return (string) strlen((string) apcu_entry($key, function () use ($size) {
        return str_repeat('f', $size);
    }));
}
