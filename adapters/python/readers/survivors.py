"""survivors: objects that a request left, by type, and what holds them."""

from __future__ import annotations

from adapters.python.readers import fields, heaps
from harness.model.profile import Profile, ValueType


def parse(result: fields.Fields) -> Profile:
    """A checked result file as a profile."""
    total = fields.count(result, "types_total")
    types = heaps.groups(result, "types", "type", ("count", "bytes", "buffer_bytes"))
    notes = [
        "Objects that were made in this request and are still alive after it, when garbage has been collected. Other threads' "
        "objects of that time are among them.",
        "Strings, numbers and byte strings have no place of their own here: Python's collector does not track them. Those of "
        "1 KiB or more that these objects refer to are the last column, though they may be older. What an older object "
        "gained, bytes appended to a list of the application's for example, is not seen at all: use tracemalloc for that.",
        "Bytes are the objects' own size (sys.getsizeof) with the dictionary of their attributes, without their content.",
        f"Paths: the shortest one for each of up to {fields.count(result, 'samples')} objects of the largest types.",
        *heaps.search_note(result),
    ]
    notes.append(
        "Order: by all their bytes, large strings included; of types of about the same size (within a power of two) those of the "
        "application and its packages come first."
    )
    garbage = result.get("garbage")
    if garbage is not None:
        if not isinstance(garbage, dict):
            raise ValueError("garbage is not an object")
        notes.append(
            f"The collector did not run before the end of the request. Then it found {fields.count(garbage, 'objects')} objects "
            "in cycles that nobody used any more; they are not among those above."
        )
    if total > len(types):
        notes.append(f"The {len(types)} largest of {total} types; the totals cover all of them.")
    return Profile(
        tool="survivors",
        value_types=(heaps.OBJECTS, heaps.BYTES, ValueType("buffers", "bytes", "large strings they refer to")),
        objects=types,
        holders=heaps.chains(result),
        cycles=() if garbage is None else heaps.chains(garbage, "cycles"),
        totals=heaps.totals(result, "objects", "bytes", "buffer_bytes")
        | ({} if garbage is None else {f"garbage_{key}": fields.count(garbage, key) for key in ("objects", "bytes")}),
        notes=(*notes, *fields.honesty(result)),
        complete=result.get("search_complete") is True,
    )
