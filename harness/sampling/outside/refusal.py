"""Why a reading from outside was not taken."""

from __future__ import annotations


class Refused(Exception):  # noqa: N818  # a refusal is a normal outcome, not an error
    """The layout or the moment could not be proved good: the value is missing, with this reason, never guessed."""


class Torn(Refused):
    """The target changed under the reading, or seems to have: worth another try, and counted."""


class Unreadable(Refused):
    """The memory of the process may not be read, or the process has gone: no other reading will fare better."""


class Gone(Unreadable):
    """There is no such process, or not that program in it, any more: nothing is missing."""

    def __init__(self, reason: str = "the process has gone or executed another program") -> None:
        super().__init__(reason)
