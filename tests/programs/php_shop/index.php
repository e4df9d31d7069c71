<?php
// An application behind a php-fpm that the harness has not started: every page puts a little into APCu.

if (function_exists('apcu_add')) {
    apcu_add('visit-' . bin2hex(random_bytes(8)), str_repeat('x', 4096));
}
if (($_SERVER['QUERY_STRING'] ?? '') === 'slow') {
    usleep(300000);
}
echo 'pid ', getmypid();
