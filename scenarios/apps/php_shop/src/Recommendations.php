<?php

declare(strict_types=1);

namespace Shop;

/** "You may also like": costly to compute, so the answer is kept in shared memory for the next visitor. */
final class Recommendations
{
    public function __construct(private readonly Catalogue $catalogue, private readonly bool $defect)
    {
    }

    /** @return list<array{id: int, name: string, price_cents: int, description: string}> */
    public function for(int $productId): array
    {
        $key = $this->key($productId);
        $known = apcu_fetch($key, $hit);
        if ($hit) {
            return $known;
        }
        $chosen = $this->choose($productId);
        apcu_store($key, $chosen, $this->defect ? 0 : 600);

        return $chosen;
    }

    /** The answer depends on where the visitor stands, and that is what the key is made of. */
    private function key(int $productId): string
    {
        $context = ['product' => $productId, 'language' => 'en'];
        if ($this->defect) {
            $context['viewed_at'] = $_SERVER['REQUEST_TIME_FLOAT'];
        }

        return 'recommend:' . md5(serialize($context));
    }

    /** @return list<array{id: int, name: string, price_cents: int, description: string}> */
    private function choose(int $productId): array
    {
        $product = $this->catalogue->product($productId);
        $words = explode(' ', $product['description']);
        $scored = array_map(
            static fn (array $other) => $other + ['score' => count(array_intersect($words, explode(' ', $other['description'])))],
            $this->catalogue->pricedLike($product['price_cents'], 20)
        );
        usort($scored, static fn (array $a, array $b) => $b['score'] <=> $a['score']);

        return array_slice($scored, 0, 10);
    }
}
