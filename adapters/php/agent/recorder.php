<?php

/**
 * Writes one line per request into the harness's record file; started by prepend.php or router.php, before the application.
 *
 * Works on PHP 7.2 and newer. It prints nothing, sends no header, touches no global of the application, and swallows all of
 * its own troubles: a request without a record is a gap in a report, never a broken page.
 *
 * The line is written by a shutdown function, which also runs after exit() and after fatal errors (not when the process is
 * killed). It is the first one registered, so the numbers do not contain what the application's own shutdown functions and
 * late destructors still allocate. t0 is when the agent starts: PHP's start-up and the queue are before it.
 *
 * A process of a server remembers nothing from one request to the next, so its records have no numbers; a script is the first
 * and only one of its process.
 *
 * One request of 31, chosen by the clock, writes a second line: what the agent took in it, the first line included. A script
 * does not: all it does is done for the first time.
 */

namespace ProfilingHarness;

final class Recorder
{
    const TIME_ONE_OF = 31; // a prime, so that a clock with coarse steps chooses no more and no fewer
    const LONGEST_COST_NS = 1000000000; // the process was stopped: that says nothing about the agent

    /** Written by adapters/php/agent_files.py: records, a file; chain, router, script: see below, or null. */
    private static $config = array();
    private static $begun = false;
    private static $startNs = null;
    private static $costNs = null; // of the beginning, in a request that is timed
    private static $cli = false;
    private static $pid = null;
    private static $name = '';
    private static $span = null;

    /**
     * The first call counts: after a router said "not mine", the page is prepended to in the same request. $startNs: as of
     * now(), when the agent started.
     */
    public static function begin($startNs)
    {
        if (self::$begun) {
            return;
        }
        self::$begun = true;
        self::$startNs = $startNs;
        try {
            self::$config = require __DIR__ . '/config.php';
            if (($_SERVER['SCRIPT_FILENAME'] ?? null) === self::$config['floor']) {
                self::$config = array(); // a question of the harness: no request, and nothing of the application runs for it
                return;
            }
            $cli = self::$cli = \PHP_SAPI === 'cli' || \PHP_SAPI === 'phpdbg';
            self::$name = $cli ? self::scriptName() : self::requestName();
            self::$span = self::spanId($_SERVER[$cli ? 'TRACEPARENT' : 'HTTP_TRACEPARENT'] ?? null);
            self::$pid = \getmypid();
            \register_shutdown_function(array(__CLASS__, 'end'));
            if ($cli) {
                self::listen();
                self::write(self::boot());
            } elseif (\is_int($startNs) && $startNs % self::TIME_ONE_OF === 0) {
                self::$costNs = self::now() - $startNs;
            }
        } catch (\Throwable $e) {
            // See above: never the application's problem.
        }
    }

    private static function listen()
    {
        if (self::$config['orders'] === null) {
            return;
        }
        try {
            require_once __DIR__ . '/orders.php';
            Orders::listen(self::$config['orders'], self::$config['signal']);
        } catch (\Throwable $e) {
            // Then nobody is told anything here.
        }
    }

    /** What auto_prepend_file was before prepend.php took its place. */
    public static function chain()
    {
        return self::$config['chain'] ?? null;
    }

    /** The router script of `php -S`, which router.php took the place of; what PHP would say it is called. */
    public static function router()
    {
        if (($_SERVER['SCRIPT_FILENAME'] ?? null) === self::$config['script']) {
            $_SERVER['SCRIPT_FILENAME'] = self::$config['router_name'];
        }
        return self::$config['router'];
    }

    /** Public because PHP calls it; not for the application. */
    public static function end()
    {
        try {
            if (\getmypid() !== self::$pid) {
                return; // a child made by pcntl_fork(): no request, and not the first of anything
            }
            $endNs = self::$costNs === null ? null : self::now();
            $usage = \memory_get_usage(false);
            $real = \memory_get_usage(true);
            $peak = \memory_get_peak_usage(false);
            $peakReal = \memory_get_peak_usage(true);
            $limit = self::liftMemoryLimit();
            self::write(self::record($usage, $real, $peak, $peakReal));
            if ($endNs !== null) {
                self::writeCost(self::$costNs + self::now() - $endNs);
            }
            if ($limit !== null) {
                self::quietly(function () use ($limit) {
                    \ini_set('memory_limit', $limit);
                });
            }
        } catch (\Throwable $e) {
            // See above.
        }
    }

    /** The answer to a question of the harness; for `orders.php` and what that loads. */
    public static function floor($number, array $values, array $missing)
    {
        self::write(array(
            'k' => 'floor',
            'rt' => 'php',
            'pid' => \getmypid(),
            't' => self::now(),
            'n' => $number,
            'v' => $values,
            'missing' => (object) $missing,
        ));
    }

    /** The beginning of a file, '' where it cannot be read; for `orders.php` and what that loads. */
    public static function contents($file, $most)
    {
        $text = '';
        self::quietly(function () use ($file, $most, &$text) {
            $text = (string) \file_get_contents($file, false, null, 0, $most);
        });
        return $text;
    }

    private static function record($usage, $real, $peak, $peakReal)
    {
        $values = array(
            'usage_bytes' => $usage,
            'real_bytes' => $real,
            'peak_bytes' => $peak,
            'peak_real_bytes' => $peakReal,
            'included_files' => \count(\get_included_files()),
            'realpath_cache_bytes' => \function_exists('realpath_cache_size') ? \realpath_cache_size() : null,
        );
        $values += self::collector() + self::opcache();
        $status = \http_response_code();
        return array(
            'k' => 'req',
            'rt' => 'php',
            'pid' => \getmypid(),
            'n' => self::$cli ? 1 : null,
            'first' => self::$cli ? 1 : null,
            't0' => self::$startNs,
            't1' => self::now(),
            'span' => self::$span,
            'name' => self::$name,
            'st' => \is_int($status) ? $status : null,
            'v' => $values,
        );
    }

    /** The cycle collector in this request; since PHP 8.3 also what it took. */
    private static function collector()
    {
        if (!\function_exists('gc_status')) {
            return array();
        }
        $gc = \gc_status();
        $values = array(
            'gc_runs' => $gc['runs'],
            'gc_collected' => $gc['collected'],
            'gc_roots' => $gc['roots'],
            'gc_threshold' => $gc['threshold'],
        );
        if (isset($gc['collector_time'])) {
            $values['gc_collector_ns'] = (int) ($gc['collector_time'] * 1e9);
            $values['gc_destructor_ns'] = (int) ($gc['destructor_time'] * 1e9);
            $values['gc_free_ns'] = (int) ($gc['free_time'] * 1e9);
        }
        return $values;
    }

    /** The cache that all workers share; asked only where asking raises no warning. */
    private static function opcache()
    {
        if (!\function_exists('opcache_get_status') || \ini_get('opcache.restrict_api') !== '') {
            return array();
        }
        $status = \opcache_get_status(false);
        if (!isset($status['memory_usage'], $status['opcache_statistics'])) {
            return array();
        }
        $values = array(
            'opcache_used_bytes' => $status['memory_usage']['used_memory'],
            'opcache_free_bytes' => $status['memory_usage']['free_memory'],
            'opcache_wasted_bytes' => $status['memory_usage']['wasted_memory'],
            'opcache_hits' => $status['opcache_statistics']['hits'],
            'opcache_misses' => $status['opcache_statistics']['misses'],
            'opcache_scripts' => $status['opcache_statistics']['num_cached_scripts'],
        );
        if (isset($status['interned_strings_usage'])) {
            $values['opcache_interned_used_bytes'] = $status['interned_strings_usage']['used_memory'];
            $values['opcache_interned_free_bytes'] = $status['interned_strings_usage']['free_memory'];
        }
        return $values;
    }

    private static function writeCost($costNs)
    {
        if ($costNs < self::LONGEST_COST_NS) {
            self::write(array('k' => 'cost', 'rt' => 'php', 'pid' => \getmypid(), 't' => self::now(), 'ns' => $costNs));
        }
    }

    /** Only command-line PHP can say that it has just started: there one process is one script. */
    private static function boot()
    {
        return array(
            'k' => 'boot',
            'rt' => 'php',
            'pid' => \getmypid(),
            'ppid' => \function_exists('posix_getppid') ? \posix_getppid() : null,
            't' => self::$startNs,
            'version' => \PHP_VERSION,
            'argv' => self::$name, // arguments may be secrets
        );
    }

    private static function write(array $record)
    {
        $line = \json_encode($record, \JSON_UNESCAPED_SLASHES | \JSON_INVALID_UTF8_SUBSTITUTE);
        if (!\is_string($line)) {
            return;
        }
        $file = self::$config['records'];
        // One write in append mode: lines of several workers do not mix.
        self::quietly(function () use ($file, $line) {
            $handle = \fopen($file, 'ab');
            if ($handle !== false) {
                \fwrite($handle, $line . "\n");
                \fclose($handle);
            }
        });
    }

    /**
     * Run without the application noticing a warning: an "@" would still call its error handler and change
     * error_get_last(), which its own shutdown functions read.
     */
    private static function quietly($action)
    {
        \set_error_handler(function () {
            return true;
        });
        try {
            $action();
        } finally {
            \restore_error_handler();
        }
    }

    /** After "Allowed memory size exhausted" there may be no room left even for this record. */
    private static function liftMemoryLimit()
    {
        $error = \error_get_last();
        if ($error === null || $error['type'] !== \E_ERROR) {
            return null;
        }
        $limit = \ini_get('memory_limit');
        \ini_set('memory_limit', '-1');
        return $limit;
    }

    /** CLOCK_MONOTONIC in ns, the clock of all records; null before PHP 7.3. */
    private static function now()
    {
        return \function_exists('hrtime') ? \hrtime(true) : null;
    }

    private static function requestName()
    {
        $uri = $_SERVER['REQUEST_URI'] ?? $_SERVER['SCRIPT_NAME'] ?? '';
        $path = \substr($uri, 0, \strcspn($uri, '?#'));
        return \substr(($_SERVER['REQUEST_METHOD'] ?? 'GET') . ' ' . $path, 0, 400);
    }

    private static function scriptName()
    {
        return \substr(\basename($_SERVER['SCRIPT_FILENAME'] ?? $_SERVER['SCRIPT_NAME'] ?? 'php'), 0, 400);
    }

    /** The span id of a W3C traceparent header, or null when it is anything else. */
    private static function spanId($header)
    {
        if (!\is_string($header) || \strlen($header) !== 55) {
            return null;
        }
        $span = \substr($header, 36, 16);
        return \strspn($span, '0123456789abcdef') === 16 ? $span : null;
    }
}
