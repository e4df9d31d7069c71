<?php

/** Call number $of needs $size small arrays at the same time and keeps none of them. */
function one_big_job(int $size, int $of): string
{
    static $calls = 0;
    if (++$calls !== $of) {
        return '<p>nothing to do</p>';
    }
    $all = array();
    for ($number = 0; $number < $size; $number++) {
        $all[] = array($number, "row $number");
    }
    return '<p>' . count($all) . ' rows</p>';
}
