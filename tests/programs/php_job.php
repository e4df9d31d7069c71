<?php
// A job with known cost: php_job.php [allocations]
function work($count)
{
    $all = array();
    for ($i = 0; $i < $count; $i++) {
        $all[] = str_repeat('j', 1000);
    }
    return count($all);
}
echo work((int) ($argv[1] ?? 10)), "\n";
