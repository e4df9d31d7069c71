"""The way to a host, by its address."""

from __future__ import annotations

from harness.errors import UsageError
from harness.redact.secrets import without_secrets
from harness.targets.connectors import kubectl, ssh
from harness.targets.connectors.spec import Connector


def connector_to(address: str) -> Connector:
    """For ``ssh://user@host:port`` or ``kubectl://context@namespace/pod/container``. Nothing is done yet. Raises UsageError."""
    scheme = address.partition("://")[0]
    if scheme == "ssh":
        return ssh.SshConnector(ssh.parse_place(address))
    if scheme == "kubectl":
        return kubectl.KubectlConnector(kubectl.parse_address(address))
    shown = "".join(c if c.isprintable() else "?" for c in without_secrets(address))[:120]
    raise UsageError(f"{shown!r} is no address of a host", hint="write ssh://host or kubectl://namespace/pod")
