<?php

/**
 * Takes orders of the harness in a long-lived script, between two of its jobs: a file says what is wanted, a signal that the file
 * has been written. Command-line PHP with ext-pcntl only.
 *
 * PHP calls the handler as soon as it runs code again, because asynchronous signals are switched on here. Where the application
 * switches them off, an order waits for its pcntl_signal_dispatch(). The harness sends the signal only while this process
 * sleeps (adapters/php/orders.py): select(), poll() and their like would end with an error.
 */

namespace ProfilingHarness;

final class Orders
{
    /** An answer needs some 100 kB; Zend's limit counts chunks of 2 MiB. */
    const HEADROOM = 4194304;

    private static $file = null;
    private static $last = 0;

    /** Where the application (or PHP itself) cannot be listened in, nothing happens; the harness sees that from outside. */
    public static function listen($file, $signal)
    {
        if (!\function_exists('pcntl_async_signals') || !\function_exists('pcntl_signal') || !\function_exists('hrtime')) {
            return;
        }
        self::$file = $file;
        // With SA_RESTART: reading and waiting for children go on.
        if (\pcntl_signal($signal, array(__CLASS__, 'handle'))) {
            \pcntl_async_signals(true);
        }
    }

    /** Public because PHP calls it; not for the application. */
    public static function handle()
    {
        try {
            // Before anything here takes memory.
            $heap = array(
                'heap.size_bytes' => \memory_get_usage(false),
                'heap.real_bytes' => \memory_get_usage(true),
                'heap.peak_bytes' => \memory_get_peak_usage(false),
                'heap.real_peak_bytes' => \memory_get_peak_usage(true),
            );
            $order = self::read();
            if ($order === null) {
                return;
            }
            list($number, $depth) = $order;
            if (self::short($heap['heap.real_bytes'])) {
                $why = 'its memory_limit leaves no room for an answer';
                Recorder::floor($number, $heap, array('floor.memory_limit' => $why));
                return;
            }
            $before = \memory_get_usage(false);
            $known = \class_exists(__NAMESPACE__ . '\Floor', false);
            require_once __DIR__ . '/worker_floor.php';
            if (!$known) {
                $heap['loaded_bytes'] = \max(0, \memory_get_usage(false) - $before);
            }
            Floor::take($number, $depth, $heap);
        } catch (\Throwable $e) {
            // This runs in the middle of the application.
        }
    }

    /** (number, depth) of an order that has not been carried out here and is still waited for, else null. */
    private static function read()
    {
        $text = Recorder::contents(self::$file, 4096);
        if (\sscanf($text, '%d floor %s %d', $number, $depth, $until) !== 3 || $number <= self::$last) {
            return null;
        }
        self::$last = $number;
        return \hrtime(true) > $until ? null : array($number, $depth);
    }

    private static function short($real)
    {
        $text = \trim((string) \ini_get('memory_limit'));
        $units = array('k' => 10, 'm' => 20, 'g' => 30);
        $limit = (int) $text << ($units[\strtolower(\substr($text, -1))] ?? 0);
        return $limit > 0 && $limit - $real < self::HEADROOM;
    }
}
