"""Which endpoint keeps memory: growth of each worker over each block, split by what the worker answered there.

Only differences in the mix tell endpoints apart, so blocks need different mixes (the load generator shuffles the composition
of blocks inside a round). `observations` says what was seen, `levels` by which counters, `regression` and `split` estimate,
`records` looks at single requests, `driving` asks whether it is requests at all, `generations` looks at workers that are
replaced.
"""

from harness.diagnose.attribution.attribute import (
    attribute_levels,
    attribute_metric,
    attribute_private,
    attribute_shared,
)
from harness.diagnose.attribution.generations import GenerationGrowth, attribute_generations
from harness.diagnose.attribution.model import Attribution, Driven, Driver, EndpointGrowth, Measure

__all__ = [
    "Attribution",
    "Driven",
    "Driver",
    "EndpointGrowth",
    "GenerationGrowth",
    "Measure",
    "attribute_generations",
    "attribute_levels",
    "attribute_metric",
    "attribute_private",
    "attribute_shared",
]
