<?php

/** Keeps the formatters it makes in a cache whose key is never the same twice; each is an object of ICU, outside PHP's heap. */
function collators(int $size, int $of): string
{
    static $formatters = array();
    static $calls = 0;
    $calls++;
    for ($number = 0; $number < $size; $number++) {
        $formatters["$calls.$number"] = new NumberFormatter('de_DE', NumberFormatter::CURRENCY);
    }
    return '<p>' . end($formatters)->format(12.5) . '</p>';
}
