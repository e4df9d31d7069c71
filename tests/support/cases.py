"""Cases of rules: a made-up application goes in, the findings of one rule, or of all, come out."""

from __future__ import annotations

from collections.abc import Sequence

from timelines import App, simulate

from harness.correlate.build import correlate
from harness.diagnose.engine import Diagnosis, diagnose
from harness.diagnose.host import host_of
from harness.diagnose.pool import PoolView, pools_of
from harness.diagnose.rules import HostRule, PoolRule
from harness.model.finding import Cause, Evidence, Finding, Side


def view_of(app: App) -> PoolView:
    """The application's pool."""
    (pool,) = pools_of(correlate(simulate(app)))
    return pool


def findings(rule: PoolRule, app: App) -> Sequence[Finding]:
    """What one rule says, whatever the others would."""
    return rule.check(view_of(app))


def about_machine(rule: HostRule, app: App) -> Sequence[Finding]:
    """What one rule says about the machine that it ran on."""
    timeline = correlate(simulate(app))
    return rule.check(host_of(timeline, pools_of(timeline)))


def judged(app: App) -> Diagnosis:
    """What all of them say together."""
    return diagnose(correlate(simulate(app)))


def causes(app: App) -> set[Cause]:
    """Causes of all findings that are not secondary."""
    return {f.cause for f in judged(app).findings if not f.secondary}


def row(finding: Finding, signal: str) -> Evidence:
    """The one row of evidence of this name."""
    (found,) = [e for e in finding.evidence if e.signal == signal]
    return found


def against(finding: Finding) -> set[str]:
    """Signals that speak against the finding."""
    return {e.signal for e in finding.evidence if e.side is Side.AGAINST}
