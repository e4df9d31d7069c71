"""The number of open descriptors rises with every round: files, sockets or pipes that are opened and never closed."""

from __future__ import annotations

from collections.abc import Sequence

from harness.diagnose.account import account_of
from harness.diagnose.attribution import attribute_private
from harness.diagnose.counting import (
    added_by,
    agrees,
    count_confidence,
    count_evidence,
    counted_by_endpoint,
    endpoint_evidence,
    steady_evidence,
)
from harness.diagnose.mappings import class_levels
from harness.diagnose.pool import PoolView
from harness.model.finding import EXPLAINS, Cause, Evidence, Finding, Growth, Severity, Side, Subject
from harness.units import format_bytes

_FDS = "process.fds"
_OF_AGENT = "agent.python.fds"
_USUAL_LIMIT = 1024  # soft RLIMIT_NOFILE where nobody raised it
_OWNER_BYTES = (
    16 * 1024
)  # private memory that comes with a descriptor: the object of an open file, its buffer of 8 KiB, a name
_WITH_MAPPINGS = (
    ("data_file", "mapped data files"),
    ("shm", "blocks of POSIX shared memory"),
    ("memfd", "memfd files"),
)


class DescriptorsRule:
    id = "descriptors"
    needs = (_FDS,)

    def check(self, pool: PoolView) -> Sequence[Finding]:
        curve = pool.descriptors
        if curve is None or not curve.grows:
            return ()
        split, per_round = counted_by_endpoint(pool, _FDS), curve.per_round
        told, mapped = _told_by_agent(pool), _mapped(pool, per_round)
        evidence = [
            count_evidence(_FDS, f"open descriptors of {pool.name}", curve, pool.stretch),
            *_agent_evidence(told, per_round),
            *endpoint_evidence(split, "descriptors"),
            *([] if mapped is None else [mapped]),
            *_limit_evidence(pool, per_round),
            *steady_evidence(curve, "descriptors"),
        ]
        named = split.dominant
        owners = _owners_bytes(pool, per_round, None if named is None else named.endpoint)
        if owners > 0:
            each = format_bytes(owners / per_round)
            text = (
                f"private memory grows by {each} for each, no more than the object and the buffer of an open file take"
            )
            evidence.append(Evidence("fds.memory", owners, "bytes/round", text, Side.CONTEXT))
        return [
            Finding(
                cause=Cause.DESCRIPTORS,
                severity=Severity.WARNING,
                confidence=count_confidence(curve, agrees(told, per_round) + (named is not None)),
                subject=Subject(
                    host=pool.members[0].info.key.host,
                    runtime=pool.runtime,
                    pool=pool.name,
                    endpoint=None if named is None else named.endpoint,
                ),
                summary=_summary(pool, per_round)
                if pool.watched
                else added_by(split, "open files or sockets", per_round, pool),
                growth=Growth(None, None, None, None),
                evidence=evidence,
                prescriptions=(),
                range_ns=pool.range_ns,
                numbers={
                    EXPLAINS: owners,
                    "count_per_round": per_round,
                    "mapped_descriptors_per_round": 0.0 if mapped is None else per_round,
                },
            )
        ]


RULE = DescriptorsRule()


def _summary(pool: PoolView, per_round: float) -> str:
    rate = pool.rounds_per_hour
    grown = f"{per_round:.0f} a {pool.stretch}" if rate is None else f"about {per_round * rate:.0f} an hour"
    return f"The open files or sockets of {pool.name} become ever more, {grown}."


def _told_by_agent(pool: PoolView) -> float | None:
    levels = pool.matrix((_OF_AGENT,))
    return None if levels is None else float(levels[:, -1].sum() - levels[:, 0].sum()) / (levels.shape[1] - 1)


def _agent_evidence(told: float | None, per_round: float) -> list[Evidence]:
    if told is None:
        return []
    side = Side.FOR if agrees(told, per_round) else Side.CONTEXT
    return [Evidence(_OF_AGENT, told, "count/round", f"the workers themselves count {told:.1f} more a round", side)]


def _mapped(pool: PoolView, per_round: float) -> Evidence | None:
    """A mapping may keep a descriptor of its own: then the mapping is what is kept."""
    for name, what in _WITH_MAPPINGS:
        levels = class_levels(pool, "count", name, stable=True)
        if levels is None:
            continue
        more = float(levels[-1] - levels[0]) / (levels.size - 1)
        if more >= per_round / 2.5:  # multiprocessing holds two descriptors a block
            text = f"{more:.1f} more {what} appear a round: the descriptors may belong to them"
            return Evidence("smaps.count", more, "count/round", text, Side.CONTEXT)
    return None


def _owners_bytes(pool: PoolView, per_round: float, endpoint: str | None) -> float:
    """Bytes a round of private memory that belong to what holds the descriptors: all growth, if it is little for each and no
    other endpoint's."""
    account = account_of(pool)
    if account is None or account.curve.per_round <= 0 or not account.curve.rises:
        return 0.0
    grown = max(account.curve.per_round, account.kept or 0.0)
    keeps = attribute_private(pool).dominant
    if grown > _OWNER_BYTES * per_round or (keeps is not None and keeps.endpoint != endpoint):
        return 0.0
    return grown


def _limit_evidence(pool: PoolView, per_round: float) -> list[Evidence]:
    """How long the usual limit lasts, which ends not in memory but in errors."""
    levels = pool.matrix((_FDS,))
    if levels is None:
        return []
    grown = (levels[:, -1] - levels[:, 0]) / (levels.shape[1] - 1)
    fastest = int(grown.argmax())
    rounds = (_USUAL_LIMIT - levels[fastest, -1]) / grown[fastest] if grown[fastest] > 0 else 0.0
    if rounds <= 0:
        return []
    text = f"at this pace a worker reaches {_USUAL_LIMIT} descriptors, the usual limit, in {rounds:.0f} more {pool.stretch}s"
    return [Evidence("fds.limit", rounds, "rounds", text, Side.CONTEXT)]
