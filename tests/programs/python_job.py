"""A script that keeps a known number of bytes until it ends."""

kept = bytearray(b"x" * 500_000)
freed = [bytes(1000) for _ in range(1000)]
del freed
