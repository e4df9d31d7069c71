<?php

/** The ten pages, and the ten kinds of jobs of the worker: a little real work each, all of it garbage afterwards. */

function products(int $count): array
{
    $products = array();
    for ($id = 1; $id <= $count; $id++) {
        $products[] = array('id' => $id, 'name' => "Product $id", 'price' => ($id * 7919) % 5000, 'tags' => array("t$id", 'new'));
    }
    return $products;
}

function table(array $rows): string
{
    $html = '<table>';
    foreach ($rows as $row) {
        $html .= '<tr><td>' . htmlspecialchars($row['name']) . '</td><td>' . number_format($row['price'] / 100, 2) . '</td></tr>';
    }
    return $html . '</table>';
}

function page_home(int $id): string
{
    return table(array_slice(products(40), 0, 10));
}

function page_list(int $id): string
{
    $products = products(120);
    usort($products, function ($a, $b) {
        return $a['price'] <=> $b['price'];
    });
    return table($products);
}

function page_product(int $id): string
{
    return '<pre>' . htmlspecialchars(json_encode(products($id)[$id - 1], JSON_PRETTY_PRINT)) . '</pre>';
}

function page_search(int $id): string
{
    return table(array_filter(products(200), function ($product) use ($id) {
        return strpos($product['name'], (string) ($id % 10)) !== false;
    }));
}

function page_cart(int $id): string
{
    return table(array_map(function ($product) {
        return array('name' => $product['name'], 'price' => 3 * $product['price']);
    }, products(15)));
}

function page_checkout(int $id): string
{
    $order = array('id' => $id, 'lines' => products(25), 'total' => array_sum(array_column(products(25), 'price')));
    return '<p>' . hash('sha256', serialize($order)) . '</p>';
}

function page_account(int $id): string
{
    return '<p>' . base64_encode(random_bytes(96)) . '</p>';
}

function page_invoice(int $id): string
{
    return '<pre>' . wordwrap(str_repeat('terms and conditions apply ', 150), 72) . '</pre>';
}

function page_feed(int $id): string
{
    return '<pre>' . htmlspecialchars(json_encode(products(80))) . '</pre>';
}

function page_about(int $id): string
{
    return preg_replace('/\b(the)\b/i', '<b>$1</b>', str_repeat('the river and the mill. ', 60));
}
