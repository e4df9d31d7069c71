"""nginx before several servers, as a user's load balancer."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from processes import free_port, wait_for

from harness.targets.ready import probe


@contextmanager
def balancer(directory: Path, routes: Mapping[str, str]) -> Iterator[str]:
    """By the beginning of the path. One of the servers answers /health."""
    address = f"127.0.0.1:{free_port()}"
    locations = "".join(f"location {path} {{ proxy_pass {url}; }} " for path, url in routes.items())
    (directory / "nginx.conf").write_text(
        f"daemon off; pid {directory}/pid; error_log {directory}/error.log; worker_processes 1; events {{}} "
        f"http {{ access_log off; client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; "
        f"server {{ listen {address}; {locations} }} }}\n"
    )
    words = ["nginx", "-e", str(directory / "error.log"), "-c", str(directory / "nginx.conf")]
    server = subprocess.Popen(words, env={"PATH": f"{os.environ['PATH']}:/usr/sbin"})
    try:
        wait_for(lambda: probe(f"http://{address}/health") is None, "nginx")
        yield f"http://{address}"
    finally:
        server.terminate()
        server.wait()
