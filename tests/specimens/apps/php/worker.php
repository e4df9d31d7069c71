<?php

/**
 * `worker.php ADDRESS`: takes jobs over a socket, one JSON object a line, and answers each.
 *
 * A job names one of the ten kinds of work in pages.php. With `"with": NAME, "size": N` it uses `defects/NAME.php` as well, which is how a
 * scenario plants a defect. With `poll` as second argument the worker looks for work every 5 ms and sleeps in between, as workers of
 * database queues do (such a wait can be interrupted); else it waits for its socket.
 */

require __DIR__ . '/pages.php';

function handle(array $job): array
{
    $body = ('page_' . $job['kind'])($job['id'] % 50 + 1);
    if (isset($job['with'])) {
        $defect = $job['with'];
        require_once __DIR__ . "/defects/$defect.php";
        $body .= (string) $defect($job['size'], $job['of']);
    }
    return array('id' => $job['id'], 'bytes' => strlen($body));
}

function serve(string $address, bool $poll): void
{
    $server = stream_socket_server($address, $code, $why);
    if ($server === false) {
        fwrite(STDERR, "cannot listen on $address: $why\n");
        exit(1);
    }
    $clients = array();
    while (true) {
        $readable = array_merge(array($server), $clients);
        $none = null;
        if ($poll && !stream_select($readable, $none, $none, 0)) {
            usleep(5000);
            continue;
        }
        if (!$poll && !stream_select($readable, $none, $none, null)) {
            continue;
        }
        foreach ($readable as $stream) {
            if ($stream === $server) {
                $client = stream_socket_accept($server, 0);
                if ($client !== false) {
                    $clients[(int) $client] = $client;
                }
                continue;
            }
            $line = fgets($stream);
            if ($line === false) {
                unset($clients[(int) $stream]);
                fclose($stream);
                continue;
            }
            $answers = array_map('handle', json_decode($line, true));
            fwrite($stream, json_encode($answers) . "\n");
        }
    }
}

serve($argv[1], isset($argv[2]) && $argv[2] === 'poll');
