"""Start, find, watch and stop the processes under test."""
