<?php

/**
 * A shop of ten pages that keep nothing. `?with=NAME&size=N` makes a page use `defects/NAME.php` as well, which is how a scenario
 * plants a defect (or a decoy) in the page of its choice.
 */

require __DIR__ . '/../pages.php';

$path = trim((string) parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH), '/');
$page = 'page_' . ($path === '' ? 'home' : $path);
if (!function_exists($page)) {
    http_response_code(404);
    exit("no such page\n");
}
$body = $page(isset($_GET['id']) ? (int) $_GET['id'] : 17);
if (isset($_GET['with'])) {
    $defect = basename((string) $_GET['with']);
    require __DIR__ . "/../defects/$defect.php";
    $body .= (string) $defect((int) $_GET['size'], isset($_GET['of']) ? (int) $_GET['of'] : 1);
}
header('Content-Type: text/html; charset=utf-8');
echo "<!doctype html><title>$path</title>", $body, "\n";
