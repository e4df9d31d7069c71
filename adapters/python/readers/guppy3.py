"""guppy3: the whole heap by kind after a request, and what is more or less than before."""

from __future__ import annotations

from adapters.python.readers import fields, heaps
from harness.model.profile import Profile


def parse(result: fields.Fields) -> Profile:
    """A checked result file as a profile."""
    total = fields.count(result, "kinds_total")
    kinds = heaps.groups(result, "kinds", "kind", ("bytes_growth", "count_growth", "bytes", "count"))
    notes = [
        "guppy3's partition of everything that can be reached, strings and numbers too, taken in copies of the process before "
        "and after the request; garbage is not in it. Bytes are the objects' own sizes.",
        "'dict of X' are the dictionaries of X's attributes.",
        "A few objects of ours and of the server's are among the differences. The request ran while the first copy was "
        "being counted: its time is not that of an ordinary request.",
    ]
    if total > len(kinds):
        notes.append(f"{len(kinds)} of {total} kinds, those that grew most first; the totals cover all of them.")
    return Profile(
        tool="guppy3",
        value_types=(heaps.BYTES_GROWTH, heaps.OBJECTS_GROWTH, heaps.BYTES, heaps.OBJECTS),
        objects=kinds,
        totals=heaps.totals(result, "bytes", "objects", "bytes_growth", "objects_growth"),
        notes=(*notes, *fields.honesty(result)),
    )
