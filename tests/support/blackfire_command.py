"""A stand-in for the ``blackfire`` command, made from what its documentation says. It profiles nothing: it runs the program and
tells what the test has put into a file. Nothing of the vendor's is in it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

UUID = "0d1f3a52-6d5b-4d26-9a0c-7a1c3ff0a001"
ENVELOPE = {"ct": 3, "wt": 5000, "cpu": 4000, "io": 1000, "nw": 0, "mu": 1_100_000, "pmu": 4_400_000}
OLD_SHAPE = {
    "label": "x", "id": UUID, "envelope": ENVELOPE, "status": {"name": "finished", "failure_reason": None, "code": 64},
    "_links": {"graph_url": {"href": f"https://blackfire.io/profiles/{UUID}/graph"}}, "arguments": [],
}  # fmt: skip
NEW_SHAPE = {"profile": {"uuid": UUID, "data": {"envelope": ENVELOPE}}}
EDGES = [
    {"caller": "main()", "callee": "App::leak", "cost": {"ct": 1, "wt": 900, "cpu": 800, "mu": 1_090_000, "pmu": 20}},
    {
        "caller": "main()",
        "callee": "transient",
        "cost": {"ct": 2, "wt": 3000, "cpu": 2500, "mu": 300, "pmu": 4_300_000},
    },
]
HELP = {"commands": [{"name": name} for name in ("client:run", "client:curl", "profile:show", "profile:graph")]}
_PROGRAM = """#!{python}
import json, os, subprocess, sys
words = sys.argv[1:]
with open({log!r}, "a") as log:
    log.write(json.dumps(words) + "\\n")
told = json.load(open({told!r}))
if words[0] in ("run", "curl"):
    flags = {{"--json": 0, "--env": 1, "--title": 1}}
    at = 1
    while words[at] in flags:
        at += 1 + flags[words[at]]
    code = subprocess.run(words[at:]).returncode if words[0] == "run" else 0
    print("Profiling: [########] 100%", file=sys.stderr)
    said = told[words[0]]
    if isinstance(said, str):
        print(said, file=sys.stderr)
        sys.exit(code or 1)
    print(json.dumps(said, indent=2))
    sys.exit(code)
said = told.get(" ".join(words[:1]))
if isinstance(said, list):  # exit status, and what goes to stderr
    print(json.dumps(said[1]), file=sys.stderr)
    sys.exit(said[0])
print(json.dumps(said))
"""


class StandInCommand:
    """The executable in a directory of its own; ``tell`` changes what it says from then on."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._log, self._told = directory / "log", directory / "told.json"
        self.told: dict[str, object] = {
            "help": HELP, "run": OLD_SHAPE, "curl": NEW_SHAPE, "profile:show": NEW_SHAPE, "profile:graph": {"edges": EDGES}
        }  # fmt: skip
        self.tell()
        program = directory / "blackfire"
        program.write_text(_PROGRAM.format(python=sys.executable, log=str(self._log), told=str(self._told)))
        program.chmod(0o755)

    def tell(self, **said: object) -> None:
        """Names with ``_`` for ``:``."""
        self.told |= {name.replace("_", ":"): value for name, value in said.items()}
        self._told.write_text(json.dumps(self.told))

    def calls(self) -> list[list[str]]:
        """Its command lines so far."""
        return [json.loads(line) for line in self._log.read_text().splitlines()]
