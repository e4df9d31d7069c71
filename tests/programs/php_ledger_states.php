<?php
// Takes memory of every kind, one word a line on stdin, one answer a line on stdout. "told" answers what PHP says of its heap.
class Node { public $number = 1; public $text; }

$kept = $native = $files = [];
$libc = class_exists('FFI') ? FFI::cdef('int malloc_trim(size_t); void *mmap(void *, size_t, int, int, int, long);'
    . 'void *memset(void *, int, size_t);') : null;

echo "ready\n";
while (($line = fgets(STDIN)) !== false) {
    switch (trim($line)) {
        case 'told':
            echo json_encode(['size' => memory_get_usage(), 'real' => memory_get_usage(true)]), "\n";
            continue 2;
        case 'load':
            for ($k = 0; $k < 200000; $k++) {
                $node = new Node();
                $node->text = "node $k";
                $kept[] = $node;
            }
            unset($node);
            break;
        case 'drop':  // nine of ten
            foreach (array_keys($kept) as $k) {
                if ($k % 10) {
                    unset($kept[$k]);
                }
            }
            break;
        case 'large':  // blocks with a mapping each
            for ($k = 0; $k < 8; $k++) {
                $native['large'][] = str_repeat('x', 5 << 20);
            }
            break;
        case 'documents':  // libxml's, which malloc holds
            for ($k = 0; $k < 300; $k++) {
                $document = new DOMDocument();
                $document->loadXML('<a>' . str_repeat('<b c="d">text</b>', 500) . '</a>');
                $native['documents'][] = $document;
            }
            unset($document);
            break;
        case 'forget':  // three of four documents
            foreach (array_keys($native['documents']) as $k) {
                if ($k % 4) {
                    unset($native['documents'][$k]);
                }
            }
            break;
        case 'outside':  // 50 MiB that no allocator knows of: PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS
            $libc->memset($libc->mmap(null, 50 << 20, 3, 0x22, -1, 0), 1, 50 << 20);
            break;
        case 'trim':
            gc_mem_caches();
            $libc->malloc_trim(0);
            break;
        case 'store':
            apcu_store('key', str_repeat('y', 10 << 20));
            break;
        default:
            throw new ValueError($line);
    }
    echo "ok\n";
}
