<?php

/**
 * One big import: $size small strings at once, of which one in $of stays (the index of the import). It happens in the first call only.
 * Each survivor keeps a chunk of 2 MiB that is otherwise empty.
 */
function one_survivor(int $size, int $of): string
{
    static $index = null;
    if ($index === null) {
        $index = array();
        $all = array();
        for ($number = 0; $number < $size; $number++) {
            $all[] = str_repeat('r', 200) . $number;
        }
        foreach ($all as $number => $row) {
            if ($number % $of === 0) {
                $index[] = $row;
            }
        }
    }
    return '<p>' . count($index) . ' in the index</p>';
}
