"""What a target may live in: this machine, other hosts, containers of either."""
