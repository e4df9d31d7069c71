"""CPython 3.8 and later: its collector, its small-object allocator and its objects by type, read from outside.

Two parts that know nothing of each other. The *table part* (collector, threads, interpreters) needs the offsets of fields,
which come from the headers of each build (``layouts.jsonl``) and are proved in the target by what hangs together. The *shape
part* (pymalloc, types) needs no table: its structures are found by what they look like. A build that the table does not know
loses the first part only.
"""
