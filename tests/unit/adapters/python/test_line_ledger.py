"""The ledger of line-level tools: what belongs to which line, fed with levels of bytes that are known."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from adapters.python.agent.line_ledger import Ledger

A, B = "a", "b"


class Feed:
    """Events of one thread in short."""

    def __init__(self, thread: int = 1) -> None:
        self.ledger = Ledger()
        self.thread = thread

    def __call__(self, event: str, owner: str, line: int, level: int, peak: int | None = None, frame: int = 0) -> None:
        frame = frame or hash(owner)
        peak = max(level, peak or level)
        if event in ("call", "resume"):
            self.ledger.enter(self.thread, frame, owner, line, event == "resume", level, peak)
        elif event == "line":
            self.ledger.line(frame, line, level, peak)
        else:
            self.ledger.leave(frame, level, peak)

    def lines(self, owner: str) -> dict[int, tuple[int, int, int]]:
        self.ledger.close()
        return {n: (row.hits, row.net, row.peak) for n, row in self.ledger.functions[owner].lines.items()}


def test_a_line_counts_until_the_next_one() -> None:
    feed = Feed()
    feed("call", A, 1, 100)
    feed("line", A, 2, 100)
    feed("line", A, 3, 150, peak=400)
    feed("return", A, 3, 130, peak=170)
    assert feed.lines(A) == {1: (0, 0, 0), 2: (1, 50, 300), 3: (1, -20, 20)}
    assert (feed.ledger.net, feed.ledger.functions[A].net, feed.ledger.functions[A].peak) == (30, 30, 300)
    assert (feed.ledger.functions[A].calls, feed.ledger.unfinished, feed.ledger.overlapped) == (1, 0, False)


def test_a_callers_line_includes_what_it_calls_and_totals_count_once() -> None:
    feed = Feed()
    feed("call", A, 1, 0)
    feed("line", A, 2, 0)
    feed("call", B, 10, 5)
    feed("line", B, 11, 5)
    feed("return", B, 11, 25, peak=90)
    feed("return", A, 2, 25)
    assert feed.lines(A)[2] == (1, 25, 90)
    assert feed.lines(B)[11] == (1, 20, 85)
    assert feed.ledger.net == 25


def test_of_recursion_the_outermost_counts() -> None:
    feed = Feed()
    for depth in range(3):
        feed("call", A, 1, depth * 10, frame=depth + 1)
        feed("line", A, 2, depth * 10, frame=depth + 1)
    for depth in (2, 1, 0):
        feed("return", A, 2, 30, frame=depth + 1)
    assert feed.lines(A)[2] == (3, 30, 30)
    assert feed.ledger.functions[A].net == feed.ledger.net == 30
    assert feed.ledger.functions[A].calls == 3


def test_a_suspended_line_goes_on_and_does_not_run_again() -> None:
    feed = Feed()
    feed("call", A, 1, 0)
    feed("line", A, 2, 0)
    feed("yield", A, 2, 10)
    feed("resume", A, 2, 500, peak=900)  # what others did meanwhile
    feed("return", A, 2, 507)
    assert feed.lines(A)[2] == (1, 17, 10)
    assert feed.ledger.functions[A].calls == 1
    assert feed.ledger.net == 17


def test_missed_events_do_not_mix_frames() -> None:
    feed = Feed()
    feed("line", B, 11, 0)  # it ran already: whose it is, is not known
    feed("return", B, 11, 0)
    feed("call", A, 1, 0)
    feed("line", A, 5, 0)
    feed("call", B, 10, 10)
    feed("line", B, 11, 10)
    feed("line", A, 6, 30)  # B's end was missed
    feed("return", A, 6, 31)
    feed("return", B, 11, 99)
    assert feed.lines(A) == {1: (0, 0, 0), 5: (1, 30, 30), 6: (1, 1, 1)}
    assert feed.lines(B)[11] == (1, 20, 20)
    assert feed.ledger.net == 31


def test_a_frame_in_the_place_of_one_whose_end_was_missed() -> None:
    feed = Feed()
    feed("call", A, 1, 0, frame=7)
    feed("line", A, 2, 0, frame=7)
    feed("call", B, 10, 20, frame=7)
    feed("line", B, 11, 20, frame=7)
    feed("return", B, 11, 25, frame=7)
    assert feed.lines(A)[2] == (1, 20, 20)
    assert feed.lines(B)[11] == (1, 5, 5)
    assert feed.ledger.unfinished == 0


def test_threads_have_their_own_calls_and_overlap_is_noticed() -> None:
    feed = Feed()
    feed("call", A, 1, 0)
    feed("line", A, 2, 0)
    feed.thread = 2
    feed("call", A, 1, 0, frame=77)
    feed("line", A, 2, 0, frame=77)
    feed("return", A, 2, 40, peak=70, frame=77)
    feed.thread = 1
    feed("return", A, 2, 40)
    assert feed.lines(A)[2] == (2, 80, 70)
    assert feed.ledger.overlapped


def test_one_thread_after_the_other_is_no_overlap() -> None:
    feed = Feed()
    for thread in (1, 2):
        feed.thread = thread
        feed("call", A, 1, 0)
        feed("return", A, 1, 5)
    feed.ledger.close()
    assert not feed.ledger.overlapped
    assert feed.ledger.net == 10


def test_what_has_not_returned_is_left_out_and_counted() -> None:
    feed = Feed()
    feed("call", A, 1, 0)
    feed("line", A, 2, 0)
    feed("line", A, 3, 8)
    assert feed.lines(A) == {1: (0, 0, 0), 2: (1, 8, 8), 3: (1, 0, 0)}
    assert (feed.ledger.unfinished, feed.ledger.net) == (1, 0)


def test_an_early_end_closes_what_is_open() -> None:
    feed = Feed()
    feed("call", A, 1, 0)
    feed("line", A, 2, 0)
    feed("call", B, 10, 5)
    feed.ledger.end(9)
    assert feed.lines(A)[2] == (1, 9, 9)
    assert (feed.ledger.unfinished, feed.ledger.net) == (0, 9)


STEPS = st.lists(
    st.tuples(st.sampled_from(["call", "line", "return"]), st.integers(0, 3), st.integers(-50, 50)), max_size=60
)


@given(STEPS)
def test_sums_agree(steps: list[tuple[str, int, int]]) -> None:
    """For calls that all end: the net of the request is that of the outermost calls, and of lines without recursion their sum."""
    feed = Feed()
    level = 1000
    stack: list[int] = []
    for event, line, change in steps:
        level += change
        if event == "call" and len(stack) < 99:
            stack.append(len(stack))
            feed("call", str(stack[-1]), 1, level, frame=stack[-1] + 1)
        elif stack and event != "call":
            if event == "line":
                feed("line", str(stack[-1]), 2 + line, level, frame=stack[-1] + 1)
            else:
                feed("return", str(stack[-1]), 9, level, frame=stack[-1] + 1)
                stack.pop()
    while stack:
        feed("return", str(stack[-1]), 9, level, frame=stack[-1] + 1)
        stack.pop()
    feed.ledger.close()
    for function in feed.ledger.functions.values():
        assert function.net == sum(line.net for line in function.lines.values())
        assert function.peak >= 0
        assert all(line.peak >= max(0, line.net if line.hits == 1 else 0) for line in function.lines.values())
    outer = feed.ledger.functions.get("0")
    assert feed.ledger.net == (outer.net if outer is not None else 0)  # all others run inside it
