"""Many runs: a partitioned dataset of small rows, and queries over it. See docs/fleet.md."""
