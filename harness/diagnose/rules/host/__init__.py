"""Rules about the machine and its kernel, one cause in each file."""
