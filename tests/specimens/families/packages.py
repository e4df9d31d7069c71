"""Published packages in the version that leaks and in the version that does not, used as their documentation says.

Each defect was reproduced in a script of its own before it came here: thousands of calls, private memory, allocated blocks and
malloc's bytes in use before and after a full collection, in both versions.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from specimens.model import Group, Place, Specimen, Truth
from specimens.php_apps import PAGES

_GUNICORN = "gunicorn==23.0.0"
_ROUNDS = {"rounds": 8, "requests_per_round": 400, "concurrency": 2, "warmup_rounds": 2, "blocks": 5}


@dataclass(frozen=True, slots=True)
class _Pair:
    """A defect.

    ``use``, ``size``: module in ``apps/packages/defects``, and how often a request does it.
    ``keeps``: bytes that such a request keeps, as measured.
    ``seen``: whether Python sees that the memory comes from a line of the application; no tool in Python sees malloc.
    ``fixed_use``: what the healthy one uses, where it is not the version that makes the difference.
    ``also``, ``fixed_also``: further verdicts that are right about the one and the other.
    """

    name: str
    leaks: str
    fixed: str
    cause: str
    why: str
    use: str
    size: int
    keeps: int | None
    seen: bool = True
    also: tuple[str, ...] = ()
    fixed_use: str | None = None
    fixed_also: tuple[str, ...] = ()
    held_out: bool = False
    quick: bool = False


_PAIRS = (
    _Pair(
        "babel", "babel==2.11.0", "babel==2.12.1", "leak.objects",
        "Babel issue 962: parse_pattern() keeps every pattern in a dictionary without a limit; 2.12 has an lru_cache.",
        "babel_patterns", 12, 3620,
    ),
    _Pair(
        "hiredis", "hiredis==3.1.0", "hiredis==3.1.1", "leak.objects",
        "hiredis-py issue 175: the values of a RESP3 map keep a reference too many, and so are never freed; fixed in 3.1.1.",
        "hiredis_maps", 5, 8030, quick=True,
    ),
    _Pair(
        "multidict-update", "multidict==6.3.1", "multidict==6.3.2", "leak.objects",
        "multidict issue 1121: update() from a dictionary keeps a reference too many to keys and values; fixed in 6.3.2.",
        "multidict_update", 30, 4670, held_out=True,
    ),
    _Pair(
        "multidict-deleted", "multidict==6.6.3", "multidict==6.6.4", "leak.objects",
        "multidict issue 1233: the table of a dictionary whose items were all deleted is not freed; it is from PyMem_Malloc(), "
        "larger than pymalloc's limit, so Python counts one block and malloc has the bytes. Fixed in 6.6.4.",
        "multidict_deleted", 8, 5890, also=("leak.native",),
    ),
    _Pair(
        "ujson-dicts", "ujson==2.0.2", "ujson==2.0.3", "leak.objects",
        "UltraJSON issue 392: dumps() of a dictionary keeps a reference to every value; fixed in 2.0.3.",
        "ujson_dicts", 60, 3900, held_out=True,
    ),
    _Pair(
        "ujson-full-disk", "ujson==5.12.0", "ujson==5.12.1", "leak.objects",
        "CVE-2026-44660: when the write fails, ujson.dump() loses the text of the whole document; fixed in 5.12.1.",
        "ujson_full_disk", 2, 5500,
    ),
    _Pair(
        "orjson-default", "orjson==3.9.0", "orjson==3.9.1", "leak.objects",
        "orjson issue 392, change log of 3.9.1: the chained traceback of an exception in default() is leaked since 3.8.12.",
        "orjson_default", 8, None, held_out=True,
    ),
    _Pair(
        "bson", "pymongo==4.1.0", "pymongo==4.1.1", "leak.objects",
        "PYTHON-3222: bson.decode_all() without options leaks its CodecOptions; fixed in 4.1.1.",
        "bson_decode_all", 10, 4170,
    ),
    _Pair(
        "cbor2", "cbor2==5.6.5", "cbor2==6.1.0", "leak.objects",
        "cbor2 issue 257: when a nested map turns out to be broken, the exception is leaked, with its traceback and what the "
        "frames of the request hold; 6.0 is written anew.",
        "cbor2_broken", 5, None,
    ),
    _Pair(
        "rapidjson", "python-rapidjson==1.23", "python-rapidjson==1.24", "leak.objects",
        "python-rapidjson pull request 239: RawJSON() leaks the object when it refuses its argument; fixed in 1.24.",
        "rapidjson_refused", 100, 3210, held_out=True,
    ),
    _Pair(
        "msgpack", "msgpack==1.2.2", "msgpack==1.2.3", "leak.objects",
        "GHSA-j586-36cw-2gc2: the key and the value are leaked when the key of a map is refused; fixed in 1.2.3.",
        "msgpack_keys", 4, 5070,
    ),
    _Pair(
        "pybars", "pybars3==0.9.7", "pybars3==0.9.7", "leak.objects",
        "pybars3 issue 73, not fixed: every compilation puts a module into sys.modules for good; compiling once avoids it. The "
        "compiler leaves 5 MiB of garbage in cycles behind when it is imported.",
        "pybars_templates", 4, 19600, fixed_use="pybars_compiled_once", fixed_also=("gc-delay",),
    ),
    _Pair(
        "protobuf", "protobuf==4.22.1", "protobuf==4.25.3", "leak.native",
        "upb issue 1243: ByteSize() of a part that was never set leaks what it serialized, in malloc's memory; 4.24.4 no longer "
        "does.",
        "protobuf_sizes", 50, 4000, seen=False,
    ),
    _Pair(
        "ijson", "ijson==3.2.0.post0", "ijson==3.2.1", "leak.objects",
        "ijson issue 97: the parser of the C backend is leaked when the document is broken, and with it a buffer of 64 KiB that "
        "is a bytes object; fixed in 3.2.1.",
        "ijson_broken", 1, 65700,
    ),
    _Pair(
        "pendulum", "pendulum==2.1.2", "pendulum==3.0.0", "leak.native",
        "pendulum issue 720: the C parser loses its struct when a date is wrong; fixed by the new parser of 3.0.",
        "pendulum_invalid", 40, 5130, seen=False, held_out=True,
    ),
    _Pair(
        "jsonschema", "jsonschema==4.17.3", "jsonschema==4.18.6", "gc-delay",
        "jsonschema issue 966: each validator has a resolver that refers to itself through its caches, and the application has "
        "switched the collector off; 4.18 has no such cycles.",
        "jsonschema_cycles", 2, None, seen=False,
    ),
    _Pair(
        "jsonschema-collected", "jsonschema==4.17.3", "jsonschema==4.18.6", "gc-delay",
        "jsonschema issue 966 with the collector on: some of the cycles reach the oldest generation, which is not collected "
        "within the run; there are more of them in each round, and in the end they will be freed.",
        "jsonschema_collected", 6, None, seen=False, also=("healthy", "inconclusive"), held_out=True,
    ),
)  # fmt: skip


def specimens() -> list[Specimen]:
    """Two of each pair: with the defect and without it."""
    return [s for seed, pair in enumerate(_PAIRS) for s in (_defective(pair, seed), _fixed(pair, seed))]


def _defective(pair: _Pair, seed: int) -> Specimen:
    page = random.Random(seed).choice(PAGES)
    truth = Truth(
        (pair.cause, *pair.also),
        f"{pair.leaks}. {pair.why}",
        healthy="healthy" in pair.also,
        endpoints={page: pair.keeps},
        place=Place(f"packages/defects/{pair.use}.py", "use") if pair.seen else None,
    )
    return _specimen(pair, "leaks", pair.leaks, pair.use, page, truth, seed, quick=pair.quick)


def _fixed(pair: _Pair, seed: int) -> Specimen:
    page = random.Random(seed).choice(PAGES)
    truth = Truth(
        ("healthy", *pair.fixed_also),
        f"{pair.fixed}, used in the same way, leaks nothing: the pair of {pair.leaks}.",
        healthy=True,
    )
    use = pair.fixed_use or pair.use
    return _specimen(pair, "fixed", pair.fixed, use, page, truth, seed)


def _specimen(
    pair: _Pair, kind: str, package: str, use: str, page: str, truth: Truth, seed: int, *, quick: bool = False
) -> Specimen:
    return Specimen(
        name=f"package-{pair.name}-{kind}",
        family="packages",
        runtime="python",
        scenario=_scenario(page, f"with={use}&size={pair.size}", seed),
        truth=truth,
        group=Group.HELD_OUT if pair.held_out else Group.DEVELOPMENT,
        quick=quick,
        sources=("packages/shop.py", *(f"packages/defects/{used}.py" for used in sorted({use, pair.use}))),
        packages=(_GUNICORN, package),
        seed=seed,
    )


def _scenario(page: str, query: str, seed: int) -> Mapping[str, object]:
    order = list(PAGES)
    random.Random(seed).shuffle(order)
    asked = [
        {"name": name, "get": ("/" if name == "home" else f"/{name}") + (f"?{query}" if name == page else "")}
        for name in order
    ]
    return {
        "target": {
            "runtime": "python",
            "cwd": "@APPS@/packages",
            "launch": "gunicorn shop:application -w 2 -b 127.0.0.1:@PORT@",
            "ready": "http://127.0.0.1:@PORT@/",
        },
        "requests": asked,
        "load": {**_ROUNDS, "seed": seed + 1},
        "profile": "auto",
    }
