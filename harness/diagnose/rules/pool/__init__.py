"""Rules about one pool of processes, one cause (or family of causes) in each file."""
