"""Reads the system-wide sources, each as often as it is worth."""

from __future__ import annotations

from typing import Sequence

from .missing import MissingSignals
from .reading import read_file, why
from .sources import SYSTEM_SOURCES
from .sources.system import SystemSource, Values


class System:
    """Remembers when each source was last read, and drops those that this machine or user does not get."""

    def __init__(
        self, mount: str, slack_ns: int, missing: MissingSignals, sources: Sequence[SystemSource] | None = None
    ) -> None:
        self._mount = mount
        self._slack_ns = slack_ns
        self._missing = missing
        self._sources = [make() for make in SYSTEM_SOURCES] if sources is None else list(sources)
        self._read_ns: dict[str, int] = {}

    def read(self, now_ns: int, everything: bool) -> Values:
        """The values of all sources that are due; of all there are if ``everything``."""
        values: Values = {}
        for source in tuple(self._sources):
            last_ns = self._read_ns.get(source.signal)
            if everything or last_ns is None or now_ns - last_ns >= source.every_ns - self._slack_ns:
                found, complaint = self._read_one(source)
                if found:
                    self._read_ns[source.signal] = now_ns
                    values.update(found)
                    if source.once:
                        self._sources.remove(source)
                else:
                    reason = complaint if not source.fix else "{}; needs {}".format(complaint, source.fix)
                    self._missing.say(source.signal, reason, source.costs)
                    if last_ns is None:
                        self._sources.remove(source)
        return values

    def _read_one(self, source: SystemSource) -> tuple[Values, str]:
        path = "{}/{}".format(self._mount, source.path)
        try:
            return source.parse(read_file(path)), "{} holds nothing that is understood".format(path)
        except OSError as error:
            return {}, why(error, path)
