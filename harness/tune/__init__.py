"""The kernel's parameters that matter for memory: how they stand, what this machine's own measurements say about them, and how to
change one and take it back. Reads, explains, and never sets anything: ``harness tune``.

``look`` and ``origins`` read this machine, ``recorded`` takes a run apart; everything behind them is pure: a `Host` goes in, an
`Entry` for each parameter comes out, ``text`` and ``json_`` show them. A parameter is an object in ``parameters/`` and a text of
the same name in ``texts/``.
"""
