<?php

declare(strict_types=1);

namespace Shop;

/**
 * Products from SQLite, with a cache of search results in shared memory. The cache is bounded (SLOTS keys, each result a
 * few KiB): it fills while the service warms up and then stays as it is.
 */
final class Catalogue
{
    private const SLOTS = 64;
    private const COLUMNS = 'id, name, price_cents, description';

    public function __construct(private readonly \PDO $database)
    {
    }

    /** @return array{id: int, name: string, price_cents: int, description: string} */
    public function product(int $id): array
    {
        $statement = $this->database->prepare('SELECT ' . self::COLUMNS . ' FROM product WHERE id = ?');
        $statement->execute([$id]);

        return $statement->fetch() ?: throw new HttpError(404, 'There is no such product.');
    }

    /** @return list<array{id: int, name: string, price_cents: int, description: string}> */
    public function featured(int $count = 12): array
    {
        $statement = $this->database->prepare('SELECT ' . self::COLUMNS . ' FROM product ORDER BY price_cents LIMIT ?');
        $statement->execute([$count]);

        return $statement->fetchAll();
    }

    /** A search worth trying; the pages link to it. */
    public function suggestion(): string
    {
        return Storage::NOUNS[array_rand(Storage::NOUNS)];
    }

    /** @return list<array{id: int, name: string, price_cents: int, description: string}> */
    public function search(string $words): array
    {
        $slot = 'search:' . crc32($words) % self::SLOTS;
        $cached = apcu_fetch($slot, $hit);
        if ($hit && $cached['words'] === $words) {
            return $cached['products'];
        }
        $patterns = array_map(
            static fn (string $word) => '%' . addcslashes($word, '\\%_') . '%',
            preg_split('/\s+/', $words, -1, PREG_SPLIT_NO_EMPTY)
        );
        $where = $patterns ? implode(' AND ', array_fill(0, count($patterns), "name LIKE ? ESCAPE '\\'")) : '1';
        $statement = $this->database->prepare('SELECT ' . self::COLUMNS . " FROM product WHERE $where ORDER BY name LIMIT 24");
        $statement->execute($patterns);
        $products = $statement->fetchAll();
        apcu_store($slot, ['words' => $words, 'products' => $products]);

        return $products;
    }

    /** @return list<array{id: int, name: string, price_cents: int, description: string}> */
    public function pricedLike(int $cents, int $count): array
    {
        $statement = $this->database->prepare(
            'SELECT ' . self::COLUMNS . ' FROM product ORDER BY abs(price_cents - ?) LIMIT ? OFFSET 1'
        );
        $statement->execute([$cents, $count]);

        return $statement->fetchAll();
    }

    public function recordPurchase(string $email, int $totalCents): int
    {
        $this->database->prepare('INSERT INTO purchase (email, total_cents) VALUES (?, ?)')->execute([$email, $totalCents]);

        return (int) $this->database->lastInsertId();
    }
}
