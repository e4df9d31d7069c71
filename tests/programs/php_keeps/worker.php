<?php

/** Takes jobs over a socket, one a line, and answers each: renders much that it drops, and remembers every fourth one for good. */
final class Log
{
    private array $lines = array();

    public function remember(int $number): void
    {
        $this->lines[] = str_repeat(chr(65 + $number % 26), 3000); // keeps
    }
}

function page(int $number): string
{
    return str_repeat("<p>job $number</p>", 150);
}

function handle(int $number, Log $log): array
{
    $body = page($number);
    if ($number % 4 === 0) {
        $log->remember($number);
    }
    return array('number' => $number, 'bytes' => strlen($body));
}

$server = stream_socket_server($argv[1]);
$log = new Log();
while (true) {
    $client = @stream_socket_accept($server, 3600);
    while ($client !== false && ($line = fgets($client)) !== false) {
        fwrite($client, json_encode(handle((int) $line, $log)) . "\n");
    }
}
