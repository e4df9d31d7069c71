"""Render a report: terminal, JSON, HTML."""
