"""A directory with everything that a Locust worker on another machine needs to send a scenario's traffic.

It holds our own modules as they are here (standard library only, beside what Locust brings), a locustfile, and the plan without
the values of constants, which may be secrets: a worker takes those from its environment.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path, PurePosixPath

from harness.load.plan import LoadPlan, check_base_url

# Run by a Python with Locust on another host: unpacks what it reads, works from there for the master that the next line names
# (`package`), and leaves nothing behind. Without single quotes and exclamation marks, so that every login shell hands it on as it
# is.
_UNPACK = """
import hashlib, io, os, shutil, subprocess, sys, tempfile, zipfile
def take(n):
    data = b""
    while len(data) < n:
        more = os.read(0, n - len(data))
        if not more:
            sys.exit("the line broke")
        data += more
    return data
head = take(80).decode()
data = take(int(head[:16], 16))
if not hashlib.sha256(data).hexdigest() == head[16:]:
    sys.exit("the archive arrived damaged")
master = b""
while not master.endswith(b"\\n"):
    master += take(1)
master = master.decode().split()
place = tempfile.mkdtemp(prefix="harness-load-")
try:
    zipfile.ZipFile(io.BytesIO(data)).extractall(place)
    words = [sys.executable, "-P", "-m", "locust", "-f", place + "/locustfile.py", "--worker", "--loglevel", "WARNING"]
    env = dict(os.environ, HARNESS_LOAD_ORDER="stdin")
    if len(master) == 1:
        env["HARNESS_LOAD_SOCKET"] = master[0]
    else:
        words += ["--master-host", master[0], "--master-port", master[1]]
    sys.exit(subprocess.call(words, env=env, cwd=place))
finally:
    shutil.rmtree(place, ignore_errors=True)
"""
BOOTSTRAP = f"exec({json.dumps(_UNPACK)})"
LOCUSTFILE, HOOKS, PLAN = "locustfile.py", "harness_hooks.py", "plan.json"
_LOAD = (
    "__init__",
    "cookies",
    "exchange",
    "inspect_body",
    "pipe",
    "plan",
    "plan_json",
    "render",
    "schedule",
    "template",
    "user",
)
_SWARM = ("__init__", "crew", "gevent_client", "member", "private", "wire")
_MODEL = ("__init__", "span")


def write_plan(directory: Path, plan: LoadPlan, base_url: str | None = None) -> None:
    """Write what sends a scenario: ``locust -f DIRECTORY/locustfile.py --worker``.

    ``base_url``: the target as those machines see it. ValueError when that is no address; OSError when it cannot be written.
    """
    data = plan.to_json()
    if base_url is not None:
        check_base_url(base_url)
        data["base_url"] = base_url
    data["variables"] = dict.fromkeys(sorted(plan.variables), "")
    _write_modules(directory)
    (directory / PLAN).write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    (directory / LOCUSTFILE).write_text(_source(PurePosixPath("load/swarm") / LOCUSTFILE), encoding="utf-8")


def write_hooks(directory: Path) -> None:
    """Write what watches somebody's own locustfile: ``locust -f DIRECTORY/harness_hooks.py,theirs.py --worker``.

    Raises OSError.
    """
    _write_modules(directory)
    (directory / HOOKS).write_text(_source(PurePosixPath("load/swarm") / HOOKS), encoding="utf-8")


def package(master: str) -> bytes:
    """What `BOOTSTRAP` wants to read first: all of `write_plan` but the plan, which follows as an order on the same pipe.

    ``master``: where the worker finds it there, ``HOST PORT`` or the path of a socket.
    """
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for module in _modules():
            packed.writestr(f"harness/{module}", _source(module))
        packed.writestr(LOCUSTFILE, _source(PurePosixPath("load/swarm") / LOCUSTFILE))
    data = archive.getvalue()
    return f"{len(data):016x}{hashlib.sha256(data).hexdigest()}".encode("ascii") + data + f"{master}\n".encode()


def _write_modules(directory: Path) -> None:
    for module in _modules():
        path = directory / "harness" / module
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_source(module), encoding="utf-8")


def _modules() -> Iterator[PurePosixPath]:
    yield PurePosixPath("__init__.py")
    for package, names in (("load", _LOAD), ("load/swarm", _SWARM), ("model", _MODEL)):
        for name in names:
            yield PurePosixPath(package) / f"{name}.py"


def _source(module: PurePosixPath) -> str:
    return files("harness").joinpath(*module.parts).read_text(encoding="utf-8")
