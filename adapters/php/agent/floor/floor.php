<?php

/**
 * What the caches that all workers of a php-fpm share hold, as one line of JSON. Not part of the application and on none of its
 * addresses: the harness asks the pool for it by FastCGI, between requests, and removes it afterwards.
 *
 * A worker drops its heap when a request ends, so its heap here is that of this script and says nothing; of the worker's own
 * only what outlives requests is told: the cache of paths, and for "trim" what gc_mem_caches() gives back.
 */

namespace ProfilingHarness;

\set_error_handler(function () {
    return true; // a switched-off cache warns, and the pool's log is not ours
});
$answer = array('pid' => \getmypid(), 'version' => \PHP_VERSION, 'sapi' => \PHP_SAPI, 'missing' => array());
try {
    if (!\function_exists('opcache_get_status')) {
        $answer['missing']['opcache'] = \extension_loaded('Zend OPcache')
            ? 'disable_functions forbids opcache_get_status()' : 'opcache is not loaded';
    } elseif (!\is_array($status = \opcache_get_status(false))) {
        $answer['missing']['opcache'] = \ini_get('opcache.restrict_api') !== ''
            ? 'opcache.restrict_api forbids this script to ask' : 'opcache is switched off';
    } else {
        $answer['opcache'] = $status;
    }
    if (!\function_exists('apcu_sma_info')) {
        $answer['missing']['apcu'] = \extension_loaded('apcu')
            ? 'disable_functions forbids apcu_sma_info()' : 'APCu is not loaded';
    } elseif (!\is_array($memory = \apcu_sma_info(true))) {
        $answer['missing']['apcu'] = 'APCu is switched off';
    } else {
        $answer['apcu'] = array('memory' => $memory, 'entries' => \apcu_cache_info(true));
    }
    $answer['realpath_cache'] = \realpath_cache_size();
    if (($_SERVER['QUERY_STRING'] ?? '') === 'trim') {
        $before = \memory_get_usage(true);
        \gc_mem_caches();
        $answer['trim'] = array($before, \memory_get_usage(true));
    }
} catch (\Throwable $e) {
    $answer['missing']['floor'] = 'the script failed: ' . \get_class($e);
}
echo "\nharness-floor:", \json_encode($answer), "\n";
