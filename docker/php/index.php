<?php
// A page that works a little, and one that takes much memory for a moment.

function rows(int $number): array
{
    $rows = [];
    for ($i = 0; $i < $number; $i++) {
        $rows[] = ['id' => $i, 'name' => str_repeat('x', 64)];
    }
    return $rows;
}

$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
if ($path !== '/' && $path !== '/report') {
    http_response_code(404);
    exit("not here\n");
}
header('Content-Type: application/json');
echo json_encode(['path' => $path, 'rows' => count(rows($path === '/report' ? 20000 : 200))]), "\n";
