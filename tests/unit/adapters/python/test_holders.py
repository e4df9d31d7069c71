"""What holds an object: known graphs, and classes that would notice if somebody asked them anything."""

from __future__ import annotations

import functools
import gc
import sys
import threading
import weakref
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextvars import ContextVar
from itertools import pairwise
from types import ModuleType
from typing import Any

import pytest

from adapters.python.agent import holders, naming
from adapters.python.agent.holders import Heap, describe

SHOP = "shop_of_this_test"
ASKED: list[str] = []


class Thing:
    """What is held."""


class Slotted:
    __slots__ = ("thing",)


class Node:
    following: Node | None


class Tree:
    def __init__(self, depth: int) -> None:
        self.children = [Tree(depth - 1)] if depth else [Thing()]


class Meta(type):
    def __eq__(cls, other: object) -> bool:
        ASKED.append("type ==")
        return False

    def __hash__(cls) -> int:
        ASKED.append("type hash")
        return 0

    def __getattribute__(cls, name: str) -> Any:
        ASKED.append(f"type {name}")
        return super().__getattribute__(name)


class Hostile(dict, metaclass=Meta):  # type: ignore[type-arg]
    """Notes whatever is asked of it."""

    def _note(self, *args: object) -> Any:
        ASKED.append("asked")
        raise RuntimeError("planted")

    __getattribute__ = __getattr__ = __eq__ = __len__ = __iter__ = items = __repr__ = __sizeof__ = __bool__ = _note  # type: ignore[assignment]
    __hash__ = object.__hash__
    __class__ = property(_note)  # type: ignore[assignment]
    __dict__ = property(_note)  # type: ignore[assignment]


def build(shop: Any) -> dict[str, Thing]:
    """Things that each hang at one place."""
    things: dict[str, Thing] = {}

    def thing(name: str) -> Thing:
        things[name] = Thing()
        return things[name]

    shop.BARE = thing("bare")
    shop.CACHE = {"k1": [1, 2, thing("cached")], 7: (thing("by number"),)}
    shop.SECRETS = {"s" * 81: thing("long key"), (1, 2): thing("tuple key"), 10**30: thing("large number")}
    shop.KEYS = {thing("key"): 1}
    shop.Class = type("Class", (), {"TABLE": {thing("in a class attribute")}})
    shop.slotted = Slotted()
    shop.slotted.thing = thing("in a slot")
    shop.queue = deque([thing("queued")])
    shop.ordered = OrderedDict(first=thing("ordered"))
    shop.instance = Node()
    shop.instance.following = Node()
    shop.instance.following.following = thing("attribute")

    kept = [thing("closed over")]
    shop.closure = lambda: kept
    default = thing("default")
    shop.defaults = lambda found=default: found

    def generate(inner: Thing) -> Iterator[Thing]:
        yield inner

    shop.generator = generate(thing("in a generator"))
    next(shop.generator)
    shop.partial = functools.partial(print, thing("argument"))
    shop.method = thing("self").__init__  # type: ignore[misc]
    shop.local = threading.local()
    shop.local.mine = thing("thread-local")

    first = Node()
    first.following = second = Node()
    second.following = first
    second.thing = thing("in a cycle")  # type: ignore[attr-defined]
    shop.cycle = first

    shop.tree = Tree(9)
    leaf: Any = shop.tree
    while isinstance(leaf, Tree):
        leaf = leaf.children[0]
    things["at the end of a tree"] = leaf

    shop.weak = weakref.ref(thing("weakly"))
    shop.hostile = Hostile()
    dict.__setitem__(shop.hostile, "key", thing("in a hostile dictionary"))
    return things


VARIABLE: ContextVar[list[Thing]] = ContextVar("basket")


@pytest.fixture(scope="module")
def found() -> Iterator[dict[str, str]]:
    """The path to each thing, as text."""
    shop = ModuleType(SHOP)
    sys.modules[SHOP] = shop
    things = build(shop)
    in_frame = things["in a frame"] = Thing()
    things["in a context variable"] = Thing()
    token = VARIABLE.set([things["in a context variable"]])
    gc.disable()
    try:
        ASKED.clear()
        heap = Heap((things,))
        paths = {name: text(heap.chains([thing], 5)) for name, thing in things.items()}
        assert in_frame is not None
        assert heap.complete
        assert ASKED == []
        yield paths
    finally:
        gc.enable()
        VARIABLE.reset(token)
        del sys.modules[SHOP]


def text(chains: list[dict[str, Any]]) -> str:
    [chain] = chains
    assert chain["objects"] == 1
    words = []
    for label, via in chain["path"]:
        words.append(f"{label} {via}".strip().replace(f"{__name__}.", ""))
    return " -> ".join(words)


ROOT = f"module {SHOP}"
PATHS = {
    "bare": f"{ROOT} BARE -> Thing",
    "cached": f"{ROOT} CACHE -> dict of 2 ['k1'] -> list of 3 [2] -> Thing",
    "by number": f"{ROOT} CACHE -> dict of 2 [7] -> tuple of 1 [0] -> Thing",
    "long key": f"{ROOT} SECRETS -> dict of 3 [<str>] -> Thing",
    "tuple key": f"{ROOT} SECRETS -> dict of 3 [<tuple>] -> Thing",
    "large number": f"{ROOT} SECRETS -> dict of 3 [<int>] -> Thing",
    "key": f"{ROOT} KEYS -> dict of 1 a key -> Thing",
    "in a class attribute": f"{ROOT} Class -> class Class TABLE -> set of 1 a member -> Thing",
    "in a slot": f"{ROOT} slotted -> Slotted thing -> Thing",
    "queued": f"{ROOT} queue -> collections.deque of 1 [0] -> Thing",
    "ordered": f"{ROOT} ordered -> collections.OrderedDict of 1 ['first'] -> Thing",
    "attribute": f"{ROOT} instance -> Node following -> Node following -> Thing",
    "closed over": f"{ROOT} closure -> function build.<locals>.<lambda> closure variable kept -> list of 1 [0] -> Thing",
    "default": f"{ROOT} defaults -> function build.<locals>.<lambda> __defaults__ -> tuple of 1 [0] -> Thing",
    "argument": f"{ROOT} partial -> functools.partial args -> tuple of 1 [0] -> Thing",
    "thread-local": f"{ROOT} local -> _thread._local mine -> Thing",
    "in a cycle": f"{ROOT} cycle -> Node following -> Node thing -> Thing",
    "at the end of a tree": f"{ROOT} tree -> Tree children -> list of 1 [0] -> the same 9 more times -> Thing",
    "in a hostile dictionary": f"{ROOT} hostile -> Hostile of 1 ['key'] -> Thing",
    "in a context variable": "context variables basket -> list of 1 [0] -> Thing",
}


@pytest.mark.parametrize("name", PATHS)
def test_the_path_names_every_reference(found: dict[str, str], name: str) -> None:
    assert found[name].replace("context variables ['basket']", "context variables basket") == PATHS[name]


def test_generators_and_frames(found: dict[str, str]) -> None:
    assert found["in a generator"].startswith(f"{ROOT} generator -> generator ")
    assert found["in a generator"].endswith(" inner -> Thing")
    assert found["in a frame"] == "frame of found in_frame -> Thing"


def test_bound_methods(found: dict[str, str]) -> None:
    assert found["self"] == f"{ROOT} method -> method-wrapper __self__ -> Thing"


def test_weak_references_do_not_hold(found: dict[str, str]) -> None:
    assert "weak" not in found["weakly"]


# --- parts -----------------------------------------------------------------------------------------------------------


def test_equal_paths_are_merged_and_counted() -> None:
    shop: Any = ModuleType("other_shop")
    sys.modules["other_shop"] = shop
    try:
        shop.orders = {f"order {n}": [Thing()] for n in range(30)}
        shop.last = Thing()
        things = [*(held[0] for held in shop.orders.values()), shop.last]
        heap = Heap((things,))
        many, one = heap.chains(things, 5)
        assert (many["objects"], one["objects"]) == (30, 1)
        assert [step[1] for step in many["path"]] == ["orders", "['order 0']", "[0]", ""]
        assert len(heap.chains(things, 1)) == 1
    finally:
        del sys.modules["other_shop"]


def test_what_only_the_agent_holds_is_known() -> None:
    namespace: dict[str, Any] = {"__name__": f"{holders.__name__.rpartition('.')[0]}.pretended"}
    exec(
        "def look(heap, held, also):\n    found = heap()\n    return found.is_ours(held), found.is_ours(also)\n",
        namespace,
    )
    theirs = Thing()
    made = [Thing()]
    answer = namespace["look"](Heap, made.pop(), theirs)  # in an assert pytest would hold it, too
    assert answer == (True, False)


def test_a_search_without_time_says_so() -> None:
    heap = Heap(limit_s=-1.0)
    assert not heap.complete


def test_a_long_path_keeps_its_ends() -> None:
    nodes: list[object] = [[n] for n in range(100)]
    for holder, held in pairwise(nodes):
        holder.append(held)  # type: ignore[attr-defined]
    nodes.append(Thing())
    nodes[-2].append(nodes[-1])  # type: ignore[attr-defined]
    words = [step[1] for step in describe(nodes, "the root")]
    assert words[0] == ["the root", "[1]"]
    assert ["69 more objects", ""] in words
    assert words[-1] == [f"{__name__}.Thing", ""]
    assert len(words) < 10


def test_names_of_classes_cannot_be_anything() -> None:
    class Odd:
        __module__ = property(lambda self: "x")  # type: ignore[assignment]

    long = type("n" * 900, (), {"__module__": "m" * 900})
    assert naming.type_name(Odd).endswith("Odd")
    assert len(naming.type_name(long)) == naming.NAME_CAP
    assert naming.type_name(int) == "int"
    assert naming.plain(b"x") == ""
