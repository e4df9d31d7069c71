"""PHP 7.4 and later without threads, in any server: its heap, its collector, its objects by class, opcache and APCu.

No layout table: the structs move even inside a minor version (8.2.32 and 8.2.36 differ in the heap and in executor_globals),
so each is found by its shape and has to prove itself: the books of the heap must balance. Sources of the layouts:
Zend/zend_alloc.c, zend_objects_API.h, zend_gc.c, ext/opcache/zend_shared_alloc.c, apc_sma.c.
"""
