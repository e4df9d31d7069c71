"""What this machine and user will get: one real sweep of the sampler, and what stands in the way of the rest. Changes nothing.

What is missing, why, and what it costs are the sampler's own words, so a run cannot disagree; the fixes are found here.
"""
