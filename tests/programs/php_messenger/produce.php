<?php
// produce.php COUNT [keep]: sends COUNT messages and returns when all have been handled.

require __DIR__ . '/messenger.php';

use Symfony\Component\Messenger\Envelope;

$transport = transport();
for ($number = 0; $number < (int) $argv[1]; $number++) {
    $transport->send(new Envelope(new Index(str_repeat("word and number $number ", 200), isset($argv[2]))));
}
while ($transport->getMessageCount() > 0) {
    usleep(20000);
}
