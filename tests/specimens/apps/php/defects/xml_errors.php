<?php

/** Collects libxml's errors and never calls libxml_clear_errors(): each broken document leaves its $size messages in the list. */
function xml_errors(int $size, int $of): string
{
    libxml_use_internal_errors(true);
    simplexml_load_string('<orders>' . str_repeat('<' . str_repeat('line', 60) . '></row>', $size));
    return '<p>not XML</p>';
}
