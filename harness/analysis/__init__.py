"""Turn a run directory into a report; needs no live process."""
