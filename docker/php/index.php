<?php
// A page that works a little, one that takes much memory for a moment, and one that keeps something in its worker.

function rows(int $number): array
{
    $rows = [];
    for ($i = 0; $i < $number; $i++) {
        $rows[] = ['id' => $i, 'name' => str_repeat('x', 64)];
    }
    return $rows;
}

function send_statistics(): string
{
    $address = '127.' . random_int(1, 250) . '.' . random_int(1, 250) . '.' . random_int(1, 250);
    return get_resource_type(pfsockopen("udp://$address", 8125)); // another address each time, and a persistent socket is never closed
}

$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
if (!in_array($path, ['/', '/report', '/keep'], true)) {
    http_response_code(404);
    exit("not here\n");
}
if ($path === '/keep') {
    send_statistics();
}
header('Content-Type: application/json');
echo json_encode(['path' => $path, 'rows' => count(rows($path === '/report' ? 20000 : 200))]), "\n";
