"""objgraph: objects by type after a request, and how many more or fewer than before."""

from __future__ import annotations

from adapters.python.readers import fields, heaps
from harness.model.profile import Profile

_KINDS_CAP = 20


def parse(result: fields.Fields) -> Profile:
    """A checked result file as a profile."""
    total = fields.count(result, "types_total")
    types = heaps.groups(result, "types", "type", ("growth", "count"))
    notes = [
        "Types whose number of objects changed (objgraph.typestats before and after, in copies of the process). Only objects "
        "that Python's collector tracks: no strings, numbers and byte strings.",
        "A few objects of ours and of the server's are among dict, list, tuple and function.",
        f"Paths: objgraph.find_backref_chain from a module, else from a variable of a running function, to "
        f"{fields.count(result, 'samples')} of the objects that the request left, for each of the types that grew most; those of "
        "the application and its packages first.",
        *heaps.search_note(result),
    ]
    without = fields.count(result, "without_chain")
    if without:
        kinds = ", ".join(fields.texts(result, "without_chain_types")[:_KINDS_CAP])
        notes.append(
            f"Neither a module nor a running function of this thread holds {without} of these objects"
            f"{f' ({kinds})' if kinds else ''} within 20 references: another thread or C code does."
        )
    if result.get("only_new") is not True:
        notes.append(
            "The application has frozen its own heap (gc.freeze): garbage of earlier requests may show as a decrease, and the "
            "objects at the ends of paths may be older than the request."
        )
    if total > len(types):
        notes.append(f"The {len(types)} types that grew most, of {total} that changed; the totals cover all of them.")
    return Profile(
        tool="objgraph",
        value_types=(heaps.OBJECTS_GROWTH, heaps.OBJECTS),
        objects=types,
        holders=heaps.chains(result),
        totals=heaps.totals(result, "objects", "growth"),
        notes=(*notes, *fields.honesty(result)),
        complete=result.get("search_complete") is True,
    )
