"""Language adapters and the profile formats they share. Never installed into a target."""
