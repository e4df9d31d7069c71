<?php
// Around the agent: how long it takes at the beginning of a request and at its end, ns, one line each.

final class BenchClock
{
    public static $begin = 0;
    public static $end = 0;
}
register_shutdown_function(function () {
    BenchClock::$end = hrtime(true);
});
BenchClock::$begin = hrtime(true);
require BENCH_AGENT;
BenchClock::$begin = hrtime(true) - BenchClock::$begin;
register_shutdown_function(function () {
    $end = hrtime(true) - BenchClock::$end;
    file_put_contents(BENCH_TIMES, BenchClock::$begin . " $end\n", FILE_APPEND);
});
