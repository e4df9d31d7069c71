<?php

/**
 * A persistent connection for every customer (the name in ATTR_PERSISTENT is never the same twice) with a table of $size rows in
 * memory. The worker keeps the connection after the request, in malloc's memory.
 */
function persistent_databases(int $size, int $of): string
{
    $name = 'customer' . hrtime(true) . getmypid();
    $database = new PDO('sqlite::memory:', null, null, array(PDO::ATTR_PERSISTENT => $name));
    $database->exec('CREATE TABLE visits (page TEXT)');
    $insert = $database->prepare('INSERT INTO visits VALUES (?)');
    for ($row = 0; $row < $size; $row++) {
        $insert->execute(array("page $row of a customer"));
    }
    return '<p>' . $database->query('SELECT count(*) FROM visits')->fetchColumn() . ' visits</p>';
}
