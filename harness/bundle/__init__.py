"""A run as one file that may be given to others, and such a file as a run again.

`pack` makes it: every row of the database and every profile goes through `harness.redact.sharing.Sharing` (`rows`, `scenario`).
`container` writes and reads the file, `contents` says what is in it and what was taken out, `unpack` opens one from anybody.
"""
