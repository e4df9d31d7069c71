<?php
// A stand-in for Blackfire's extension, for tests of what is around it: it speaks as the vendor's retired probe in PHP did (see
// tests/fixtures/captures/blackfire/php-fallback-v1.bf) and checks no signature. It is not the extension and measures nothing but
// what the functions below hold.

function leak() { static $kept = []; for ($i = 0; $i < 1000; $i++) { $kept[] = str_repeat('x', 1000) . $i; } return $kept; }

function blackfire_standin_profile(string $query): ?string {
    $address = getenv('BLACKFIRE_AGENT_SOCKET') ?: get_cfg_var('blackfire.agent_socket');
    $agent = @stream_socket_client($address, $code, $text, 0.25);
    if (!$agent) { return "X-Blackfire-Error: 101 $text"; }
    fwrite($agent, "Blackfire-Auth: standin-id:standin-token\nBlackfire-Query: $query\nBlackfire-Probe: php-" . PHP_VERSION . ", timespan, config\n\n");
    $said = '';
    while (($line = fgets($agent)) !== false && $line !== "\n") { $said .= $line; }
    if (!preg_match('/^Blackfire-Response: (.*)$/m', $said, $response)) {
        return preg_match('/^Blackfire-Error: (.*)$/m', $said, $error) ? "X-Blackfire-Error: $error[1]" : 'X-Blackfire-Error: 101 no answer';
    }
    $before = memory_get_usage(); $start = hrtime(true);
    leak();
    $held = memory_get_usage() - $before; $us = intdiv(hrtime(true) - $start, 1000); $peak = memory_get_peak_usage();
    $uri = urlencode($_SERVER['REQUEST_URI'] ?? '');
    fwrite($agent, "file-format: BlackfireProbe\nprobed-language: php\nprobed-runtime: PHP " . PHP_VERSION . "\n"
        . "probed-features: flag_cpu=1&flag_memory=1&\ncontext: script=page.php&token=hidden\n_cookie: sid=hidden\nuri: $uri\n\n"
        . "main()==>leak//1 $us $us $held 0\nmain()//1 " . ($us + 5) . ' ' . ($us + 5) . " $held 0\n\nrequest-mu: $before\nrequest-pmu: $peak\n\n");
    fclose($agent);
    return "X-Blackfire-Response: $response[1]";
}

$query = $_SERVER['HTTP_X_BLACKFIRE_QUERY'] ?? getenv('BLACKFIRE_QUERY');
if ($query) {
    $header = blackfire_standin_profile($query);
    if (PHP_SAPI !== 'cli') { header($header); }
}
echo 'served';
