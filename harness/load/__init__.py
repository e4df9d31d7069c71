"""The load generator: its own process, driven over a pipe."""
