"""Container engines, docker and podman, asked by their API's socket or by their command."""
