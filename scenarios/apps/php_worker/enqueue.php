<?php

/**
 * `enqueue.php ADDRESS COUNT [remember]`: hands the worker COUNT jobs, the same ones every time, and returns when all are done.
 */

$words = explode(' ', 'the river rose in the night and the mill stood still until the water had gone down again');
list(, $address, $count) = $argv;
mt_srand(11);
$connection = stream_socket_client($address, $code, $why, 10);
if ($connection === false) {
    fwrite(STDERR, "cannot reach the worker at $address: $why\n");
    exit(1);
}
for ($id = 0; $id < (int) $count; $id++) {
    $text = array();
    for ($length = 0; $length < 1500; $length++) {
        $text[] = $words[mt_rand(0, count($words) - 1)];
    }
    $job = array('id' => $id, 'text' => implode(' ', $text), 'remember' => isset($argv[3]));
    fwrite($connection, json_encode($job) . "\n");
    $answer = json_decode((string) fgets($connection), true);
    if ($answer === null || $answer['id'] !== $id) {
        fwrite(STDERR, "the worker answered another job\n");
        exit(1);
    }
}
