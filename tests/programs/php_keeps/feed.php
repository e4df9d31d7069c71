<?php

/** `feed.php ADDRESS COUNT`: hands the worker that many jobs and returns when all are done. */
$connection = stream_socket_client($argv[1]);
for ($number = 0; $number < (int) $argv[2]; $number++) {
    fwrite($connection, "$number\n");
    if (fgets($connection) === false) {
        exit(1);
    }
}
