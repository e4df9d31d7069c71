"""The run directory and its SQLite database: one writer, many readers."""
