"""A shop of ten pages. What it keeps beyond its bounded caches is said in the file that SPECIMEN names: see `settings`."""
