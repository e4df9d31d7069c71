<?php
// The generated page: many small files with classes in them (site_pages.py), and work with strings, arrays, patterns and a few cycles.

spl_autoload_register(function ($class) {
    require __DIR__ . "/classes/$class.php";
});
$out = array();
for ($i = 0; $i < PAGE_CLASSES; $i++) {
    $class = "Part$i";
    $part = new $class("title $i");
    for ($k = 0; $k < PAGE_ROWS; $k++) {
        $part->add("row-$k", "text of row $k, see page_" . ($k * $i % 97));
    }
    $out[] = $part->render();
}
echo strlen(implode("\n", $out));
