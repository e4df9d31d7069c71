"""What every `Profile` must be, whatever file it was read from."""

from __future__ import annotations

from harness.model.profile import Profile

_INT64 = 2**63


def assert_sound(profile: Profile) -> None:
    """Numbers that can be stored, in as many columns as there are values; frames that exist; parents first; text that is text."""
    width, frames = len(profile.value_types), len(profile.frames)
    assert all(kind.unit in ("ns", "bytes", "count") for kind in profile.value_types)
    for cost in profile.functions:
        assert 0 <= cost.frame < frames
        _numbers(cost.calls, *cost.self_values, *cost.inclusive_values)
        assert len(cost.self_values) == len(cost.inclusive_values) == width
    assert len({cost.frame for cost in profile.functions}) == len(profile.functions)
    for edge in profile.edges:
        assert 0 <= edge.caller < frames
        assert 0 <= edge.callee < frames
        assert edge.line >= 0
        _numbers(edge.line, edge.calls, *edge.inclusive_values)
        assert len(edge.inclusive_values) == width
    for number, node in enumerate(profile.tree):
        assert 0 <= node.frame < frames
        assert -1 <= node.parent < number
        _numbers(node.calls, *node.self_values, *node.inclusive_values)
        assert len(node.self_values) == len(node.inclusive_values) == width
    for frame in profile.frames:
        frame.function.encode()
        frame.file.encode()
        assert len(frame.function) <= 8192
        assert frame.line is None or frame.line >= 0
    if profile.peak is not None:
        assert all(0 <= frame < frames for frame in profile.peak.stack)
        _numbers(profile.peak.bytes, profile.peak.offset_ns)
    for point in profile.curve:
        _numbers(point.offset_ns, point.bytes)
    for run in profile.collections:
        _numbers(run.collected, *(v for v in (run.duration_ns, run.before_bytes, run.after_bytes) if v is not None))
    _numbers(*(total for total in profile.totals.values() if total is not None))
    assert all(profile.notes)


def _numbers(*values: int) -> None:
    assert all(type(value) is int and abs(value) < _INT64 for value in values)
