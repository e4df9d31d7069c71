"""What all formats of profiles are written from: stacks with the values that belong to their last frame alone.

Viewers add these up themselves, from the leaves to the root. That is right for time and for bytes that are still held, each of
which belongs to one stack. It is wrong for numbers that do not add up over the tree, as Xdebug's memory growth does not (frees
are clamped to zero): of these only what a function gained itself is exported, under the name ``self_...``, and levels (RSS, the
highest of a line), of which no sum means anything, are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from harness.model.profile import CallNode, Frame, Profile, ValueType
from harness.report.words import clean

NODE_CAP = 500_000
DEPTH_CAP = 1_000
EXPANDED_CAP = 2_000_000  # frames of all stacks together, for formats that write each stack in full
LEFT_OUT = "(smaller calls, left out)"
NAME_LETTERS = 500
NOTE_LETTERS = 600
# Levels: the highest RSS and the most that a line held above its start (harness/model/profile.py has no sums of these).
_LEVELS = frozenset({"rss", "peak"})
_CLAMPED = frozenset({"memory_growth"})
_ROUNDING = 1000  # Xdebug's times are multiples of 10 ns, shares of an estimated tree are whole numbers
_INT64 = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Column:
    """One value: its name in the export, unit (``ns``, ``bytes``, ``count``), meaning in words, and name in the profile.

    ``own``: sums over callees mean nothing; see above.
    """

    name: str
    unit: str
    title: str
    source: str
    own: bool = False


@dataclass(frozen=True, slots=True)
class Stacks:
    """A tree, parents before children (-1: a root). ``values[c][n]``: column c of node n itself, without its callees.

    Names in ``frames`` are one line without control characters, never empty. ``shape``: what the stacks are, in words.
    """

    columns: tuple[Column, ...]
    frames: tuple[Frame, ...]
    frame: Sequence[int]
    parent: Sequence[int]
    calls: Sequence[int]
    values: tuple[Sequence[int], ...]
    notes: tuple[str, ...] = ()

    def column(self, name: str | None) -> int:
        """The number of a column by its name here or in the profile; the first for None. ValueError when there is none."""
        if name is None:
            return 0
        for number, column in enumerate(self.columns):
            if column.name == name:
                return number
        for number, column in enumerate(self.columns):
            if column.source == name:
                return number
        there = ", ".join(column.name for column in self.columns)
        raise ValueError(f"the profile has no value {clean(name)!r} to write; it has {there}")

    def only(self, number: int) -> Stacks:
        """The same with one column."""
        return replace(self, columns=(self.columns[number],), values=(self.values[number],))

    def totals(self, number: int) -> list[int]:
        """Of each node, the sum of a column over it and all below."""
        sums = list(self.values[number])
        for node in range(len(sums) - 1, -1, -1):
            if self.parent[node] >= 0:
                sums[self.parent[node]] += sums[node]
        return sums

    def children(self) -> list[list[int]]:
        """Of each node the numbers of its children, and at the end those of the roots."""
        found: list[list[int]] = [[] for _ in range(len(self.parent) + 1)]
        for node, parent in enumerate(self.parent):
            found[parent].append(node)
        return found

    def stack(self, node: int) -> list[int]:
        """Frame numbers of the way to a node, the innermost first."""
        frames = []
        while node >= 0:
            frames.append(self.frame[node])
            node = self.parent[node]
        return frames


def stacks_of(profile: Profile, value: str | None = None, *, signed: bool = False, expanded: bool = False) -> Stacks:
    """The stacks of a profile: its call tree, else its functions, lines or types of objects as stacks of one frame.

    ``value``: only this column. ``signed``: the format has negative numbers; else a column that has some becomes two, what was
    gained and what was given back. ``expanded``: every stack is written in full, so there may be fewer.
    Raises ValueError when the profile has none of these, or no such value.
    """
    found = _named(_raw(profile))
    if value is not None:
        found = found.only(found.column(value))
    found = _folded(_shallow(found), NODE_CAP)
    cap = NODE_CAP
    while expanded and cap > 1 and _expanded(found) > EXPANDED_CAP:
        cap //= 2
        found = _folded(found, cap)
    return found if signed else _unsigned(found)


def walk(children: Sequence[Sequence[int]]) -> Iterator[tuple[int, bool]]:
    """Depth first, in order: each node when it is entered (True) and left (False). ``children`` as of `Stacks.children`."""
    waiting = [(node, True) for node in reversed(children[-1])]
    while waiting:
        node, entering = waiting.pop()
        yield node, entering
        if entering:
            waiting.append((node, False))
            waiting.extend((child, True) for child in reversed(children[node]))


def place(frame: Frame) -> str:
    """``file:line``, ``file``, or nothing."""
    return frame.file if frame.line is None or not frame.file else f"{frame.file}:{frame.line}"


def _raw(profile: Profile) -> Stacks:
    kinds = profile.value_types
    if not kinds:
        raise ValueError("the profile has no values, only what it lists")
    if profile.tree:
        return _from_tree(profile)
    flat: Sequence[tuple[Frame, int, Sequence[int | None]]]
    if profile.functions:
        flat = [(profile.frames[cost.frame], cost.calls, cost.self_values) for cost in profile.functions]
        what = "functions"
    elif profile.lines:
        flat = [(Frame(line.function, line.file, line.line), line.hits or 0, line.values) for line in profile.lines]
        what = "lines"
    elif profile.objects:
        flat = [(Frame(group.kind, "", None), 0, group.values) for group in profile.objects]
        what = "types of objects"
    else:
        raise ValueError("the profile has neither calls nor functions, lines or objects")
    kept = [number for number, kind in enumerate(kinds) if kind.name not in _LEVELS or what != "lines"]
    if not kept:
        raise ValueError("the profile has only levels, which do not add up to anything")
    return Stacks(
        columns=tuple((_own if kinds[number].name in _CLAMPED else _column)(kinds[number]) for number in kept),
        # Of functions as in the profile, whose table of calls goes by these numbers.
        frames=profile.frames if profile.functions else tuple(frame for frame, _, _ in flat),
        frame=[cost.frame for cost in profile.functions] or range(len(flat)),
        parent=[-1] * len(flat),
        calls=[calls for _, calls, _ in flat],
        values=tuple([_bounded(values[number] or 0) for _, _, values in flat] for number in kept),
        notes=(f"The profile has no call tree: these are its {what}, without their callers.", *profile.notes),
    )


def _from_tree(profile: Profile) -> Stacks:
    """The call tree. What readers left out of it, because there was too much or a share was not a whole number, is a child of who
    called it, so that sums are those of the tool; of columns that do not add up, one root."""
    tree = profile.tree
    columns: list[Column] = []
    values: list[list[int]] = []
    left_out: list[dict[int, int]] = []
    for number, kind in enumerate(profile.value_types):
        rests = _rests(tree, number)
        signed = any(node.self_values[number] < 0 or node.inclusive_values[number] < 0 for node in tree)
        whole = _adds_up(tree, number, rests) and (signed or kind.name not in _CLAMPED)
        columns.append(_column(kind) if whole else _own(kind))
        values.append([_bounded(node.self_values[number]) for node in tree])
        if whole:
            left_out.append({node: _bounded(rest) for node, rest in enumerate(rests) if rest > 0})
        else:
            lost = sum(cost.self_values[number] for cost in profile.functions) - sum(values[-1])
            left_out.append({-1: _bounded(lost)} if lost > 0 else {})
    parent = [node.parent for node in tree]
    frame = [node.frame for node in tree]
    for node in sorted({node for rest in left_out for node in rest}):
        parent.append(node)
        frame.append(len(profile.frames))
        for column, rest in zip(values, left_out, strict=True):
            column.append(rest.get(node, 0))
    frames = profile.frames if len(frame) == len(tree) else (*profile.frames, Frame(LEFT_OUT, "", None))
    calls = [node.calls for node in tree] + [0] * (len(frame) - len(tree))
    return Stacks(tuple(columns), frames, frame, parent, calls, tuple(values), profile.notes)


def _rests(tree: Sequence[CallNode], number: int) -> list[int]:
    """Of each node, what its value with callees is more than its own and theirs together."""
    rests = [node.inclusive_values[number] - node.self_values[number] for node in tree]
    for node in tree:
        if node.parent >= 0:
            rests[node.parent] -= node.inclusive_values[number]
    return rests


def _adds_up(tree: Sequence[CallNode], number: int, rests: Sequence[int]) -> bool:
    """Whether callees are never more than their callers, but for what rounding does."""
    total = sum(abs(node.inclusive_values[number]) for node in tree if node.parent < 0)
    return sum(-rest for rest in rests if rest < 0) <= total // _ROUNDING


def _column(kind: ValueType) -> Column:
    return Column(clean(kind.name, 80) or "value", kind.unit, clean(kind.title, 200), kind.name)


def _own(kind: ValueType) -> Column:
    title = f"{clean(kind.title, 200)}; of functions themselves: sums over callees are not what a call with its callees gained"
    return Column(f"self_{clean(kind.name, 80)}", kind.unit, title, kind.name, own=True)


def _bounded(value: int) -> int:
    return max(-_INT64, min(_INT64, value))


def _named(stacks: Stacks) -> Stacks:
    """Names that viewers can show. Columns of one name get a number."""
    seen: dict[str, int] = {}
    columns = []
    for column in stacks.columns:
        seen[column.name] = seen.get(column.name, 0) + 1
        times = seen[column.name]
        columns.append(column if times == 1 else replace(column, name=f"{column.name}_{times}"))
    frames = tuple(_shown(frame) for frame in stacks.frames)
    notes = tuple(clean(note, NOTE_LETTERS) for note in stacks.notes)
    return replace(stacks, columns=tuple(columns), frames=frames, notes=notes)


def _shown(frame: Frame) -> Frame:
    file = clean(frame.file, NAME_LETTERS)
    name = clean(frame.function, NAME_LETTERS).strip()
    line = None if frame.line is None or frame.line < 0 else min(frame.line, 2**31 - 1)
    return Frame(name or place(Frame("", file.rpartition("/")[2], line)) or "?", file, line)


def _shallow(stacks: Stacks) -> Stacks:
    """Deeper than `DEPTH_CAP` the values belong to the last frame there is."""
    depth: list[int] = []
    for parent in stacks.parent:
        depth.append(1 if parent < 0 else depth[parent] + 1)
    deep = sum(d > DEPTH_CAP for d in depth)
    if not deep:
        return stacks
    kept = [d <= DEPTH_CAP for d in depth]
    note = f"{deep} calls deeper than {DEPTH_CAP} are part of the last call that is not."
    return replace(_without(stacks, kept, own=False), notes=(note, *stacks.notes))


def _folded(stacks: Stacks, cap: int) -> Stacks:
    """The nodes with most of any value, their callers, and the rest as one child of who called it, so that sums stay."""
    count = len(stacks.parent)
    if count <= cap:
        return stacks
    kept = [False] * count
    for values in stacks.values:
        for node in sorted(range(count), key=lambda n: -abs(values[n]))[: max(1, cap // len(stacks.values))]:
            kept[node] = True
    for node in range(count - 1, -1, -1):
        if kept[node] and stacks.parent[node] >= 0:
            kept[stacks.parent[node]] = True
    note = f"Of {count} calls the {sum(kept)} largest are here; the others are {LEFT_OUT}."
    return replace(_without(stacks, kept, own=True), notes=(note, *stacks.notes))


def _without(stacks: Stacks, kept: Sequence[bool], *, own: bool) -> Stacks:
    """The kept nodes (with a node go all its callers); values of others go to the nearest kept caller, or (``own``) to a child of
    it that stands for all of them."""
    number: list[int] = []  # of each old node, the new one its values go to
    frame: list[int] = []
    parent: list[int] = []
    calls: list[int] = []
    values: tuple[list[int], ...] = tuple([] for _ in stacks.values)
    rests: dict[int, int] = {}

    def add(frame_number: int, caller: int) -> int:
        frame.append(frame_number)
        parent.append(caller)
        calls.append(0)
        for column in values:
            column.append(0)
        return len(frame) - 1

    anchor: list[int] = []  # of each old node, the new number of itself or of its nearest kept caller
    for node, keep in enumerate(kept):
        caller = stacks.parent[node]
        above = -1 if caller < 0 else anchor[caller]
        if keep:
            target = add(stacks.frame[node], above)
            calls[target] = stacks.calls[node]
            anchor.append(target)
        else:
            anchor.append(above)
            if own and above not in rests:
                rests[above] = add(len(stacks.frames), above)
            target = rests[above] if own else above
        number.append(target)
        for old, new in zip(stacks.values, values, strict=True):
            new[target] += old[node]
    frames = (*stacks.frames, Frame(LEFT_OUT, "", None)) if rests else stacks.frames
    return replace(stacks, frames=frames, frame=frame, parent=parent, calls=calls, values=values)


def _expanded(stacks: Stacks) -> int:
    depth: list[int] = []
    total = 0
    for node, parent in enumerate(stacks.parent):
        depth.append(1 if parent < 0 else depth[parent] + 1)
        if any(values[node] for values in stacks.values):
            total += depth[node]
    return total


def _unsigned(stacks: Stacks) -> Stacks:
    columns: list[Column] = []
    values: list[Sequence[int]] = []
    for column, numbers in zip(stacks.columns, stacks.values, strict=True):
        if min(numbers, default=0) >= 0:
            columns.append(column)
            values.append(numbers)
            continue
        gained = replace(column, name=f"{column.name}_gained", title=f"{column.title}; where it rose")
        freed = replace(column, name=f"{column.name}_given_back", title=f"{column.title}; where it fell")
        columns += [gained, freed]
        values += [[max(0, n) for n in numbers], [max(0, -n) for n in numbers]]
    return replace(stacks, columns=tuple(columns), values=tuple(values))
