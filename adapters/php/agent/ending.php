<?php

/**
 * The value of auto_prepend_file for a long-lived script under a profiler: SIGTERM ends it as exit() does, so that the profiler
 * closes its file. An application's own handler, set later, takes this one's place.
 */

namespace ProfilingHarness;

if (\function_exists('pcntl_async_signals') && \function_exists('pcntl_signal')) {
    \pcntl_signal(\SIGTERM, static function () {
        exit(0);
    }, false); // without SA_RESTART: a script that waits for its next job has to come back from there
    \pcntl_async_signals(true);
}
if ((require __DIR__ . '/config.php')['chain'] !== null) {
    require (require __DIR__ . '/config.php')['chain'];
}
