<?php
// A target that uses memory as it is told, one word a line on stdin, one answer a line on stdout. "rest" asks PHP about
// itself, stops the process before anything else happens, and says after SIGCONT what PHP said.
class Small { public $a = 1; public $b; }
class Wide { public $c1, $c2, $c3, $c4, $c5, $c6, $c7, $c8, $c9, $c10; }

$pid = getmypid();
$kept = $blocks = [];
$usage = $real = $peak = $real_peak = 0;

/** What one object more takes of the heap. */
function block_bytes(string $class): int
{
    $slots = new SplFixedArray(1000);
    $before = memory_get_usage();
    for ($k = 0; $k < 1000; $k++) {
        $slots[$k] = new $class();
    }
    return intdiv(memory_get_usage() - $before, 1000);
}

echo "ready\n";
while (($line = fgets(STDIN)) !== false) {
    switch (trim($line)) {
        case 'rest':
            unset($gc, $opcache, $apcu);
            $opcache = function_exists('opcache_get_status') ? opcache_get_status(false) : false;
            $apcu = function_exists('apcu_enabled') && apcu_enabled() ? apcu_sma_info(true) : false;
            $gc = gc_status();
            $real = memory_get_usage(true);
            $real_peak = memory_get_peak_usage(true);
            $usage = memory_get_usage();
            $peak = memory_get_peak_usage();
            posix_kill($pid, SIGSTOP);
            echo json_encode(compact('usage', 'real', 'peak', 'real_peak', 'gc', 'opcache', 'apcu')), "\n";
            continue 2;
        case 'objects':
            for ($k = 0; $k < 30000; $k++) {
                $kept[] = new Small();
                if ($k % 10 === 0) {
                    $kept[] = new Wide();
                }
            }
            break;
        case 'little':  // enough for a fixture
            for ($k = 0; $k < 40; $k++) {
                $a = new Small();
                $a->b = $a;
                $kept[] = $k % 5 ? new Small() : new Wide();
            }
            unset($a);
            break;
        case 'third':  // of the objects goes
            foreach (array_keys($kept) as $k) {
                if ($k % 3 === 0) {
                    unset($kept[$k]);
                }
            }
            break;
        case 'blocks':
            for ($k = 1; $k <= 5; $k++) {
                $blocks[] = str_repeat('x', $k << 20);
            }
            break;
        case 'cycles':
            for ($k = 0; $k < 4000; $k++) {
                $a = new Small();
                $a->b = $a;
            }
            unset($a);
            break;
        case 'collect':
            gc_collect_cycles();
            break;
        case 'sizes':
            echo json_encode(['Small' => block_bytes('Small'), 'Wide' => block_bytes('Wide')]), "\n";
            continue 2;
        case 'store':
            apcu_store('key', str_repeat('y', 1 << 20));
            break;
        case 'churn':  // until the next word
            echo "ok\n";
            stream_set_blocking(STDIN, false);
            while (fgets(STDIN) === false) {
                $a = [];
                for ($k = 0; $k < 2000; $k++) {
                    $a[] = $k % 7 ? new Small() : str_repeat('z', $k * 5);
                }
            }
            stream_set_blocking(STDIN, true);
            unset($a);
            break;
        default:
            throw new ValueError($line);
    }
    echo "ok\n";
}
