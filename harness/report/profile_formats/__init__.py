"""Profiles in the formats of other programs: one module a format, each with an ``EXPORT``. Pure."""
