"""Python services: agent injection, per-request records, triggered tools."""
