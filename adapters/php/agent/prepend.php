<?php

/**
 * The value of auto_prepend_file: starts the record of this request, then goes on with the file that setting named before.
 */

namespace ProfilingHarness;

require_once __DIR__ . '/recorder.php';

Recorder::begin();
if (Recorder::chain() !== null) {
    require Recorder::chain();
}
