"""The scenario file: schema and reader."""
