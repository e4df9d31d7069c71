<?php

/**
 * `enqueue.php ADDRESS COUNT KIND [DEFECT SIZE [OF]]`: hands the worker COUNT jobs in packets of 20, the same ones every time, and returns
 * when all are done. One job in ten is of each kind; those of KIND use DEFECT.
 */

$kinds = array('home', 'list', 'product', 'search', 'cart', 'checkout', 'account', 'invoice', 'feed', 'about');
list(, $address, $count, $chosen) = $argv;
$connection = stream_socket_client($address, $code, $why, 10);
if ($connection === false) {
    fwrite(STDERR, "cannot reach the worker at $address: $why\n");
    exit(1);
}
for ($first = 0; $first < (int) $count; $first += 20) {
    $jobs = array();
    for ($id = $first; $id < min($first + 20, (int) $count); $id++) {
        $job = array('id' => $id, 'kind' => $kinds[$id % count($kinds)]);
        if (isset($argv[4]) && $job['kind'] === $chosen) {
            $job += array('with' => $argv[4], 'size' => (int) $argv[5], 'of' => (int) ($argv[6] ?? 1));
        }
        $jobs[] = $job;
    }
    fwrite($connection, json_encode($jobs) . "\n");
    $answers = json_decode((string) fgets($connection), true);
    if (!is_array($answers) || array_column($answers, 'id') !== array_column($jobs, 'id')) {
        fwrite(STDERR, "the worker answered other jobs\n");
        exit(1);
    }
}
