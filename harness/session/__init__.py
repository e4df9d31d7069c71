"""Record a run: preflight, launch, traffic, profiled pass, seal."""
