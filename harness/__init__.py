"""Application memory-profiling harness for PHP and Python services."""

__version__ = "0.1.0"
