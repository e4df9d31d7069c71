"""Hosts without an agent, of which an adapter can ask something by the network: its answers are kept as if there were one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial

from harness.errors import TargetError
from harness.model.process import ProcessInfo
from harness.plugins.spec import Away
from harness.session.agents.mounted import is_on
from harness.session.hosts.remote import RemoteHost
from harness.session.parts import Parts
from harness.store import layout
from harness.store.lives import same_pid

NO_AGENT = "no agent was placed on this host"


def asked_from_here(parts: Parts, host: RemoteHost, alive: Callable[[], Iterable[ProcessInfo]]) -> None:
    """Make a place for the answers. ``alive``: the processes that are followed."""
    label = host.spec.label
    directory = parts.context.work_dir / layout.HOSTS / label
    directory.mkdir(mode=0o700, parents=True)
    away = Away(label, host.offset_ns, partial(_nobody, label), lambda _: None)
    context = replace(parts.context, work_dir=directory, away=away)
    parts.places.add(label, context, alive, partial(is_on, label), same_pid, NO_AGENT)


def _nobody(label: str, *_: object) -> Sequence[int]:
    raise TargetError(f"{label}: {NO_AGENT}, so nobody takes orders there")
