"""Join spans, workers, samples and profiles on one clock. Pure."""
