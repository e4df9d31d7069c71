"""Two runs, or two sets of runs, held against each other; and many runs in order. Pure: from `Report`s to a `Comparison`."""
