<?php
// What consumer and producer share: Debian's symfony/messenger over Doctrine's transport, on the SQLite file in QUEUE.

require '/usr/share/php/Symfony/Component/Console/autoload.php';
require '/usr/share/php/Symfony/Component/EventDispatcher/autoload.php';
require '/usr/share/php/Symfony/Component/Messenger/autoload.php';
require '/usr/share/php/Doctrine/DBAL/autoload.php';

use Doctrine\DBAL\DriverManager;
use Symfony\Component\Messenger\Bridge\Doctrine\Transport\Connection;
use Symfony\Component\Messenger\Bridge\Doctrine\Transport\DoctrineTransport;
use Symfony\Component\Messenger\Transport\Serialization\PhpSerializer;

final class Index
{
    public $text;
    public $keep;

    public function __construct($text, $keep)
    {
        $this->text = $text;
        $this->keep = $keep;
    }
}

final class IndexHandler
{
    private $kept = array();

    public function __invoke(Index $message)
    {
        $words = array_count_values(explode(' ', $message->text));
        if ($message->keep) {
            $this->keep($message);
        }
        return $words;
    }

    private function keep(Index $message)
    {
        $this->kept[] = strtoupper($message->text);
    }
}

function database()
{
    $database = DriverManager::getConnection(array('driver' => 'pdo_sqlite', 'path' => getenv('QUEUE')));
    $database->executeStatement('PRAGMA journal_mode=WAL');
    $database->executeStatement('PRAGMA synchronous=OFF');
    return $database;
}

function transport($database)
{
    return new DoctrineTransport(new Connection(array(), $database), new PhpSerializer());
}
