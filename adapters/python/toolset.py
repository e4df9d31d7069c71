"""The tools of this adapter: what each needs, whom it can measure, who reads its results. One entry a tool."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from adapters.formats import blackfire_profile
from adapters.python import callgrind
from adapters.python.readers import (
    cprofile,
    fields,
    guppy3,
    lines,
    memory_profiler,
    memray,
    objgraph,
    survivors,
    tracemalloc,
)
from harness.model.profile import Profile

Options = Mapping[str, object]


def no_options(options: Options) -> Mapping[str, str]:
    """For tools that take none."""
    return {}


@dataclass(frozen=True, slots=True)
class Export:
    """The same profile as a file for other programs: the ending of its name, the programs in words, and what writes it."""

    ending: str
    opens_with: str
    write: Callable[[Profile], bytes]


@dataclass(frozen=True, slots=True)
class Tool:
    """``packages``: what pip is asked for; ``names``: the top-level modules lent to the target, () where the standard library
    will do. ``oldest``: the first Python it runs on. ``functions``: it watches functions that the scenario names.
    ``scripts``: it can measure a whole program. ``options``: from the scenario's ``target.python`` to the words of a trigger.
    ``export``: a second file that is made of the result. ``raw``: reads the tool's own format, in which the profile reaches us
    through the Blackfire-compatible receiver; there is nothing for ``read`` to read then. ``records``: its result names a
    recording, which `recordings` reads.
    """

    name: str
    read: Callable[[fields.Fields], Profile] | None
    packages: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    oldest: tuple[int, int] = (3, 8)
    functions: bool = False
    scripts: bool = False
    options: Callable[[Options], Mapping[str, str]] = no_options
    export: Export | None = None
    raw: Callable[[bytes], Profile] | None = None
    records: bool = False


def _section(options: Options, name: str) -> Options:
    found = options.get(name)
    return found if isinstance(found, Mapping) else {}


def _tracemalloc_options(options: Options) -> Mapping[str, str]:
    frames = _section(options, "tracemalloc").get("frames", 1)
    return {} if frames == 1 else {"frames": str(frames)}


def _memray_options(options: Options) -> Mapping[str, str]:
    return {"native": "1"} if _section(options, "memray").get("native") else {}


TOOLS: Mapping[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool("tracemalloc", tracemalloc.parse, scripts=True, options=_tracemalloc_options),
        Tool(
            "memray",
            memray.parse,
            # The second one is asked for because pip decides with its own Python's version whether the first needs it.
            packages=("memray", "typing_extensions"),
            names=("memray", "rich", "typing_extensions"),
            scripts=True,
            options=_memray_options,
            records=True,
        ),
        Tool(
            "memory_profiler",
            memory_profiler.parse,
            packages=("memory_profiler", "psutil"),
            names=("memory_profiler", "psutil"),
            functions=True,
        ),
        Tool("lines", lines.parse, functions=True),
        Tool(
            "cprofile",
            cprofile.parse,
            scripts=True,
            export=Export("callgrind", "KCachegrind, QCachegrind or callgrind_annotate", callgrind.write),
        ),
        Tool("survivors", survivors.parse),
        Tool("objgraph", objgraph.parse, packages=("objgraph",), names=("objgraph",)),
        Tool("guppy3", guppy3.parse, packages=("guppy3",), names=("guppy",)),
        Tool(
            "blackfire",
            None,
            packages=("blackfire",),
            names=("blackfire", "_blackfire_profiler"),
            oldest=(3, 9),
            raw=blackfire_profile.read,
        ),
    )
}
DEFAULT = ("tracemalloc", "survivors")  # the standard library will do for both: nothing is fetched
AUTO = (*DEFAULT, "lines", "memray")


def words(tool: Tool, options: Options, once: Mapping[str, str] | None = None) -> str:
    """What follows the token in a trigger: the tool, its options, and what is for this trigger alone; values percent-encoded."""
    given = {**tool.options(options), **(once or {})}
    return " ".join([tool.name, *(f"{key}={quote(value, safe='')}" for key, value in given.items())])


def read(tool: str, data: bytes) -> Profile:
    """A result file; ValueError with the reason when it is not one."""
    found = TOOLS.get(tool)
    if found is None:
        raise ValueError(f"no reader for the tool {tool}")
    if found.raw is not None:
        return found.raw(data)
    assert found.read is not None
    return found.read(fields.load(tool, data))
