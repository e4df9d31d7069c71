"""What may leave a machine, and what must not: the one place that decides what of a text is a secret. Pure, no imports but the
standard library, Python 3.8 syntax: the sampler takes it along.

`secrets` masks what looks like a secret in any text, wherever it is shown. `sharing` does that and more for texts that are given
to others: names of hosts and users, addresses and values get pseudonyms. Masking too much can be undone by looking at the
machine; a leaked secret cannot.
"""
