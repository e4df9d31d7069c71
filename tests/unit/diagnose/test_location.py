"""From profiles with known contents to the place that a finding names, or to why it names none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from harness.diagnose.kept import enough, places_to_watch
from harness.diagnose.location import locate
from harness.model.event import PROFILE_PLAN, Event
from harness.model.finding import (
    EXPLAINS,
    Cause,
    Confidence,
    Evidence,
    Finding,
    Growth,
    Location,
    Severity,
    Side,
    Subject,
)
from harness.model.profile import (
    Artifact,
    ArtifactStatus,
    CallEdge,
    Frame,
    Holder,
    HolderChain,
    LineCost,
    ObjectGroup,
    Origin,
    Owner,
    Peak,
    Profile,
    ValueType,
)
from harness.model.report import ProfileView

BYTES = (ValueType("inuse_space", "bytes", "still held"),)
SHOP = "/srv/shop/cart.py"
PAGES = "/srv/shop/pages.py"
LIBRARY = "/srv/lib/python3.12/site-packages/orm/session.py"


def finding(cause: Cause = Cause.LEAK_OBJECTS, endpoint: str | None = "buy", keeps: float | None = 2000.0,
            numbers: Mapping[str, float] | None = None) -> Finding:  # fmt: skip
    return Finding(
        cause, Severity.CRITICAL, Confidence.HIGH, Subject("", "python", "app", None, endpoint), "It grows.",
        Growth(keeps, None, None, None), (Evidence("pool.floor", 1.0, "bytes/round", "it grows"),), (), None,
        numbers=numbers or {},
    )  # fmt: skip


def origin(line: int | None, kept: int, *, file: str = SHOP, owner: Owner = Owner.APPLICATION, through: int | None = None,
           function: str = "shop.cart:add", **more: object) -> Origin:  # fmt: skip
    values: dict[str, object] = {"through": kept if through is None else through, **more}
    return Origin(owner, file, line, function, kept, **values)  # type: ignore[arg-type]  # the names are fields


def view(endpoint: str, profile: Profile, span: str | None = "1", /, **attributes: str | int) -> ProfileView:
    artifact = Artifact(
        profile.tool, "python", "artifacts/x", ArtifactStatus.COMPLETE, span, endpoint, 1, 0, 1, "", attributes
    )
    return ProfileView(artifact, profile)


def kept(*origins: Origin, tool: str = "tracemalloc", **totals: int) -> Profile:
    return Profile(tool, BYTES, origins=origins, totals=totals)


def suspect(
    profile: Profile, endpoint: str = "buy", cause: Cause = Cause.LEAK_OBJECTS, **more: str | int
) -> ProfileView:
    return view(endpoint, profile, role="suspect", cause=cause.value, **more)


def control(profile: Profile, **more: str | int) -> ProfileView:
    return view("home", profile, role="control", cause="leak.objects", **more)


def located(*views: ProfileView, about: Finding | None = None, events: tuple[Event, ...] = ()) -> Finding:
    [found] = locate([about or finding()], views, events)
    return found


def said(found: Finding, signal: str) -> str:
    return next((e.text for e in found.evidence if e.signal == signal), "")


def side(found: Finding, signal: str) -> Side:
    return next(e.side for e in found.evidence if e.signal == signal)


def test_the_line_that_keeps_what_is_measured_from_outside_is_the_place() -> None:
    found = located(suspect(kept(origin(17, 1900, callers=("shop/views.py:4",)), origin(30, 50))))
    assert found.subject.location == Location(SHOP, 17, "shop.cart:add")
    assert found.summary == "It grows. It comes from shop/cart.py:17 (add)."
    assert "1.9 KiB of the 1.9 KiB" in said(found, "profile.line")
    assert "called from shop/views.py:4" in said(found, "profile.line")
    assert "the two agree" in said(found, "profile.agreement")
    assert "shop/cart.py:30" in said(found, "profile.lines")


def test_what_the_control_leaves_as_well_is_not_the_place() -> None:
    everybodys, own = origin(5, 5000), origin(17, 1900)
    found = located(suspect(kept(everybodys, own)), control(kept(origin(5, 4900))))
    assert found.subject.location == Location(SHOP, 17, "shop.cart:add")
    assert said(found, "profile.control") == "requests to home, the control, keep nothing there"


def test_a_line_of_a_library_only_where_the_application_is_not_on_the_way() -> None:
    library = origin(300, 3000, file=LIBRARY, owner=Owner.PACKAGE, function="orm.session:add")
    assert located(suspect(kept(library, origin(17, 1900)))).subject.location == Location(SHOP, 17, "shop.cart:add")
    assert located(suspect(kept(library))).subject.location == Location(LIBRARY, 300, "orm.session:add")


def test_the_line_that_all_of_it_goes_through_where_it_is_kept_in_many() -> None:
    parts = [origin(40 + n, 200, function="shop.cart:Order.__init__", callers=("a", "b")) for n in range(10)]
    call = origin(17, 0, through=2000, callers=("a",))
    view_line = origin(8, 0, through=2000, function="shop.views:buy")
    found = located(suspect(kept(*parts, call, view_line)))
    assert found.subject.location == Location(SHOP, 17, "shop.cart:add")


def test_not_a_line_that_the_control_goes_through_too() -> None:
    parts = [origin(40 + n, 200, callers=("a",)) for n in range(10)]
    dispatch = origin(3, 0, through=2000)
    found = located(suspect(kept(*parts, dispatch)), control(kept(origin(3, 0, through=10))))
    assert found.subject.location is None
    assert "spread over many lines" in said(found, "profile.line")


def test_less_than_a_quarter_of_what_is_measured_names_nothing() -> None:
    found = located(suspect(kept(origin(17, 400))))
    assert found.subject.location is None
    assert found.summary == "It grows."
    assert said(found, "profile.line").startswith("why no line: a profiled request") or "kept 400 B" in said(
        found, "profile.line"
    )
    assert side(found, "profile.line") is Side.CONTEXT


def test_one_of_many_requests_kept_something() -> None:
    found = located(suspect(kept(origin(17, 60_000)), requests_looked_at=41))
    assert found.subject.location is not None
    assert "one of 41 profiled requests" in said(found, "profile.agreement")
    none = located(suspect(kept(origin(17, 100)), requests_looked_at=41))
    assert "none of the 41 profiled requests" in said(none, "profile.line")


def test_much_more_than_the_average_says_that_not_every_request_does() -> None:
    found = located(suspect(kept(origin(17, 20_000))))
    assert "not every request keeps as much" in said(found, "profile.agreement")


def test_less_than_half_is_the_place_only_of_the_holder() -> None:
    little = suspect(kept(origin(17, 700)))
    assert "less than half of the 2.0 KiB that grow" in said(located(little), "profile.line")
    found = located(little, suspect(held_by("module shop.cart")))
    assert found.subject.location == Location(SHOP, 17, "shop.cart:add")
    assert side(found, "profile.agreement") is Side.AGAINST


def test_a_second_tool_at_the_same_line() -> None:
    lines = Profile(
        "lines", (ValueType("net", "bytes", "kept"),), lines=(LineCost(SHOP, 17, "shop.cart:add", 1, (1950,)),)
    )
    found = located(suspect(kept(origin(17, 1900))), suspect(lines))
    assert "agrees: 1.9 KiB net" in said(found, "profile.second")


def test_what_holds_it() -> None:
    path = (Holder("module shop.cart", "CACHE"), Holder("dict of 9", "['k1']"), Holder("shop.cart.Item", ""))
    survivors = Profile(
        "survivors", (ValueType("objects", "count", "objects"), *BYTES),
        objects=(ObjectGroup("shop.cart.Item", (1, 500)),), holders=(HolderChain("shop.cart.Item", 1, path),),
    )  # fmt: skip
    found = located(suspect(kept(origin(17, 1900))), suspect(survivors))
    assert said(found, "profile.holder") == (
        "1 shop.cart.Item of one request held by module shop.cart CACHE -> dict of 9 ['k1'] -> shop.cart.Item"
    )


def test_a_profile_of_another_endpoint_is_no_witness() -> None:
    assert located(suspect(kept(origin(17, 1900)), endpoint="home")).subject.location is None


def test_without_an_endpoint_the_suspects_of_this_cause_are_asked() -> None:
    about = finding(endpoint=None)
    assert located(suspect(kept(origin(17, 1900))), about=about).subject.location is not None
    other = suspect(kept(origin(17, 1900)), cause=Cause.THREADS)
    assert located(other, about=about).subject.location is None


@pytest.mark.parametrize("cause", [Cause.HEALTHY, Cause.WARMUP, Cause.INCONCLUSIVE, Cause.KERNEL_SLAB])
def test_findings_that_no_line_can_be_guilty_of_stay_as_they_are(cause: Cause) -> None:
    about = finding(cause)
    assert located(suspect(kept(origin(17, 1900))), about=about) == about


def test_of_several_hosts_the_one_that_grows_is_asked() -> None:
    """The other one may run another version, whose lines are none of this one's."""
    about = replace(finding(), subject=replace(finding().subject, host="web-2"))
    old = suspect(kept(origin(40, 1900, file="/srv/old/cart.py")), host="web-1")
    found = located(old, suspect(kept(origin(17, 1900)), host="web-2"), about=about)
    assert found.subject.location == Location(SHOP, 17, "shop.cart:add")
    assert not said(found, "profile.host")
    alone = located(old, about=about)
    assert said(alone, "profile.host").startswith("web-1 answered the profiled request, not web-2")
    assert side(alone, "profile.host") is Side.AGAINST
    here = located(old, suspect(kept(origin(17, 1900))))
    assert here.subject.location == Location(SHOP, 17, "shop.cart:add")
    assert not said(here, "profile.host")


def test_the_control_is_that_of_the_host_that_answered_the_suspect() -> None:
    """Another host may run another version, in which every request leaves something else at other lines."""
    about = replace(finding(), subject=replace(finding().subject, host="web-2"))
    everybodys, own = origin(5, 5000), origin(17, 1900)
    guilty = suspect(kept(everybodys, own), host="web-2")
    here, there = control(kept(origin(5, 4900)), host="web-2"), control(kept(origin(17, 1900)), host="web-1")
    both = located(guilty, there, here, about=about)
    assert both.subject.location == Location(SHOP, 17, "shop.cart:add")
    assert said(both, "profile.control") == "requests to home, the control, keep nothing there"
    other = control(kept(origin(5, 4900)), host="web-1")
    alone = located(guilty, other, about=about)
    assert alone.subject.location == both.subject.location, "better than none"
    assert said(alone, "profile.control").endswith("; but web-1 answered them, and may run another version")
    assert side(alone, "profile.control") is Side.CONTEXT
    assert "this machine answered them" in said(
        located(guilty, control(kept(origin(5, 4900))), about=about), "profile.control"
    )


def test_where_nothing_was_profiled_nothing_is_said() -> None:
    assert located(about=finding()) == finding()


def test_what_the_session_said_it_cannot_do_is_the_reason() -> None:
    event = Event(0, PROFILE_PLAN, None, "", {"cause": "leak.native", "no_line": "memray is not at hand"})
    found = located(suspect(kept(), cause=Cause.LEAK_NATIVE), about=finding(Cause.LEAK_NATIVE), events=(event,))
    assert said(found, "profile.line") == "why no line: memray is not at hand"


def test_objects_that_look_native_from_outside() -> None:
    found = located(suspect(kept(origin(17, 1900)), cause=Cause.LEAK_NATIVE), about=finding(Cause.LEAK_NATIVE))
    assert found.subject.location is not None
    assert side(found, "profile.kind") is Side.AGAINST


def test_native_memory_ends_at_the_line_and_the_symbol() -> None:
    native = kept(origin(17, 1900, via="png_read_row"), tool="memray")
    found = located(suspect(native, cause=Cause.LEAK_NATIVE), about=finding(Cause.LEAK_NATIVE))
    assert "by png_read_row" in said(found, "profile.line")


def test_garbage_in_cycles() -> None:
    node = (Holder("shop.Node", "other"), Holder("shop.Node", "other"), Holder("shop.Node", ""))
    cycles = Profile("survivors", BYTES, cycles=(HolderChain("shop.Node", 40, node),))
    garbage = kept(origin(17, 0, freed=3000, through=3000), origin(9, 8000), garbage_bytes=3000)
    about = finding(Cause.GC_DELAY)
    found = located(suspect(garbage, cause=Cause.GC_DELAY), suspect(cycles, cause=Cause.GC_DELAY), about=about)
    assert found.subject.location == Location(SHOP, 17, "shop.cart:add")
    assert "The cycles are made at shop/cart.py:17" in found.summary
    assert said(found, "profile.cycle") == (
        "40 shop.Node of one request in cycles: shop.Node other -> shop.Node other -> shop.Node"
    )


def test_calls_that_take_what_no_tool_counts() -> None:
    call = origin(23, 0, function="Shop->recommend", via="apcu_store()", takes="shared-memory", calls=1)
    usual = origin(9, 0, function="Shop->visit", via="apcu_store()", takes="shared-memory", calls=1)
    about = finding(Cause.SHARED_MEMORY)
    witness = suspect(kept(usual, call, tool="xdebug"), cause=Cause.SHARED_MEMORY)
    found = located(witness, control(kept(usual, tool="xdebug")), about=about)
    assert found.subject.location == Location(SHOP, 23, "Shop->recommend")
    assert "apcu_store(), 1 times" in said(found, "profile.line")
    alike = located(witness, control(kept(usual, call, tool="xdebug")), about=about)
    assert "made by the control as well" in said(alike, "profile.line")


def traced(*origins: Origin) -> ProfileView:
    return view("app", kept(*origins, tool="xdebug_trace"), None)


def test_in_a_trace_of_a_worker_the_innermost_that_grew_by_what_the_worker_grew_by() -> None:
    about = finding(endpoint="each_round", keeps=None, numbers={EXPLAINS: 200_000.0})
    found = located(
        traced(
            origin(None, 205_000, function="handle", calls=1000),
            origin(None, 204_000, function="Log->add", calls=100, callers=("handle",)),
            origin(7, 90_000, function="page", via="php::str_repeat", calls=100, callers=("handle",)),
            origin(None, 201_000, function="boot", calls=1),
        ),
        about=about,
    )
    assert found.subject.location == Location(SHOP, None, "Log->add")
    assert "the measured work left" in said(found, "profile.agreement")


def test_a_function_that_keeps_by_no_call_is_told_by_the_lines_of_its_calls() -> None:
    log, other = Frame("Log->add", SHOP, None), Frame("Log->add", PAGES, None)
    php = Frame("php::hrtime", "php:internal", None)
    edges = tuple(CallEdge(caller, 2, line, 4, (1,)) for caller, line in ((0, 19), (0, 17), (1, 90), (0, 0)))
    trace = replace(
        kept(origin(None, 204_000, function="Log->add", calls=100), tool="xdebug_trace"),
        frames=(log, other, php), edges=edges,
    )  # fmt: skip
    about = finding(endpoint="each_round", keeps=None, numbers={EXPLAINS: 200_000.0})
    found = located(view("app", trace, None), about=about)
    assert found.subject.location == Location(SHOP, None, "Log->add")
    assert "makes calls at lines 17 to 19" in said(found, "profile.calls")


def test_two_that_fit_and_have_nothing_to_do_with_each_other_name_nothing() -> None:
    about = finding(endpoint="each_round", keeps=None, numbers={EXPLAINS: 200_000.0})
    found = located(
        traced(
            origin(None, 204_000, function="Log->add", calls=100, callers=("handle",)),
            origin(None, 199_000, function="page", calls=100, callers=("handle",)),
        ),
        about=about,
    )
    assert found.subject.location is None
    assert "several functions" in said(found, "profile.line")


def test_the_peak_of_retention_by_the_stack_that_was_running() -> None:
    frames = (
        Frame("main", "/srv/index.php", None),
        Frame("report", "/srv/report.php", None),
        Frame("php::x", "php:internal", None),
    )
    profile = Profile(
        "xdebug_trace", BYTES, frames=frames, origins=(origin(3, 10),), peak=Peak(0, 9_000_000, (0, 1, 2))
    )
    found = located(suspect(profile, cause=Cause.RETENTION), about=finding(Cause.RETENTION))
    assert found.subject.location == Location("/srv/report.php", None, "report")
    assert "The peak is reached at" in found.summary


def test_enough_is_a_good_part_of_what_is_expected_beyond_the_control() -> None:
    usual = kept(origin(5, 900))
    assert enough([kept(origin(17, 900), origin(5, 900))], [usual], 2000)
    assert not enough([kept(origin(17, 700), origin(5, 900))], [usual], 2000)
    assert not enough([], [usual], 2000)


def test_places_to_watch_are_the_applications_largest_first() -> None:
    profile = kept(
        origin(17, 100), origin(30, 900), origin(3, 5000, file=LIBRARY, owner=Owner.PACKAGE), origin(None, 70),
        origin(44, 60, function=""),
    )  # fmt: skip
    assert places_to_watch([profile], [], 8) == ((SHOP, 30), (SHOP, 17))
    assert places_to_watch([profile], [], 1) == ((SHOP, 30),)


def test_names_of_the_target_do_not_break_the_words() -> None:
    found = located(suspect(kept(origin(1, 1900, file="\x1b[31m/../..", function="\u202e:x\n"))))
    assert found.subject.location is not None


def test_a_number_that_was_counted_up_is_no_leak_of_an_unnamed_endpoint() -> None:
    about = finding(endpoint=None, keeps=900.0)
    assert located(suspect(kept(origin(39, 32))), about=about).subject.location is None
    assert (
        located(suspect(kept(origin(39, 200))), about=about).subject.location is None
    )  # less than a quarter of the average
    assert located(suspect(kept(origin(39, 2000))), about=about).subject.location is not None


def test_threads_and_descriptors_are_the_applications_own() -> None:
    about = finding(Cause.DESCRIPTORS, keeps=None)
    servers = suspect(kept(origin(398, 500, file=LIBRARY, owner=Owner.PACKAGE)), cause=Cause.DESCRIPTORS)
    assert located(servers, about=about).subject.location is None
    few_bytes = suspect(kept(origin(17, 32)), cause=Cause.DESCRIPTORS)
    assert located(few_bytes, about=about).summary == "It grows. They are opened at shop/cart.py:17 (add)."


def held_by(*labels: str) -> Profile:
    """Survivors in a run whose application is in ``/srv/shop``."""
    chain = HolderChain("list", 1, (*(Holder(label, "") for label in labels), Holder("list of 8", "")))
    return Profile(
        "survivors", (ValueType("objects", "count", "objects"), *BYTES),
        frames=(Frame("add", SHOP, 1), Frame("rows", PAGES, 1)),
        objects=(ObjectGroup("list", (1, 500)),), holders=(chain,),
    )  # fmt: skip


def page(line: int, kept: int, **more: object) -> Origin:
    return origin(line, kept, file=PAGES, function="shop.pages:rows", **more)  # type: ignore[arg-type]  # of origin()


def test_of_lines_with_a_good_share_the_one_in_the_module_of_the_holder() -> None:
    lines = kept(page(7, 1100), origin(9, 930), origin(10, 80))
    assert located(suspect(lines)).subject.location == Location(PAGES, 7, "shop.pages:rows")
    found = located(suspect(lines), suspect(held_by("module shop.cart")))
    assert found.subject.location == Location(SHOP, 9, "shop.cart:add")
    assert said(found, "profile.instead").startswith("shop/pages.py:7 (rows) seems to keep 1.1 KiB")
    assert "pages.py" not in said(found, "profile.lines")


def test_a_module_that_holds_what_others_allocate_is_not_the_place() -> None:
    lines = kept(page(7, 1800), origin(9, 100))
    found = located(suspect(lines), suspect(held_by("module shop.cart")))
    assert found.subject.location == Location(PAGES, 7, "shop.pages:rows")
    assert said(found, "profile.instead") == ""


def test_the_function_whose_frame_holds_it() -> None:
    lines = kept(page(7, 1000), origin(9, 950, function="shop.cart:convert"))
    found = located(suspect(lines), suspect(held_by("traceback", "frame of shop.cart.convert")))
    assert found.subject.location == Location(SHOP, 9, "shop.cart:convert")


def test_two_lines_that_are_together_what_is_kept_are_told_though_none_is_half_of_it() -> None:
    found = located(suspect(kept(page(7, 900), origin(9, 850))))
    assert found.subject.location == Location(PAGES, 7, "shop.pages:rows")
    assert "shop/cart.py:9 (add) (850 B)" in said(found, "profile.lines")
    many = located(suspect(kept(*(page(n, 400) for n in range(1, 6)))))
    assert many.subject.location is None


def test_the_sentence_names_what_holds_it_with_and_without_a_line() -> None:
    found = located(suspect(kept(origin(9, 1900))), suspect(held_by("module shop.cart")))
    assert found.summary.endswith("shop/cart.py:9 (add), and is held by shop.cart.")
    without = located(suspect(kept(*(page(n, 400) for n in range(1, 6)))), suspect(held_by("module shop.cart")))
    assert without.subject.location is None
    assert without.summary.endswith("It is held by shop.cart.")


def test_a_running_function_is_not_told_as_a_holder() -> None:
    found = located(suspect(kept(origin(9, 1900))), suspect(held_by("frame of shop.cart.convert")))
    assert "held by" not in found.summary


@pytest.mark.parametrize("cause", [Cause.LEAK_NATIVE, Cause.LEAK_MMAP])
def test_native_memory_needs_a_line_that_explains_half_of_it(cause: Cause) -> None:
    little = suspect(kept(origin(17, 900), tool="memray"), cause=cause)
    found = located(little, about=finding(cause))
    assert found.subject.location is None
    assert "most of it at shop/cart.py:17 (add)" in said(found, "profile.line")
    spread = suspect(kept(origin(17, 900), origin(30, 800), tool="memray"), cause=cause)
    assert "less than half of the 2.0 KiB that grow" in said(located(spread, about=finding(cause)), "profile.line")
    enough = suspect(kept(origin(17, 1100), tool="memray"), cause=cause)
    assert located(enough, about=finding(cause)).subject.location is not None


def test_what_is_read_on_of_a_mapped_file_has_no_line() -> None:
    def about(added: float) -> Finding:
        mappings = Evidence("smaps.count", added, "count", "mappings", Side.CONTEXT)
        plain = finding(Cause.MAPPED_FILES)
        return replace(plain, evidence=[*plain.evidence, mappings])

    witness = suspect(kept(origin(17, 96)), cause=Cause.MAPPED_FILES)
    assert located(witness, about=about(40)).subject.location is not None
    found = located(witness, about=about(0))
    assert found.subject.location is None
    assert "no mapping was added" in said(found, "profile.line")


def test_where_the_guilty_one_was_the_control_the_others_are() -> None:
    usual = origin(5, 110)
    guilty = view("buy", kept(usual, origin(17, 30)), role="control", cause="descriptors")
    other = suspect(kept(usual), endpoint="home", cause=Cause.DESCRIPTORS)
    found = located(guilty, other, about=finding(Cause.DESCRIPTORS))
    assert found.subject.location == Location(SHOP, 17, "shop.cart:add")


def test_a_few_bytes_hold_no_memory_open() -> None:
    about = finding(Cause.FRAGMENTATION, endpoint=None)
    assert located(suspect(kept(origin(17, 96)), cause=Cause.FRAGMENTATION), about=about).subject.location is None
    much = suspect(kept(origin(17, 9600)), cause=Cause.FRAGMENTATION)
    assert located(much, about=about).subject.location is not None


def test_a_usual_peak_is_not_that_of_the_huge_request() -> None:
    usual = suspect(kept(origin(17, 0, peak=300_000), tool="memray"), cause=Cause.RETENTION)
    about = finding(Cause.RETENTION, endpoint=None, numbers={"step_bytes": 80e6})
    found = located(usual, about=about)
    assert found.subject.location is None
    assert "what did so was not done again" in said(found, "profile.line")
    huge = suspect(kept(origin(17, 0, peak=70_000_000), tool="memray"), cause=Cause.RETENTION)
    assert located(huge, about=about).subject.location is not None
    spread = [origin(n, 0, peak=20_000_000) for n in range(1, 5)]
    wide = located(suspect(kept(*spread, tool="memray"), cause=Cause.RETENTION), about=about)
    assert "spread over many lines" in said(wide, "profile.line")


def in_cycles(objects: int, size: int, kind: str = "shop.cart.Node") -> Profile:
    circle = HolderChain(kind, objects, (Holder(kind, "parent"), Holder(kind, "")))
    return Profile(
        "survivors", BYTES, frames=(Frame("add", SHOP, 1),), cycles=(circle,) if objects else (),
        totals={"garbage_objects": objects, "garbage_bytes": size},
    )  # fmt: skip


def test_the_cycles_are_made_where_their_types_are_whatever_else_a_collection_gives_back() -> None:
    freed = kept(page(7, 0, freed=18_000, through=18_000), origin(9, 0, freed=2400, through=2400), garbage_bytes=20_400)
    about = finding(Cause.GC_DELAY)
    found = located(
        suspect(freed, cause=Cause.GC_DELAY), suspect(in_cycles(12, 2600), cause=Cause.GC_DELAY), about=about
    )
    assert found.subject.location == Location(SHOP, 9, "shop.cart:add")
    assert "what is in cycles is of shop.cart.Node" in said(found, "profile.instead")
    others = suspect(in_cycles(12, 2600, kind="orm.Node"), cause=Cause.GC_DELAY)
    none = located(suspect(freed, cause=Cause.GC_DELAY), others, about=about)
    assert none.subject.location is None
    assert "only 2.5 KiB of it were objects in cycles" in said(none, "profile.line")


def test_what_is_kept_for_a_while_may_become_the_garbage() -> None:
    later = kept(
        page(7, 0, freed=18_000, through=18_000), origin(9, 6000, freed=500, through=6500), garbage_bytes=18_500
    )
    witnesses = [suspect(p, cause=Cause.GC_DELAY) for p in (later, in_cycles(0, 0))]
    found = located(*witnesses, about=finding(Cause.GC_DELAY))
    assert found.subject.location == Location(SHOP, 9, "shop.cart:add")
    assert said(found, "profile.line").startswith("tracemalloc: shop/cart.py:9 (add) keeps 5.9 KiB of the 5.9 KiB")
    assert "can pile up as such only once it is let go of" in said(found, "profile.kind")
    for other in (finding(Cause.GC_DELAY, keeps=0.0), finding(Cause.GC_DELAY, keeps=7000.0)):
        none = located(*witnesses, about=other)
        assert none.subject.location is None
        assert "no garbage in cycles" in said(none, "profile.line")


def test_of_endpoints_with_like_shares_the_one_whose_holder_is_known() -> None:
    views = [
        suspect(kept(page(7, 36_000)), endpoint="export"),
        suspect(kept(origin(9, 7000))),
        suspect(held_by("module shop.cart")),
    ]
    [found] = locate([finding(endpoint=None)], views, (), {"export": 0.501, "buy": 0.499})
    assert found.subject.location == Location(SHOP, 9, "shop.cart:add")
    assert said(found, "profile.beside") == "requests to export keep 35.2 KiB at shop/pages.py:7 (rows)"
    [much_more] = locate([finding(endpoint=None)], views, (), {"export": 0.9, "buy": 0.1})
    assert much_more.subject.location == Location(PAGES, 7, "shop.pages:rows")


def job(kind: str, *origins: Origin) -> ProfileView:
    return view(f"worker:{kind}", kept(*origins), None)


def test_a_job_is_compared_with_other_jobs_and_not_with_what_a_round_keeps() -> None:
    about = finding(endpoint="each_round", keeps=1_200_000.0)
    usual = origin(3, 28)
    found = located(job("mail", usual), job("invoice", usual, origin(17, 6000)), job("home"), about=about)
    assert found.subject.location == Location(SHOP, 17, "shop.cart:add")
    little = located(job("mail", usual), job("invoice", usual, origin(17, 600)), about=about)
    assert little.subject.location is None
    two = located(
        job("mail", page(7, 6000)), job("invoice", origin(17, 6000)), job("home", origin(8, 5000)), about=about
    )
    assert two.subject.location is None
    assert "several kinds of jobs" in said(two, "profile.line")
