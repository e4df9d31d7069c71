"""Programs kept on another host: started there, heard over a line that may break, ended and removed with all their files.

``keeper`` runs there, behind the line; ``link`` is what the line starts; ``line`` is the end at home, a process of its own
that runs
``ssh`` and begins again when that ends. What they say to each other is in ``frames``, what has not arrived yet is in a ``spool``.
Standard library and Python 3.8 syntax like everything that goes over: ``docs/remote.md`` is the contract.
"""
