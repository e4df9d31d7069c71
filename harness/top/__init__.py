"""Who uses the memory of this machine right now, for people at a terminal and for scripts: ``harness top``.

``look`` reads, ``terminal`` and ``live`` talk to the terminal; everything between them is pure: looks -> rows -> text or JSON.
"""
