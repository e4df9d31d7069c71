<?php

declare(strict_types=1);

namespace Shop;

/** A private directory with the SQLite file and the sessions; made by whichever worker comes first. */
final class Storage
{
    private const SCHEMA = 1;
    private const PRODUCTS = 120;
    private const ADJECTIVES = ['plain', 'sturdy', 'folding', 'woven', 'quiet', 'bright', 'hollow', 'double', 'narrow', 'salted'];
    public const NOUNS = ['lamp', 'kettle', 'ladder', 'basket', 'clock', 'stool', 'brush', 'kite', 'teapot', 'blanket', 'hammer', 'flask'];
    private const PROSE = 'made by hand from oak and brass in a small workshop near the river where nothing is ever thrown away';

    public function __construct(private readonly string $directory)
    {
        if (!is_dir($directory) && !@mkdir($directory, 0700) && !is_dir($directory)) {
            throw new \RuntimeException("cannot create $directory");
        }
        if (fileowner($directory) !== posix_geteuid()) {
            throw new \RuntimeException("$directory belongs to somebody else; set SHOP_DATA to a directory of your own");
        }
    }

    public function database(): \PDO
    {
        $path = $this->directory . '/shop-' . self::SCHEMA . '.sqlite';
        if (!is_file($path)) {
            $this->create($path);
        }

        return self::open($path);
    }

    public function startSession(): void
    {
        session_save_path($this->directory);
        session_start([
            'cookie_httponly' => true,
            'cookie_samesite' => 'Lax',
            'use_strict_mode' => true,
            'gc_probability' => 1,  // Debian sets 0 and cleans its own directory by cron
            'gc_divisor' => 500,
            'gc_maxlifetime' => 600,
        ]);
    }

    private static function open(string $path): \PDO
    {
        return new \PDO('sqlite:' . $path, null, null, [
            \PDO::ATTR_ERRMODE => \PDO::ERRMODE_EXCEPTION,
            \PDO::ATTR_DEFAULT_FETCH_MODE => \PDO::FETCH_ASSOC,
            \PDO::ATTR_TIMEOUT => 10,
        ]);
    }

    /** Written under another name and linked into place: no worker sees half a catalogue, and the first one wins. */
    private function create(string $path): void
    {
        $draft = $path . '.' . bin2hex(random_bytes(8));
        $database = self::open($draft);
        $database->exec('PRAGMA journal_mode = WAL');
        $database->beginTransaction();
        $database->exec('CREATE TABLE product (id INTEGER PRIMARY KEY, name TEXT, price_cents INTEGER, description TEXT)');
        $database->exec('CREATE TABLE purchase (id INTEGER PRIMARY KEY, email TEXT, total_cents INTEGER)');
        $insert = $database->prepare('INSERT INTO product VALUES (?, ?, ?, ?)');
        mt_srand(7);
        $words = explode(' ', self::PROSE);
        for ($id = 1; $id <= self::PRODUCTS; ++$id) {
            $name = self::ADJECTIVES[intdiv($id - 1, 12)] . ' ' . self::NOUNS[($id - 1) % 12];
            $text = implode(' ', array_map(static fn () => $words[mt_rand(0, count($words) - 1)], range(1, 90)));
            $insert->execute([$id, $name, mt_rand(300, 20_000), $text]);
        }
        $database->commit();
        unset($insert, $database);  // the last connection to close folds the WAL back into the file
        @link($draft, $path);
        unlink($draft);
    }
}
