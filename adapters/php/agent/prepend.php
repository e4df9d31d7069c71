<?php

/**
 * The value of auto_prepend_file: starts the record of this request, then goes on with the file that setting named before.
 */

namespace ProfilingHarness;

(static function () {
    $startNs = \function_exists('hrtime') ? \hrtime(true) : null; // loading the recorder is part of what it costs
    require_once __DIR__ . '/recorder.php';
    Recorder::begin($startNs);
})();
if (Recorder::chain() !== null) {
    require Recorder::chain();
}
