"""What the profiles say in two lines: the right line and the right chain, safe to print, in every short report."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reports import HOSTILE, empty_report, hostile_report, leak_report

from harness.model.finding import Location, Subject
from harness.model.profile import (
    Artifact,
    ArtifactStatus,
    Frame,
    Holder,
    HolderChain,
    LineCost,
    ObjectGroup,
    Profile,
    ValueType,
)
from harness.model.report import ProfileView, Report
from harness.report.exporters import html, markdown
from harness.report.highlights import highlights
from harness.report.terminal import render, width

HELD = (ValueType("inuse_space", "bytes", "still held"), ValueType("inuse_objects", "count", "blocks still held"))
NET = (ValueType("net", "bytes", "kept or given back"), ValueType("peak", "bytes", "most above its start"))
SURVIVORS = (
    ValueType("objects", "count", "objects"),
    ValueType("inuse_space", "bytes", "bytes"),
    ValueType("buffers", "bytes", "large strings they refer to"),
)
LIBRARY = "/srv/venv/lib/python3.12/site-packages/jinja2/environment.py"


def held(*lines: tuple[str, int, int | None], tool: str = "tracemalloc") -> Profile:
    return Profile(tool, HELD, lines=tuple(LineCost(f, n, "", None, (v, 1)) for f, n, v in lines))


def net(*lines: tuple[str, int, str, int | None]) -> Profile:
    return Profile("lines", NET, lines=tuple(LineCost(f, n, name, 1, (v, v)) for f, n, name, v in lines))


def survivors(*chains: HolderChain, **bytes_of: int) -> Profile:
    objects = tuple(ObjectGroup(kind.replace("__", "."), (1, size, 0)) for kind, size in bytes_of.items())
    return Profile("survivors", SURVIVORS, objects=objects, holders=chains)


def chain(kind: str, objects: int, *path: str) -> HolderChain:
    """Each step as ``label|via``."""
    return HolderChain(kind, objects, tuple(Holder(*(step + "|").split("|")[:2]) for step in path))


CACHE = chain("shop.Order", 1, "module shop.cache|_ENTRIES", "dict of 9|['k1']", "list of 137|[136]", "shop.Order")
SERVER = chain("dict", 9, "frame of uvicorn.server.run|self", "uvicorn.server.Server|state", "dict of 2")


def report(*profiles: tuple[str, Profile], found_in: str | None = None, at: Location | None = None) -> Report:
    """A leak whose finding names ``found_in`` and ``at``, with one profiled request for each of ``profiles``."""
    base = leak_report()
    views = tuple(
        ProfileView(Artifact(p.tool, "python", "artifacts/x", ArtifactStatus.COMPLETE, None, e, 1, 0, 1, ""), p)
        for e, p in profiles
    )
    return replace(
        base, findings=[replace(base.findings[0], subject=Subject(endpoint=found_in, location=at))], profiles=views
    )


def said(*profiles: Profile) -> tuple[str, ...]:
    (only,) = highlights(report(*(("buy", p) for p in profiles)))
    return only.lines


def test_the_line_that_keeps_most_and_what_holds_it() -> None:
    assert said(held(("/srv/shop/cart.py", 9, 2048), ("/srv/shop/cart.py", 12, 100)), survivors(CACHE)) == (
        "/srv/shop/cart.py:9 keeps 2.0 KiB (tracemalloc)",
        "1 object held by module shop.cache _ENTRIES -> … -> list of 137 [136] -> shop.Order",
    )


def test_net_bytes_of_lines_name_the_function() -> None:
    lines = net(("/srv/shop/cart.py", 9, "shop.cart:add", 4096), ("/srv/shop/cart.py", 10, "shop.cart:add", -9000))
    assert said(lines) == ("/srv/shop/cart.py:9 in shop.cart:add keeps 4.0 KiB (lines)",)


def test_a_line_of_the_application_is_preferred_unless_a_library_keeps_far_more() -> None:
    assert "shop/cart.py:9" in said(held((LIBRARY, 1293, 11_563), ("/srv/shop/cart.py", 9, 10_428)))[0]
    assert "jinja2/environment.py:1293" in said(held((LIBRARY, 1293, 11_563), ("/srv/shop/cart.py", 9, 100)))[0]


def test_long_paths_lose_their_beginning() -> None:
    path = "/home/somebody/projects/customers/one/shop/src/shop/orders/receipts.py"
    assert said(held((path, 7, 4096))) == ("…/one/shop/src/shop/orders/receipts.py:7 keeps 4.0 KiB (tracemalloc)",)


@pytest.mark.parametrize("value", [0, -5, None])
def test_what_keeps_nothing_is_not_told(value: int | None) -> None:
    assert highlights(report(("buy", held(("/srv/shop/cart.py", 9, value))))) == ()


def test_growth_of_rss_is_not_what_a_line_keeps() -> None:
    growth = Profile("memory_profiler", (ValueType("memory_growth", "bytes", "RSS growth"),))
    assert highlights(report(("buy", replace(growth, lines=(LineCost("/a/b.py", 1, "f", 1, (9999,)),))))) == ()


def test_chains_of_servers_are_left_out_and_modules_come_before_frames() -> None:
    app = held(("/srv/shop/cart.py", 9, 10))
    assert len(said(app, survivors(SERVER))) == 1
    frame = chain("shop.Order", 2, "frame of gunicorn.sync.handle|req", "shop.Feed|orders", "shop.Order")
    assert "held by module shop.cache" in said(app, survivors(SERVER, frame, CACHE))[1]
    assert said(app, survivors(SERVER, frame))[1] == "2 objects held by … -> shop.Feed orders -> shop.Order"


def test_a_holder_that_cannot_be_seen_is_no_name() -> None:
    unseen = chain("cell", 1, "not to be seen: a variable of another thread, or C code", "cell")
    server = held(("/srv/venv/lib/python3.11/site-packages/gunicorn/sync.py", 9, 10))
    assert said(server, survivors(unseen))[1] == (
        "1 object was left, and what holds it cannot be seen: a variable of another thread, or C code"
    )


def test_programs_that_start_a_server_do_not_make_it_part_of_the_application() -> None:
    app = replace(held(("/srv/shop/cart.py", 9, 10)), frames=(Frame("<module>", "/srv/venv/bin/uvicorn", 1),))
    assert len(said(app, survivors(SERVER))) == 1


def test_types_of_the_application_come_before_builtins_unless_those_are_far_larger() -> None:
    app = held(("/srv/shop/cart.py", 9, 10))
    text = chain("list", 1, "module shop.cache|_LINES", "list of 8")
    assert "shop.Order" in said(app, survivors(text, CACHE, list=120, shop__Order=72))[1]
    assert "_LINES -> list of 8" in said(app, survivors(text, CACHE, list=90_000, shop__Order=72))[1]


def test_what_a_script_holds_in_its_module_is_the_applications() -> None:
    held_by = chain("dict", 1, "frame of __main__.<module>|AUDIT", "dict of 1")
    assert (
        "held by frame of __main__.<module> AUDIT"
        in said(held(("/srv/worker.py", 5, 10)), survivors(SERVER, held_by))[1]
    )


def test_the_endpoint_of_the_finding_else_the_three_that_keep_most() -> None:
    profiles = [(name, held(("/srv/shop/cart.py", n, 100 * n))) for n, name in enumerate(("a", "b", "c", "d", "e"), 1)]
    assert [h.endpoint for h in highlights(report(*profiles, found_in="b"))] == ["b"]
    assert [h.endpoint for h in highlights(report(*profiles))] == ["e", "d", "c"]
    assert [h.endpoint for h in highlights(report(*profiles, found_in="each_round"))] == ["e", "d", "c"]


def test_the_line_that_the_finding_names_and_not_one_that_calls_it() -> None:
    """What a line keeps by `lines` is what it and all that it calls keep: that of the caller is a little more."""
    inner = held(("/srv/shop/cart.py", 17, 1800))
    outer = net(
        ("/srv/shop/app.py", 25, "shop.app:application", 1900), ("/srv/shop/cart.py", 17, "shop.cart:add", 1850)
    )
    for at, said_of in (
        (None, "/srv/shop/app.py:25 in"),
        (
            Location("/srv/shop/cart.py", 17, "shop.cart:add"),
            "/srv/shop/cart.py:17 in shop.cart:add keeps 1.8 KiB (lines)",
        ),
        (Location("/srv/shop/gone.py", 3, None), "/srv/shop/app.py:25 in"),
    ):
        (only,) = highlights(report(("buy", inner), ("buy", outer), found_in="buy", at=at))
        assert only.kept is not None
        assert only.kept.startswith(said_of)


def test_every_short_report_and_the_page_say_it() -> None:
    found = report(("buy", held(("/srv/shop/cart.py", 9, 2048))), ("buy", survivors(CACHE)), found_in="buy")
    line, path = (part for h in highlights(found) for part in h.lines)
    block = render(found).partition("what the profiles say, of one request each\n")[2].splitlines()
    assert block[:2] == [f"buy          {line}", f"             {path}"]
    assert f"- buy: {markdown.escape(line)}; {markdown.escape(path)}" in markdown.export(found).decode()
    assert f"<code>{line}</code>; <code>{path.replace('>', '&gt;')}</code></p>" in html.export(found).decode()


@pytest.mark.parametrize("shown", [render(empty_report()), markdown.export(empty_report()).decode()])
def test_without_profiles_there_is_no_block(shown: str) -> None:
    assert "profiles say" not in shown.lower()


def test_hostile_names_stay_text() -> None:
    bad = held((f"/{HOSTILE}/a.py", 9, 2048), tool=HOSTILE)
    found = report((HOSTILE, bad), (HOSTILE, survivors(chain(HOSTILE, 1, HOSTILE, HOSTILE))), found_in=HOSTILE)
    for text in (render(found), render(hostile_report()), "\n".join(h.kept or "" for h in highlights(found))):
        assert {unicodedata.category(c) for c in text if c != "\n"}.isdisjoint({"Cc", "Cf", "Cs"})
    assert "<img" not in html.export(found).decode()


TEXT = st.text(max_size=120)


@given(
    st.lists(st.tuples(TEXT, st.integers(0, 9), TEXT, st.none() | st.integers(-(2**63), 2**63)), max_size=4),
    st.lists(st.tuples(TEXT, st.integers(-1, 2**62), st.lists(st.tuples(TEXT, TEXT), max_size=30)), max_size=4),
)
def test_anything_is_at_most_two_lines_that_fit(
    lines: list[tuple[str, int, str, int | None]], chains: list[tuple[str, int, list[tuple[str, str]]]]
) -> None:
    holders = tuple(HolderChain(k, n, tuple(Holder(*step) for step in path)) for k, n, path in chains)
    found = report(("buy", net(*lines)), ("buy", survivors(*holders)), found_in="buy")
    for each in highlights(found):
        assert 1 <= len(each.lines) <= 2
        assert all(len(text) < 300 for text in each.lines)
    assert max(width(line) for line in render(found).splitlines()) <= 100
