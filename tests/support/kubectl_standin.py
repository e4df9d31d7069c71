"""``kubectl exec`` as its reference documents it, with this machine as the only pod, or what ``KUBECTL_INTO`` gets into: for the
contract of what we ask of it.

Options before and after ``exec`` with ``=``, a pod, ``--``, the command word for word; standard streams are the command's; what
the command ends with is what it ends with, and it says so; 1 and a word from the server when there is no such pod or container.
"""

from __future__ import annotations

import os
import subprocess
import sys

POD, CONTAINERS, NAMESPACES, CONTEXTS = "shop-7d4b9c-x2x", ("web", "side.car"), ("default", "staging"), ("kind-test",)


def main(argv: list[str]) -> int:
    known = {"--context": CONTEXTS, "--namespace": NAMESPACES}
    while argv and argv[0] != "exec":
        name, equals, value = argv.pop(0).partition("=")
        if not equals or name not in known:
            return say(f"error: unknown flag: {name}")
        if value not in known[name]:
            return say(f'error: context "{value}" does not exist' if name == "--context" else _no_pod())
    if argv[:2] != ["exec", "--stdin"]:
        return say("error: this stand-in knows exec --stdin only")
    argv = argv[2:]
    if argv[0].startswith("--container="):
        name = argv.pop(0).partition("=")[2]
        if name not in CONTAINERS:
            return say(f"error: unable to upgrade connection: container not found ({name})")
    else:
        say(f'Defaulted container "{CONTAINERS[0]}" out of: {", ".join(CONTAINERS)}')
    if argv[0] != POD:
        return say(_no_pod())
    if argv[1] != "--":
        return say("error: exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] instead")
    code = subprocess.run([*os.environ.get("KUBECTL_INTO", "").split(), *argv[2:]], check=False).returncode
    if code:
        say(f"command terminated with exit code {code}")
    return code


def _no_pod() -> str:
    return 'Error from server (NotFound): pods "there" not found'


def say(text: str) -> int:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
