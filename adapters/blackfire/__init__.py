"""A Blackfire-compatible local receiver: what Blackfire's genuine probes talk to instead of the vendor's daemon, on this machine,
without an account. Shared by the language adapters; see docs/blackfire.md."""
