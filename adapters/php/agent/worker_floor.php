<?php

/**
 * Answers the harness's question how the memory of this process stands; loaded by the first question.
 *
 * What is there is looked at first. A collection runs destructors of the application, so it comes only when it was asked for, and
 * giving free memory back comes last.
 */

namespace ProfilingHarness;

final class Floor
{
    private static $values = array();
    private static $missing = array();

    /** $depth: look, collect or trim; $heap: what was seen before this file was loaded. */
    public static function take($number, $depth, array $heap)
    {
        $started = \hrtime(true);
        self::$values = $heap;
        self::$missing = array();
        $steps = array('collector', 'opcache', 'apcu');
        if ($depth === 'collect' || $depth === 'trim') {
            $steps[] = 'collect';
        }
        if ($depth === 'trim') {
            $steps[] = 'trim';
        }
        foreach ($steps as $step) {
            try {
                self::$step();
            } catch (\Throwable $e) {
                self::$missing[$step] = \get_class($e) . ': ' . $e->getMessage();
            }
        }
        self::$values['floor_ns'] = \hrtime(true) - $started;
        Recorder::floor($number, self::$values, self::$missing);
        self::$values = self::$missing = array();
    }

    private static function collector()
    {
        self::$values['rss_bytes'] = self::rss();
        self::$values['realpath_cache_bytes'] = \realpath_cache_size();
        self::$values['included_files'] = \count(\get_included_files());
        $gc = \gc_status();
        foreach (array('runs', 'collected', 'roots', 'threshold') as $name) {
            self::$values['gc.' . $name] = $gc[$name];
        }
        self::$values['gc.enabled'] = (int) \gc_enabled();
    }

    /** A cache of command-line PHP is its own, and it is mostly switched off; that is no news. */
    private static function opcache()
    {
        if (!\function_exists('opcache_get_status') || \ini_get('opcache.restrict_api') !== '') {
            return;
        }
        $status = \opcache_get_status(false);
        if (!isset($status['memory_usage'], $status['opcache_statistics'])) {
            return;
        }
        $memory = $status['memory_usage'];
        $counts = $status['opcache_statistics'];
        self::$values += array(
            'opcache.size_bytes' => $memory['used_memory'] + $memory['free_memory'] + $memory['wasted_memory'],
            'opcache.free_bytes' => $memory['free_memory'],
            'opcache.wasted_bytes' => $memory['wasted_memory'],
            'opcache.full' => (int) $status['cache_full'],
            'opcache.scripts' => $counts['num_cached_scripts'],
            'opcache.keys' => $counts['num_cached_keys'],
            'opcache.hits' => $counts['hits'],
            'opcache.misses' => $counts['misses'],
            'opcache.restarts' => $counts['oom_restarts'] + $counts['hash_restarts'] + $counts['manual_restarts'],
        );
    }

    private static function apcu()
    {
        if (!\function_exists('apcu_enabled') || !\apcu_enabled()) {
            return;
        }
        $memory = \apcu_sma_info(true);
        $counts = \apcu_cache_info(true);
        self::$values += array(
            'apcu.size_bytes' => (int) ($memory['num_seg'] * $memory['seg_size']),
            'apcu.free_bytes' => (int) $memory['avail_mem'],
            'apcu.entries' => (int) $counts['num_entries'],
            'apcu.hits' => (int) $counts['num_hits'],
            'apcu.misses' => (int) $counts['num_misses'],
            'apcu.inserts' => (int) $counts['num_inserts'],
            'apcu.expunges' => (int) $counts['expunges'],
        );
    }

    private static function collect()
    {
        $before = self::sizes('collect', 'before');
        $runs = \gc_status()['runs'];
        $started = \hrtime(true);
        $freed = \gc_collect_cycles();
        $pause = \hrtime(true) - $started;
        $after = self::sizes('collect', 'after');
        self::$values += array('collect.objects' => $freed, 'collect.pause_ns' => $pause) + $before + $after;
        self::$values['collect.runs'] = \gc_status()['runs'] - $runs;
    }

    private static function trim()
    {
        $before = self::sizes('trim', 'before');
        $started = \hrtime(true);
        $freed = \gc_mem_caches();
        $pause = \hrtime(true) - $started;
        $after = self::sizes('trim', 'after');
        self::$values += array('trim.freed_bytes' => $freed, 'trim.pause_ns' => $pause) + $before + $after;
    }

    private static function sizes($what, $when)
    {
        return array(
            $what . '.size_' . $when . '_bytes' => \memory_get_usage(false),
            $what . '.real_' . $when . '_bytes' => \memory_get_usage(true),
            $what . '.rss_' . $when . '_bytes' => self::rss(),
        );
    }

    private static function rss()
    {
        $text = Recorder::contents('/proc/self/status', 4096);
        return \preg_match('/^VmRSS:\s+(\d+) kB$/m', $text, $found) === 1 ? 1024 * (int) $found[1] : null;
    }
}
