"""Sends requests to several servers. Usage: ask_nodes.py COUNT URL..."""

from __future__ import annotations

import sys
from http.client import HTTPConnection
from urllib.parse import urlsplit

for url in sys.argv[2:]:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc)
    for _ in range(int(sys.argv[1])):
        connection.request("GET", f"{parts.path}?{parts.query}")
        assert connection.getresponse().read()
    connection.close()
