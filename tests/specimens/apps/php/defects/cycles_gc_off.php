<?php

require_once __DIR__ . '/cycles.php';

/** The same with the collector switched off, as some long-running scripts do "for speed". */
function cycles_gc_off(int $size, int $of): string
{
    gc_disable();
    return cycles($size, $of);
}
