<?php

/** Keeps a DOM document of $size elements. Its nodes are libxml2's, which takes them from malloc: memory_get_usage() never sees them. */
function documents_kept(int $size, int $of): string
{
    static $documents = array();
    $document = new DOMDocument();
    $root = $document->appendChild($document->createElement('order'));
    for ($line = 0; $line < $size; $line++) {
        $root->appendChild($document->createElement('line', "product $line"));
    }
    $documents[] = $document;
    return '<p>' . count($documents) . ' documents</p>';
}
