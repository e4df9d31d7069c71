<?php

declare(strict_types=1);

namespace Shop;

/** Something the visitor should be told, with its status. */
final class HttpError extends \RuntimeException
{
    public function __construct(public readonly int $status, string $message)
    {
        parent::__construct($message);
    }
}

/** Input and output of one request. */
final class Http
{
    private const TEMPLATES = __DIR__ . '/../templates/';

    /** @param callable(): string $page */
    public static function answer(callable $page): void
    {
        try {
            echo $page();
        } catch (HttpError $error) {
            http_response_code($error->status);
            echo self::html('error.php', ['message' => $error->getMessage()]);
        }
    }

    /** @param array<string, mixed> $values */
    public static function html(string $template, array $values): string
    {
        return self::render('layout.php', ['main' => self::render($template, $values)]);
    }

    public static function json(mixed $value, int $status = 200): string
    {
        http_response_code($status);
        header('Content-Type: application/json');

        return json_encode($value, JSON_THROW_ON_ERROR);
    }

    public static function redirect(string $path): string
    {
        header('Location: ' . $path, true, 302);

        return '';
    }

    public static function intParameter(string $name): int
    {
        $value = filter_var($_POST[$name] ?? $_GET[$name] ?? null, FILTER_VALIDATE_INT);

        return $value === false ? throw new HttpError(400, "$name must be a number.") : $value;
    }

    public static function textParameter(string $name, int $limit): string
    {
        $value = $_GET[$name] ?? '';

        return is_string($value) ? substr($value, 0, $limit) : '';
    }

    /** @param array<string, mixed> $values */
    private static function render(string $template, array $values): string
    {
        extract($values, EXTR_SKIP);
        ob_start();
        require self::TEMPLATES . $template;

        return (string) ob_get_clean();
    }
}

/** Escapes text for HTML; templates call it e(). */
function e(string|int $text): string
{
    return htmlspecialchars((string) $text, ENT_QUOTES | ENT_SUBSTITUTE, 'UTF-8');
}

function money(int $cents): string
{
    return 'EUR ' . number_format($cents / 100, 2);
}
