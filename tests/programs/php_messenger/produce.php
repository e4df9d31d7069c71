<?php
// produce.php COUNT [keep]: sends COUNT messages and returns when all have been handled.

require __DIR__ . '/messenger.php';

use Symfony\Component\Messenger\Envelope;

$database = database();
$transport = transport($database);
$transport->getMessageCount(); // makes the table where there is none
$database->beginTransaction(); // SQLite has one writer: while messages are there the consumer is it
for ($number = 0; $number < (int) $argv[1]; $number++) {
    $transport->send(new Envelope(new Index(str_repeat("word and number $number ", 1000), isset($argv[2]))));
}
$database->commit();
while ($transport->getMessageCount() > 0) {
    usleep(20000);
}
