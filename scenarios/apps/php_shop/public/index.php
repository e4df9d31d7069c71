<?php

declare(strict_types=1);

/**
 * Front controller of a small shop with one planted defect, for trying `harness` on something whose truth is known.
 * SHOP_DEFECT=off (environment of the workers, or FastCGI parameter) gives the healthy version.
 * What grows and why is told in scenarios/apps/README.md, so that reading this code does not spoil the search.
 */

require __DIR__ . '/../src/Catalogue.php';
require __DIR__ . '/../src/Http.php';
require __DIR__ . '/../src/Pages.php';
require __DIR__ . '/../src/Recommendations.php';
require __DIR__ . '/../src/Storage.php';

if (!function_exists('apcu_enabled') || !apcu_enabled()) {
    http_response_code(500);
    exit("The shop needs PHP's APCu extension, switched on: apt install php-apcu\n");
}

$storage = new Shop\Storage(getenv('SHOP_DATA') ?: sys_get_temp_dir() . '/php-shop-' . posix_geteuid());
$catalogue = new Shop\Catalogue($storage->database());
$defect = ($_SERVER['SHOP_DEFECT'] ?? getenv('SHOP_DEFECT')) !== 'off';
$pages = new Shop\Pages($catalogue, new Shop\Recommendations($catalogue, $defect), $storage);

$path = parse_url($_SERVER['REQUEST_URI'] ?? '/', PHP_URL_PATH) ?: '/';
Shop\Http::answer(fn () => match (($_SERVER['REQUEST_METHOD'] ?? 'GET') . ' ' . $path) {
    'GET /health' => $pages->health(),
    'GET /' => $pages->home(),
    'GET /product' => $pages->product(),
    'GET /search' => $pages->search(),
    'GET /recommend' => $pages->recommend(),
    'GET /cart' => $pages->cart(),
    'POST /cart/add' => $pages->cartAdd(),
    'POST /checkout' => $pages->checkout(),
    default => throw new Shop\HttpError(404, 'There is no such page.'),
});
