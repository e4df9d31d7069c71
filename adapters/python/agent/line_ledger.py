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


_NOWHERE = Line()


class _Call:
    """A frame that runs: where it is, the level at the start of that line and the highest since, and those of the whole call."""

    __slots__ = ("began", "frame", "function", "high", "line", "peak", "start", "thread")

    def __init__(self, thread, frame, function, level):
        self.thread = thread
        self.frame = frame
        self.function = function
        self.began = self.high = self.start = self.peak = level
        self.line = _NOWHERE


class _Thread:
    __slots__ = ("calls", "functions")

    def __init__(self):
        self.calls: "list[_Call]" = []  # innermost last
        self.functions: "dict[object, Function]" = {}


class Ledger:
    """Fed with `enter`, `line` and `leave`, for frames and threads that are known by numbers; then `close`, and read
    ``functions`` by owner, ``net``, ``overlapped`` and ``unfinished``.

    In bytes, at each event: ``level``, that of now, and ``peak``, the highest since the event before.
    """

    def __init__(self):
        self._threads: "dict[int, _Thread]" = {}
        self._running: "dict[int, _Call]" = {}  # by frame
        self.functions: "dict[object, Function]" = {}
        self.net = 0  # of the outermost watched calls
        self.overlapped = False  # watched code ran in one thread while it had not returned in another
        self.unfinished = 0  # calls

    def enter(self, thread, frame, owner, line, resumed, level, peak):
        """A call of the function ``owner``, or one of its generators that goes on, at ``line``."""
        state = self._threads.get(thread)
        if state is None:
            state = self._threads[thread] = _Thread()
        stale = self._running.get(frame)
        if stale is not None:  # its end was missed, and another frame is in its place
            self._return_inner(stale, level)
            self._return(stale, level)
        self._raise(state, peak)
        function = state.functions.get(owner)
        if function is None:
            function = state.functions[owner] = Function()
        function.calls += not resumed
        function.open += 1
        call = self._running[frame] = _Call(state, frame, function, level)
        state.calls.append(call)
        self._start(call, line, level)

    def line(self, frame, number, level, peak):
        """A line begins to run."""
        call = self._running.get(frame)
        if call is None:
            return
        self._raise(call.thread, peak)
        if call.thread.calls[-1] is not call:
            self._return_inner(call, level)
        self._end(call, level)
        self._start(call, number, level)
        call.line.hits += 1

    def leave(self, frame, level, peak):
        """A return, an exception that is not caught, or a yield."""
        call = self._running.get(frame)
        if call is None:
            return
        self._raise(call.thread, peak)
        self._return_inner(call, level)
        self._return(call, level)

    def _raise(self, state, peak):
        if state.calls:
            call = state.calls[-1]
            call.peak = max(call.peak, peak)
        if len(self._threads) > 1:
            for other in self._threads.values():
                if other is not state and other.calls:
                    self.overlapped = True
                    call = other.calls[-1]
                    call.peak = max(call.peak, peak)

    @staticmethod
    def _start(call, number, level):
        lines = call.function.lines
        line = lines.get(number)
        if line is None:
            line = lines[number] = Line()
        line.open += 1
        call.line = line
        call.start = call.peak = level

    @staticmethod
    def _end(call, level):
        line, start = call.line, call.start
        peak = max(call.peak, level)
        line.open -= 1
        if not line.open:
            line.net += level - start
        line.peak = max(line.peak, peak - start)
        call.high = max(call.high, peak)

    def _return_inner(self, call, level):
        """Calls further in have ended, and it was missed."""
        while call.thread.calls[-1] is not call:
            self._return(call.thread.calls[-1], level)

    def _return(self, call, level):
        calls = call.thread.calls
        calls.pop()
        del self._running[call.frame]
        self._end(call, level)
        function = call.function
        function.open -= 1
        if not function.open:
            function.net += level - call.began
        function.peak = max(function.peak, call.high - call.began)
        if calls:
            calls[-1].peak = max(calls[-1].peak, call.high)
        else:
            self.net += level - call.began

    def end(self, level):
        """All that is open ends here."""
        for state in self._threads.values():
            while state.calls:
                self._return(state.calls[-1], level)

    def close(self):
        """Add the threads up. What has not returned is left out, but for the lines that it was through with."""
        for state in self._threads.values():
            self.unfinished += len(state.calls)
            for owner, function in state.functions.items():
                total = self.functions.setdefault(owner, Function())
                total.calls += function.calls
                total.net += function.net
                total.peak = max(total.peak, function.peak)
                for number, line in function.lines.items():
                    known = total.lines.setdefault(number, Line())
                    known.hits += line.hits
                    known.net += line.net
                    known.peak = max(known.peak, line.peak)
        self._threads.clear()
