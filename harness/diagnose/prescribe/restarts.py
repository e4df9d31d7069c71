"""The simulated restart policies as names and texts that rules may use."""

from __future__ import annotations

from collections.abc import Mapping

from harness.diagnose.prescribe.language import Value
from harness.model.report import RecyclingPolicy, RecyclingRow
from harness.units import format_bytes, format_duration


def of_recycling(row: RecyclingRow) -> Mapping[str, Value]:
    """What the simulated policies say."""
    never = row.policies[0]
    best = None if row.chosen is None else row.policies[row.chosen]
    limit = next((p for p in row.policies if p.limit_bytes is not None), None)
    found: dict[str, Value] = {
        "recycling_table": recycling_table(row),
        "recycling_pays": best is not None,
        "recycling_policy": "none" if best is None else best.policy,
        "recycling_horizon_s": row.horizon_s,
        "cold_start_s": row.cold_start_s,
        "recycling_limit_bytes": None if limit is None else limit.limit_bytes,
    }
    if best is not None:
        found.update(
            {
                "recycling_requests": best.requests,
                "recycling_jitter_requests": best.jitter,
                "recycling_peak_bytes": best.peak_bytes,
                "recycling_average_bytes": best.average_bytes,
                "recycling_saved_bytes": never.peak_bytes - best.peak_bytes,
                "recycling_starts_per_hour": best.cold_starts_per_hour,
            }
        )
    return found


def recycling_table(row: RecyclingRow) -> str:
    """The policies as lines of text, the chosen one marked."""
    cold = "" if row.cold_start_s is None else f", each {format_duration(row.cold_start_s * 1e9)} of extra waiting"
    lines = [
        f"Simulated on the measured memory of {row.workers} workers: {format_bytes(row.fresh_bytes)} at the start, "
        f"{format_bytes(row.warm_bytes)} when warm, then {format_bytes(row.growth_bytes_per_request)} more with each request"
        f"{cold}:"
    ]
    for index, policy in enumerate(row.policies):
        lines.append(f"{'>' if index == row.chosen else '-'} {_policy_text(policy, row.horizon_s)}")
    return "\n".join([*lines, f"{row.reason[:1].upper()}{row.reason[1:]}."])


def _policy_text(policy: RecyclingPolicy, horizon_s: float) -> str:
    """One of them as a line."""
    memory = f"{format_bytes(policy.average_bytes)} on average, {format_bytes(policy.peak_bytes)} at most"
    if policy.policy == "none":
        full = policy.hours_to_budget
        end = "" if full is None else f"; more than there is after {format_duration(full * 3.6e12)}"
        return f"{policy.text}: {memory} within {format_duration(horizon_s * 1e9)} of this traffic{end}"
    return f"{policy.text}: {memory}, {_few_digits(policy.cold_starts_per_hour)} cold starts an hour"


def _few_digits(number: float) -> str:
    """Three digits of it, and never 1.61e+03."""
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"
