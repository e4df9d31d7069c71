<?php

/**
 * Stands in for the router script of `php -S`, before which PHP loads no auto_prepend_file.
 */

namespace ProfilingHarness;

(static function () {
    $startNs = \function_exists('hrtime') ? \hrtime(true) : null; // loading the recorder is part of what it costs
    require_once __DIR__ . '/recorder.php';
    Recorder::begin($startNs);
})();
return require Recorder::router();
