"""The live view of a run: bounded history, a pure renderer and a small terminal driver."""
