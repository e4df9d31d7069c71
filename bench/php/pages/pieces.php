<?php
// What each thing that a record could have costs, in a loop: name, median ns, 99th percentile ns.

function piece($name, $work)
{
    $times = array();
    for ($i = 0; $i < BENCH_CALLS; $i++) {
        $begin = hrtime(true);
        $work();
        $times[] = hrtime(true) - $begin;
    }
    sort($times);
    echo "piece\t$name\t", $times[BENCH_CALLS >> 1], "\t", $times[(int) (BENCH_CALLS * 0.99)], "\n";
}

$record = array('pid' => 1, 'name' => 'GET /a/page', 'v' => array_fill_keys(range('a', 'r'), 123456789));
$line = json_encode($record) . "\n";
piece('an empty function', function () {
});
piece('usage, peak, both also real', function () {
    memory_get_usage(false) + memory_get_usage(true) + memory_get_peak_usage(false) + memory_get_peak_usage(true);
});
piece('gc_status()', 'gc_status');
piece('get_included_files()', 'get_included_files');
piece('realpath_cache_size()', 'realpath_cache_size');
piece('opcache_get_status(false)', function () {
    opcache_get_status(false);
});
piece('getrusage()', 'getrusage');
piece('json_encode() of the record', function () use ($record) {
    json_encode($record);
});
piece('one append to a file', function () use ($line) {
    $handle = fopen(BENCH_RECORDS, 'ab');
    fwrite($handle, $line);
    fclose($handle);
});
