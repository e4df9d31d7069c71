"""The ledger: what every byte of a process is."""
