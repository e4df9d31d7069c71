"""One exporter a file; each is ``export(report) -> bytes``, pure, and gives the same bytes for the same report."""
