<?php

/** Leaves $size pairs of objects that refer to each other: garbage that only the cycle collector can free. */
function cycles(int $size, int $of): string
{
    for ($number = 0; $number < $size; $number++) {
        $parent = new stdClass();
        $parent->child = new stdClass();
        $parent->child->parent = $parent;
        $parent->data = str_repeat('c', 200);
    }
    return "<p>$size pairs</p>";
}
