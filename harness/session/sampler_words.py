"""Whether a message of a sampler is one, looked at where it comes from another host, which may be anybody's. Pure.

What is right here can be recorded as it is: numbers have 64 bits, texts are texts and have an end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

_MOST = 1 << 63
_MOST_NS = 1 << 62  # with a clock's offset it still has 64 bits
_MOST_PID = 1 << 22  # PID_MAX_LIMIT, include/linux/threads.h
_TEXT = 1 << 16
_SHORT = 4096
_Check = Callable[[object], bool]


def _integer(value: object) -> bool:
    return type(value) is int and -_MOST < value < _MOST


def _time(value: object) -> bool:
    return type(value) is int and -_MOST_NS < value < _MOST_NS


def _integer_or_none(value: object) -> bool:
    return value is None or _integer(value)


def _pid(value: object) -> bool:
    return type(value) is int and 0 <= value <= _MOST_PID


def _text(value: object, most: int = _TEXT) -> bool:
    """Without halves of letters (surrogates), which no file takes."""
    if not isinstance(value, str) or len(value) > most:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _short(value: object) -> bool:
    """A sentence, or a command line of a process, which a sampler cuts at 512 letters."""
    return _text(value, _SHORT)


def _scalar(value: object) -> bool:
    return _integer(value) or _text(value)


def _all(check: _Check) -> _Check:
    return lambda value: isinstance(value, list) and all(map(check, value))


def _row(*checks: _Check) -> _Check:
    return lambda value: (
        isinstance(value, list)
        and len(value) == len(checks)
        and all(check(each) for check, each in zip(checks, value, strict=True))
    )


def _named(check: _Check) -> _Check:
    return lambda value: isinstance(value, dict) and all(_text(key) and check(each) for key, each in value.items())


def _optional(check: _Check) -> _Check:
    return lambda value: value is None or check(value)


_WHO: Mapping[str, _Check] = {"pid": _pid, "start": _integer, "t": _time}
_KINDS: Mapping[str, Mapping[str, _Check]] = {
    "hello": {"columns": _all(_text)},
    "proc": {**_WHO, "ppid": _integer, "comm": _short, "cmd": _short, "uid": _integer_or_none, "pool": _text, "born": _time},
    "exit": {**_WHO, "code": _integer_or_none, "signal": _integer_or_none, "last": _named(_integer)},
    "tick": {
        "t": _time, "end": _time, "late": _integer, "missed": _integer, "cpu": _integer_or_none, "floor": _integer_or_none,
        "p": _all(_row(_pid, _integer, _all(_integer_or_none))), "s": _named(_integer),
    },
    "names": {"set": _integer, "names": _all(_text)},
    "more": {"x": _all(_row(_pid, _integer, _integer, _all(_integer)))},
    "settings": {"facts": _named(_scalar)},
    "missing": {"signal": _short, "reason": _short, "costs": _short},
    "bye": {"cpu": _integer_or_none},
    "runtime": {**_WHO, "runtime": _text, "facts": _named(_scalar)},
    "files": {**_WHO, "rows": _all(_row(_text, _integer_or_none, _integer_or_none, _integer_or_none))},
    "types": {**_WHO, "runtime": _text, "every": _integer, "rows": _all(_row(_text, _integer, _integer))},
    "pause": {**_WHO, "paused": _integer},
    "fast": {
        **_WHO, "dt": _all(_integer), "v": _all(_all(_integer)), "dropped": _integer,
        "highest": _optional(_row(_integer, _all(_integer))),
    },
}  # fmt: skip


def checked(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """The message. ValueError when it is none that a sampler says."""
    kind = message.get("k")
    wanted = _KINDS.get(kind) if isinstance(kind, str) else None
    if wanted is None:
        raise ValueError("no kind of message")
    wrong = next((name for name, check in wanted.items() if not check(message.get(name))), None)
    if wrong is not None:
        raise ValueError(f"{kind}: {wrong}")
    return message
