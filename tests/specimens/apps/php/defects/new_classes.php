<?php

/** $size classes made by eval() with a name of their own each, as mock and proxy generators do: PHP never forgets a class. */
function new_classes(int $size, int $of): string
{
    static $made = 0;
    for ($number = 0; $number < $size; $number++) {
        $made++;
        eval("final class Proxy$made { private \$target; public function call(\$a, \$b = 1) { return [\$a, \$b, '$made']; } }"); // <- kept here
    }
    return "<p>$made classes</p>";
}
