"""Profile formats more than one language writes."""
