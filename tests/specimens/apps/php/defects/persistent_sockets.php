<?php

/** Reports to another address each time, by persistent sockets (UDP, so nobody needs to listen): the worker keeps every one of them. */
function persistent_sockets(int $size, int $of): string
{
    $name = '127.' . random_int(1, 250) . '.' . random_int(1, 250) . '.' . random_int(1, 250);
    for ($number = 0; $number < $size; $number++) {
        $socket = pfsockopen("udp://$name", 20000 + $number);
    }
    return '<p>' . get_resource_type($socket) . '</p>';
}
