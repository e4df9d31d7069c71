<?php

/**
 * Stands in for the router script of `php -S`, before which PHP loads no auto_prepend_file.
 */

namespace ProfilingHarness;

require_once __DIR__ . '/recorder.php';

Recorder::begin();
return require Recorder::router();
