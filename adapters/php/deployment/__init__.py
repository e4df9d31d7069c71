"""Xdebug beside an application that already runs: the files, whether they are accepted, whether they work."""
