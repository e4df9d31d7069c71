"""What is said of a place: what the line keeps, how that agrees with other measurements, what holds the memory. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from harness.diagnose.holders import largest_circle
from harness.diagnose.kept import amount, place_of
from harness.diagnose.places import AGREE, MORE_LINES, Found, short
from harness.diagnose.witnesses import Witnesses
from harness.model.finding import Cause, Evidence, Finding, Side
from harness.model.holding import first_own, largest_chain, own_names
from harness.model.profile import HolderChain
from harness.units import format_bytes

_MUCH_MORE = 4.0
_CHAIN_STEPS = 6
_LABEL_LETTERS = 60


def about_line(found: Found, finding: Finding) -> Iterator[Evidence]:
    origin, tool = found.origin, found.profile.tool
    where = short(origin)
    via = f", by {origin.via}" if origin.via else ""
    called = f"; called from {' -> '.join(origin.callers)}" if origin.callers else ""
    if origin.takes:
        text = f"{tool}: {where} calls {origin.via}{'' if origin.calls is None else f', {origin.calls} times in one request'}"
        yield Evidence("profile.line", origin.calls, "calls", f"{text}; the control does not")
        return
    if finding.cause is Cause.RETENTION:
        at_peak = origin.peak or 0
        yield Evidence(
            "profile.line",
            at_peak,
            "bytes",
            f"{tool}: at the peak of the request {where} held {format_bytes(at_peak)}{via}{called}",
        )
        return
    garbage = finding.cause is Cause.GC_DELAY and (found.whole or origin.kept <= 0)
    size, total = format_bytes(found.size), format_bytes(found.total)
    share = f"makes {size} of garbage in cycles, of the {total}" if garbage else f"keeps {size} of the {total}"
    text = f"{tool}: {where} {share} that {found.what} left{via}{called}"
    yield Evidence("profile.line", float(found.size), "bytes" if found.whole else "bytes/request", text)
    told = {place_of(o) for o in (origin, found.instead_of) if o is not None}
    others = sorted((o for o in found.own if place_of(o) not in told and amount(o) > 0), key=amount, reverse=True)
    others = others[:MORE_LINES]
    if others:
        listed = ", ".join(f"{short(o)} ({format_bytes(amount(o))})" for o in others)
        yield context("profile.lines", None, "", f"further lines that keep some of it: {listed}")
    if finding.cause is Cause.GC_DELAY and not garbage:
        yield context(
            "profile.kind", None, "", "none of it is garbage yet: it can pile up as such only once it is let go of"
        )
    yield from _compared(found)
    if finding.cause is Cause.LEAK_NATIVE and tool == "tracemalloc":
        text = "Python's own allocator handed this memory out: it is an object, though from outside it looks like a library's"
        yield Evidence("profile.kind", None, "", text, Side.AGAINST)


def about_host(found: Found, finding: Finding) -> Iterator[Evidence]:
    """Where none of the profiled requests was answered by the host that grows."""
    answered, grows = found.artifact.attributes.get("host"), finding.subject.host
    if isinstance(answered, str) and answered != grows:
        text = f"{answered} answered the profiled request, not {grows or 'this machine'}: there may be another version there"
        yield Evidence("profile.host", None, "", text, Side.AGAINST)


def about_choice(found: Found) -> Iterator[Evidence]:
    """Other lines that have as good a share, and why they are not the place."""
    other = found.instead_of
    if other is not None:
        holds = "what is in cycles is of" if found.origin.freed > 0 else "what holds the survivors is in"
        text = (
            f"{short(other)} seems to keep {format_bytes(max(other.through, amount(other)))}, but {holds} "
            f"{found.holder[:_LABEL_LETTERS]}: memory that the runtime reuses is counted where it was first asked for"
        )
        yield context("profile.instead", None, "", text)
    for each in found.beside[:MORE_LINES]:
        text = f"requests to {each.artifact.endpoint} keep {format_bytes(each.size)} at {short(each.origin)}"
        yield Evidence("profile.beside", float(each.size), "bytes/request", text, Side.CONTEXT)


def about_calls(found: Found) -> Iterator[Evidence]:
    """Where the function makes calls, if its lines are not known: what takes the memory is a construct around them."""
    if found.origin.line is not None:
        return
    profile, origin = found.profile, found.origin
    own = {n for n, f in enumerate(profile.frames) if (f.function, f.file) == (origin.function, origin.file)}
    lines = sorted({edge.line for edge in profile.edges if edge.caller in own and edge.line > 0})
    if lines:
        first, last = lines[0], lines[-1]
        where = f"at line {first}" if first == last else f"at lines {first} to {last}"
        text = f"{short(origin)} makes calls {where}; near these is what keeps the memory, and is no call: an assignment, say"
        yield context("profile.calls", None, "", text)


def _compared(found: Found) -> Iterator[Evidence]:
    """Measured by the tool against measured from outside."""
    left, expected = format_bytes(found.total), found.expected
    outside = "" if not expected else f"; measured from outside {format_bytes(expected)} are kept"
    if found.looked_at > 1:
        text = f"one of {found.looked_at} profiled requests left {left}{outside}: not every request keeps something"
        yield Evidence("profile.agreement", float(found.looked_at), "requests", text)
    elif expected:
        ratio = found.total / expected
        each, meaning, side = "", "the two differ", Side.AGAINST
        if found.whole:
            each = " each time"
        if ratio > _MUCH_MORE and not found.whole:
            each, meaning, side = " on average", "not every request keeps as much", Side.FOR
        elif AGREE[0] <= ratio <= AGREE[1]:
            meaning, side = "the two agree", Side.FOR
        yield Evidence("profile.agreement", ratio, "ratio", f"{found.what} left {left}{outside}{each}: {meaning}", side)


def about_control(found: Found, profiles: Witnesses) -> Iterator[Evidence]:
    same_tool = [p for p in profiles.control if p.tool == found.profile.tool]
    if not same_tool or found.origin.takes:
        return
    there = max((amount(o) for p in same_tool for o in p.origins if place_of(o) == place_of(found.origin)), default=0)
    names = ", ".join(profiles.control_names)
    text = f"requests to {names}, the control, keep {format_bytes(there) if there else 'nothing'} there"
    elsewhere = profiles.control_elsewhere(found.artifact, found.profile.tool)
    if elsewhere:
        text += f"; but {' and '.join(elsewhere)} answered them, and may run another version"
    yield Evidence("profile.control", float(there), "bytes/request", text, Side.CONTEXT if elsewhere else Side.FOR)


def about_lines_tool(found: Found, profiles: Witnesses) -> Iterator[Evidence]:
    """What the tool that measures line by line says of the same line."""
    for artifact, profile in profiles.suspects:
        if profile.tool != "lines" or artifact.endpoint != found.artifact.endpoint:
            continue
        for line in profile.lines:
            if (line.file, line.line) != (found.origin.file, found.origin.line) or not line.values[0]:
                continue
            ratio = line.values[0] / max(1, found.size)
            agrees = AGREE[0] <= ratio <= AGREE[1]
            said = "agrees" if agrees else "differs"
            text = f"lines, measured by itself, {said}: {format_bytes(line.values[0])} net at this line"
            side = Side.FOR if agrees else Side.CONTEXT
            yield Evidence("profile.second", float(line.values[0]), "bytes/request", text, side)
            return


def about_holder(profiles: Witnesses) -> Iterator[Evidence]:
    own = own_names(p for _, p in profiles.suspects)
    chain = largest_chain([p for _, p in profiles.suspects], own)
    if chain is not None:
        text = f"{chain.objects} {chain.kind[:_LABEL_LETTERS]} of one request held by {_chain(chain, first_own(chain, own))}"
        yield Evidence("profile.holder", float(chain.objects), "objects", text)


def about_cycles(profiles: Witnesses) -> Iterator[Evidence]:
    suspects = [p for _, p in profiles.suspects]
    circle = largest_circle(suspects, own_names(suspects))
    if circle is not None:
        text = f"{circle.objects} {circle.kind[:_LABEL_LETTERS]} of one request in cycles: {_chain(circle, 0)}"
        yield Evidence("profile.cycle", float(circle.objects), "objects", text)


def _chain(chain: HolderChain, first: int) -> str:
    """A path in words, its middle left out where it is long."""
    steps = [f"{h.label[:_LABEL_LETTERS]} {h.via[:_LABEL_LETTERS]}".strip() for h in chain.path[first:]]
    if len(steps) > _CHAIN_STEPS:
        steps = [*steps[: _CHAIN_STEPS // 2], "…", *steps[-(_CHAIN_STEPS // 2) :]]
    return " -> ".join(steps)


def context(signal: str, value: float | None, unit: str, text: str) -> Evidence:
    return Evidence(signal, value, unit, text, Side.CONTEXT)
