"""What each line did to a level of bytes, from events in order: a line counts from its event until the next one of its frame.

A line includes what is called from it, watched or not. Nothing is counted twice: of a line that is open already further out
(recursion), and of a function in a total, the outermost one counts. While a generator or coroutine is suspended its line is
closed; it goes on when it is resumed, which is no run of the line.
"""


class Line:
    """Sums of one line: ``hits`` events, ``net`` bytes, ``peak`` bytes above the level at its start (the highest)."""

    __slots__ = ("hits", "net", "open", "peak")

    def __init__(self):
        self.hits = self.net = self.peak = self.open = 0


class Function:
    """Sums of one function: ``calls``, ``net`` and ``peak`` from call to return, its ``lines`` by number."""

    __slots__ = ("calls", "lines", "net", "open", "peak")

    def __init__(self):
        self.calls = self.net = self.peak = self.open = 0
        self.lines: "dict[int, Line]" = {}


class _Call:
    """A frame that runs: where it is, the level at the start of that line and the highest since, and those of the whole call."""

    __slots__ = ("began", "frame", "function", "high", "line", "peak", "start")

    def __init__(self, frame, function, line, level):
        self.frame = frame
        self.function = function
        self.line = line
        self.began = self.start = self.peak = self.high = level


class _Thread:
    __slots__ = ("calls", "functions")

    def __init__(self, owners):
        self.calls: "list[_Call]" = []  # innermost last
        self.functions = {owner: Function() for owner in owners}


class Ledger:
    """Fed with `event`; then `close`, and read ``functions``, ``net``, ``overlapped`` and ``unfinished``.

    ``owners``: the functions; ``thread``: the one that will most likely be heard, for which everything is allocated now.
    """

    def __init__(self, owners, thread):
        self._owners = tuple(owners)
        self._threads = {thread: _Thread(self._owners)}
        self.functions = {owner: Function() for owner in self._owners}
        self.net = 0  # of the outermost watched calls
        self.overlapped = False  # watched code ran in one thread while it had not returned in another
        self.unfinished = 0  # calls

    def event(self, thread, frame, event, owner, line, level, peak):
        """``event`` as `line_events.precisely` says it; ``thread`` and ``frame`` are identities. In bytes: ``level`` is that of
        now, ``peak`` the highest since the last event."""
        state = self._threads.get(thread)
        if state is None:
            state = self._threads[thread] = _Thread(self._owners)
        if len(self._threads) > 1:
            self._look_at_others(state, peak)
        calls = state.calls
        if calls and peak > calls[-1].peak:
            calls[-1].peak = peak
        if event in ("call", "resume"):
            self._open(state, frame, owner, line, level)
            calls[-1].function.calls += event == "call"
            return
        while calls and calls[-1].frame != frame:
            if not any(call.frame == frame for call in calls):
                break
            self._return(state, level)  # its end was missed
        if not calls or calls[-1].frame != frame:
            if event != "line":
                return
            self._open(state, frame, owner, line, level)  # its begin was missed
        if event == "line":
            call = calls[-1]
            self._end_line(call, level)
            self._start_line(call, line, level)
            call.line.hits += 1
        else:
            self._return(state, level)

    def _look_at_others(self, own, peak):
        for state in self._threads.values():
            if state is not own and state.calls:
                self.overlapped = True
                call = state.calls[-1]
                call.peak = max(call.peak, peak)

    def _open(self, state, frame, owner, line, level):
        function = state.functions[owner]
        function.open += 1
        call = _Call(frame, function, None, level)
        self._start_line(call, line, level)
        state.calls.append(call)

    def _start_line(self, call, number, level):
        lines = call.function.lines
        line = lines.get(number)
        if line is None:
            line = lines[number] = Line()
        line.open += 1
        call.line, call.start, call.peak = line, level, level

    def _end_line(self, call, level):
        line = call.line
        peak = max(call.peak, level)
        line.open -= 1
        if not line.open:
            line.net += level - call.start
        line.peak = max(line.peak, peak - call.start)
        call.high = max(call.high, peak)

    def _return(self, state, level):
        call = state.calls.pop()
        self._end_line(call, level)
        function = call.function
        function.open -= 1
        if not function.open:
            function.net += level - call.began
        function.peak = max(function.peak, call.high - call.began)
        if state.calls:
            outer = state.calls[-1]
            outer.peak = max(outer.peak, call.high)
        else:
            self.net += level - call.began

    def end(self, level):
        """All that is open ends here; nothing after it counts."""
        for state in self._threads.values():
            while state.calls:
                self._return(state, level)

    def close(self):
        """Add the threads up. What has not returned is left out, but for the lines that it was through with."""
        for state in self._threads.values():
            self.unfinished += len(state.calls)
            for owner, function in state.functions.items():
                total = self.functions[owner]
                total.calls += function.calls
                total.net += function.net
                total.peak = max(total.peak, function.peak)
                for number, line in function.lines.items():
                    known = total.lines.setdefault(number, Line())
                    known.hits += line.hits
                    known.net += line.net
                    known.peak = max(known.peak, line.peak)
        self._threads.clear()
