"""Configuration of a php-fpm master with one static pool. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from adapters.php.accounts import Account
from adapters.php.ini import ini_name, ini_value, quoted_path

STATUS_PATH = "/.harness/status"  # nginx hands nothing on that begins so
# Hostile text (header, address) comes last: php-fpm escapes nothing, see adapters/php/fpm/access_format.py.
ACCESS_FORMAT = "%p %s %{bytes}M %{micro}d %{HTTP_TRACEPARENT}e %m %r"


@dataclass(frozen=True, slots=True)
class PoolConfig:
    """One master, one pool. ``listen`` is a socket path or ``host:port``; ``ping`` the path FPM itself answers.

    ``admin_values`` are php.ini settings that neither .user.ini nor the application can change.
    """

    pool: str
    listen: Path | str
    workers: int
    account: Account
    pid_file: Path
    log_file: Path
    ping: str
    access_log: Path | None = None
    access_format: str = ACCESS_FORMAT
    admin_values: Mapping[str, str] = field(default_factory=dict)


def render_fpm(config: PoolConfig) -> str:
    """The text of a php-fpm.conf. Raises UsageError for paths it cannot hold."""
    listen = config.listen if isinstance(config.listen, str) else quoted_path(config.listen)
    lines = [
        "[global]",
        f"pid = {quoted_path(config.pid_file)}",
        f"error_log = {quoted_path(config.log_file)}",
        "daemonize = no",
        "",
        f"[{config.pool}]",
        f"listen = {listen}",
    ]
    if config.account.switch:
        lines += [f"user = {config.account.user}", f"group = {config.account.group}"]
        if isinstance(config.listen, Path):
            lines += [f"listen.owner = {config.account.user}", f"listen.group = {config.account.group}"]
    if isinstance(config.listen, Path):
        lines += ["listen.mode = 0600"]
    lines += [
        "pm = static",
        f"pm.max_children = {config.workers}",
        f"ping.path = {config.ping}",
        f"pm.status_path = {STATUS_PATH}",
        "clear_env = no",
        "catch_workers_output = yes",
        "decorate_workers_output = no",
        "request_terminate_timeout = 0",
    ]
    if config.access_log is not None:
        lines += [f"access.log = {quoted_path(config.access_log)}", f'access.format = "{config.access_format}"']
    lines += [f"php_admin_value[{ini_name(name)}] = {ini_value(value)}" for name, value in config.admin_values.items()]
    return "\n".join(lines) + "\n"
