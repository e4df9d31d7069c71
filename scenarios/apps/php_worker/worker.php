<?php

/**
 * A queue worker: `worker.php ADDRESS` takes jobs over a socket, one JSON object a line, and answers each with its result.
 *
 * A job that says `"remember": true` leaves its text behind in the worker, as a cache without a limit does.
 */

final class Worker
{
    private $remembered = array();

    public function serve($address)
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
            if (!stream_select($readable, $none, $none, null)) {
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
                fwrite($stream, json_encode($this->handle(json_decode($line, true))) . "\n");
            }
        }
    }

    private function handle(array $job)
    {
        if (!empty($job['remember'])) {
            $this->remember($job);
        }
        return array('id' => $job['id'], 'words' => $this->index($job['text']));
    }

    /** The job: how often each word occurs. */
    private function index($text)
    {
        return array_count_values(explode(' ', strtolower($text)));
    }

    private function remember(array $job)
    {
        $this->remembered[] = strtoupper($job['text']);
    }
}

(new Worker())->serve($argv[1]);
