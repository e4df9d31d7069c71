"""The profiled pass: which profilers, on which requests or commands."""
