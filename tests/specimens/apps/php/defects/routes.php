<?php

/** Matches the address against $size of $of patterns of a large route table: PCRE keeps up to 4096 compiled patterns in each process. */
function routes(int $size, int $of): string
{
    $found = 0;
    $first = random_int(0, $of - 1);
    for ($number = 0; $number < $size; $number++) {
        $route = ($first + $number) % $of;
        $found += preg_match("#^/shop/(?<section>[a-z]+)/route$route/(?<id>\\d+)(/(?<extra>[a-z\\d]{2,$size}))?$#i", "/shop/books/route$route/17");
    }
    return "<p>$found routes</p>";
}
