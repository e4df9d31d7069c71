"""Addresses of hosts as a scenario gives them, and how reports call a host that has no other name. Pure."""

from __future__ import annotations

import re

LOCAL = "local"
SSH = re.compile(
    r"ssh://(?:[A-Za-z0-9_][A-Za-z0-9_.%+-]{0,63}@)?(?P<host>[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?/?"
)
_WORD = r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?"  # RFC 1123, as names of pods are
POD = re.compile(
    rf"kubectl://(?:[A-Za-z0-9][A-Za-z0-9_.:/@-]{{0,252}}@)?{_WORD}/(?P<pod>{_WORD})(?:/{_WORD})?",
)
SSH_PATTERN = f"^{SSH.pattern.replace('?P<host>', '')}$"
HOST_PATTERN = f"^(?:{LOCAL}|{SSH.pattern.replace('?P<host>', '')}|{POD.pattern.replace('?P<pod>', '')})$"


def called(address: str) -> str:
    """The host or the pod of an address, without user, port, namespace and container: two addresses may come to the same."""
    ssh, pod = SSH.fullmatch(address), POD.fullmatch(address)
    place = ssh["host"].strip("[]") if ssh else pod["pod"] if pod else address
    return re.sub(r"[^A-Za-z0-9._-]", "-", place)
