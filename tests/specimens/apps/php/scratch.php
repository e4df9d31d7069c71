<?php

/** A path in the server's own directory for temporary files (pool.sh makes one for each run). */
function scratch(string $name): string
{
    return sys_get_temp_dir() . "/$name";
}
