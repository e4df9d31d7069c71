"""The sampler: its own process, standard library only, Python 3.8 syntax."""
