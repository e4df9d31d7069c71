<?php

/** A page cache in files that are never removed: $size bytes for every request. */
function page_files(int $size, int $of): string
{
    require_once __DIR__ . '/../scratch.php';
    file_put_contents(scratch('page-' . hrtime(true) . '-' . getmypid() . '.html'), str_repeat('p', $size));
    return '<p>stored</p>';
}
