<?php

declare(strict_types=1);

namespace Shop;

/** The pages; each returns the body of its response. */
final class Pages
{
    private const CART_LIMIT = 10;

    public function __construct(
        private readonly Catalogue $catalogue,
        private readonly Recommendations $recommendations,
        private readonly Storage $storage,
    ) {
    }

    public function health(): string
    {
        $this->catalogue->product(1);

        return Http::json(['status' => 'ok']);
    }

    public function home(): string
    {
        return Http::html('list.php', [
            'title' => 'Good value today',
            'products' => $this->catalogue->featured(),
            'suggestion' => $this->catalogue->suggestion(),
        ]);
    }

    public function product(): string
    {
        $product = $this->catalogue->product(Http::intParameter('id'));
        $this->storage->startSession();

        return Http::html('product.php', ['product' => $product, 'csrf' => $this->csrf()]);
    }

    public function search(): string
    {
        $words = strtolower(trim(Http::textParameter('q', 60)));
        $products = $this->catalogue->search($words);

        return Http::html('list.php', ['title' => count($products) . " found for \"$words\"", 'products' => $products]);
    }

    public function recommend(): string
    {
        $products = $this->recommendations->for(Http::intParameter('product'));

        return Http::html('list.php', ['title' => 'You may also like', 'products' => $products]);
    }

    public function cart(): string
    {
        $this->storage->startSession();
        $lines = [];
        foreach ($_SESSION['cart'] ?? [] as $id => $count) {
            $lines[] = [$this->catalogue->product($id), $count];
        }

        return Http::html('cart.php', ['lines' => $lines]);
    }

    public function cartAdd(): string
    {
        $this->storage->startSession();
        $sent = $_POST['csrf'] ?? '';
        if (!is_string($sent) || !hash_equals($this->csrf(), $sent)) {
            throw new HttpError(403, 'The form has expired: open the product page again.');
        }
        $id = $this->catalogue->product(Http::intParameter('product'))['id'];
        $cart = $_SESSION['cart'] ?? [];
        $cart[$id] = min(99, ($cart[$id] ?? 0) + 1);
        $_SESSION['cart'] = array_slice($cart, -self::CART_LIMIT, null, true);

        return Http::redirect('/cart');
    }

    public function checkout(): string
    {
        $order = json_decode((string) file_get_contents('php://input', length: 64 * 1024), true);
        $email = is_array($order) ? $order['email'] ?? null : null;
        $items = is_array($order) ? $order['items'] ?? null : null;
        if (!is_string($email) || !is_array($items) || !$items || count($items) > 20) {
            return Http::json(['error' => 'an order has an email and 1 to 20 items'], 422);
        }
        $total = 0;
        foreach ($items as $item) {
            $total += $this->catalogue->product((int) ($item['product'] ?? 0))['price_cents'] * (int) ($item['quantity'] ?? 0);
        }

        return Http::json(['number' => $this->catalogue->recordPurchase($email, $total), 'total_cents' => $total], 201);
    }

    private function csrf(): string
    {
        return $_SESSION['csrf'] ??= bin2hex(random_bytes(16));
    }
}
