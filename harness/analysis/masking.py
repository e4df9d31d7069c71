"""What looks like a secret is masked in a run before anything is made of it: no report, in no format, shows one. Pure.

Names stay as they are; who wants to give a run to others packs a bundle (`harness.bundle`), which has more taken out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache

from harness.analysis.profile_texts import Texts, rewritten
from harness.model.event import Event, Missing, Scalar
from harness.model.objects import ObjectCount
from harness.model.profile import Artifact
from harness.model.report import ProfileView
from harness.model.run import RawRun, RunManifest
from harness.model.span import RequestRecord, Span
from harness.redact.known import secret_values
from harness.redact.secrets import MASK, looks_secret, without_queries, without_random, without_secrets

_SHORTEST = 6  # of a secret that is looked for as it is
_SENT = frozenset({"headers", "cookies", "query", "form", "json", "body", "multipart"})
_ADDRESSES = frozenset({"get", "post", "put", "patch", "delete", "head", "options", "ready", "url"})
_NAMES = frozenset({"expect", "name", "endpoints", "from"})
_DEEPEST = 20
_Text = Callable[[str], str]


_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")  # as in a scenario


class Masking:
    """Masks the texts of one run: what looks like a secret, and the secrets that its scenario names."""

    def __init__(self, scenario: Mapping[str, object]) -> None:
        known = sorted({v for v in secret_values(scenario) if len(v) >= _SHORTEST}, key=lambda v: (-len(v), v))
        pattern = re.compile("|".join(map(re.escape, known))) if known else None
        hidden: dict[str, str] = {}

        def without_known(text: str) -> str:
            return text if pattern is None else pattern.sub(MASK, text)

        def number(word: str) -> str:
            return hidden.setdefault(word, f"hidden-{len(hidden) + 1}")  # two names stay two

        self.words: _Text = cache(lambda text: without_secrets(without_known(text)))
        self.name: _Text = cache(lambda text: without_random(without_queries(without_known(text)), number))
        self._texts = Texts(code=self.name, path=self.name, label=self.name, words=self.words, source=self.words)

    def run(self, raw: RawRun) -> RawRun:
        """The same run with its texts masked."""
        return replace(
            raw,
            manifest=self._manifest(raw.manifest),
            processes=[replace(p, comm=self.name(p.comm), cmdline=self.words(p.cmdline)) for p in raw.processes],
            spans=[self._span(span) for span in raw.spans],
            records=[self._record(record) for record in raw.records],
            boots=[replace(boot, argv=self.words(boot.argv)) for boot in raw.boots],
            tools=[t if t.error is None else replace(t, error=self.words(t.error)) for t in raw.tools],
            events=[self._event(event) for event in raw.events],
            artifacts=[self._artifact(artifact) for artifact in raw.artifacts],
            missing=[Missing(self.name(m.signal), self.words(m.reason), self.words(m.costs)) for m in raw.missing],
            object_counts=[self._counted(count) for count in raw.object_counts],
        )

    def views(self, views: Iterable[ProfileView]) -> tuple[ProfileView, ...]:
        """The same profiles with their texts masked, and what is said of those that could not be read."""
        return tuple(self._view(view) for view in views)

    def _view(self, view: ProfileView) -> ProfileView:
        artifact = replace(view.artifact, detail=self.words(view.artifact.detail))
        return ProfileView(artifact, None if view.profile is None else rewritten(view.profile, self._texts))

    def _manifest(self, manifest: RunManifest) -> RunManifest:
        scenario = {key: self._setting(key, value) for key, value in manifest.scenario.items()}
        facts = {name: self.words(value) if isinstance(value, str) else value for name, value in manifest.facts.items()}
        return replace(manifest, scenario=scenario, status_text=self.words(manifest.status_text), facts=facts)

    def _setting(self, key: str, value: object, depth: int = 0) -> object:
        """A part of the scenario: what was sent goes, what has a telling name goes."""
        if isinstance(value, str):
            named = key == "version" and depth == 0 and _VERSION.fullmatch(value)  # a commit looks like a key
            return value if named else self._text(key, value)
        if depth > _DEEPEST:
            return None
        if isinstance(value, Mapping):
            if key in _SENT:
                return {str(name): _told_apart(repr(each)) for name, each in value.items()}
            return {str(name): self._setting(str(name), each, depth + 1) for name, each in value.items()}
        if isinstance(value, list | tuple):
            return [self._setting(key, each, depth + 1) for each in value]
        return value

    def _text(self, key: str, text: str) -> str:
        if looks_secret(key) or key in _SENT:
            return _told_apart(text)
        if key in _ADDRESSES:
            return self.name(without_queries(text, _told_apart))
        return self.name(text) if key in _NAMES else self.words(text)

    def _span(self, span: Span) -> Span:
        """Most are fine, and there may be a million."""
        endpoint = self.name(span.endpoint)
        if endpoint == span.endpoint and span.error is None and not span.failed_checks:
            return span
        error = None if span.error is None else self.words(span.error)
        return replace(span, endpoint=endpoint, error=error, failed_checks=tuple(map(self.words, span.failed_checks)))

    def _record(self, record: RequestRecord) -> RequestRecord:
        name = self.name(record.name)
        return record if name == record.name else replace(record, name=name)

    def _event(self, event: Event) -> Event:
        return replace(event, text=self.words(event.text), attributes=self._attributes(event.attributes))

    def _artifact(self, artifact: Artifact) -> Artifact:
        return replace(
            artifact,
            endpoint=None if artifact.endpoint is None else self.name(artifact.endpoint),
            detail=self.words(artifact.detail),
            attributes=self._attributes(artifact.attributes),
        )

    def _attributes(self, attributes: Mapping[str, Scalar]) -> dict[str, Scalar]:
        return {
            self.name(name): value if not isinstance(value, str) or name == "span" else self.words(value)
            for name, value in attributes.items()
        }

    def _counted(self, count: ObjectCount) -> ObjectCount:
        name = self.name(count.type)
        return count if name == count.type else replace(count, type=name)


def _told_apart(value: str) -> str:
    """A mask that is the same for the same value: runs to which something else was sent must not look alike."""
    return MASK + hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:12]
