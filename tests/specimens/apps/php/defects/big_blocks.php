<?php

/** One big import of $size blocks of 30 kB, one in $of of which stays: chunks of Zend's heap with one used run of pages each. */
function big_blocks(int $size, int $of): string
{
    static $kept = null;
    if ($kept === null) {
        $kept = array();
        $all = array();
        for ($number = 0; $number < $size; $number++) {
            $all[] = str_repeat('b', 30000);
        }
        for ($number = 0; $number < $size; $number += $of) {
            $kept[] = $all[$number];
        }
    }
    return '<p>' . count($kept) . ' blocks</p>';
}
