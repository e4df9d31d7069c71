"""Labelled applications: each has one known defect (or none), is recorded by `harness run` and judged by `harness report`."""
