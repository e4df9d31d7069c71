<?php

/** Every request needs $size small arrays and a long string at the same time, and keeps none of them. */
function big_request(int $size, int $of): string
{
    $all = array();
    for ($number = 0; $number < $size; $number++) {
        $all[] = array($number, "row $number");
    }
    return '<p>' . count($all) . ' rows, ' . strlen(str_repeat('x', $size * 100)) . ' bytes</p>';
}
