"""The sampler: its own process, standard library only, Python 3.8 syntax.

``python -m harness.sampling`` speaks the protocol of ``docs/architecture.md`` on its standard streams; what it reads and
what it leaves out is described in ``docs/sampling.md``. Imports inside this package are relative, so that the same source
runs from a checkout, a wheel or an archive sent to another host.
"""
