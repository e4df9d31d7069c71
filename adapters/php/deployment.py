"""Files that give an existing nginx and php-fpm an Xdebug for single requests, at no cost for all others. The texts are pure.

Xdebug's profile mode doubles the time of every request even when it is not triggered, and it can only be set for a whole
master. So a second master has it, and nginx sends requests with a secret cookie there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from adapters.php.accounts import Account, account_of
from adapters.php.fpm import PoolConfig, render_fpm
from adapters.php.ini import quoted_path, render_ini
from adapters.php.installed import inspect_php
from adapters.php.nginx import TRIGGER_COOKIE
from adapters.php.xdebug import settings_of
from adapters.php.xdebug_tools import PROFILE
from harness.errors import UsageError
from harness.plugins.spec import Site


@dataclass(frozen=True, slots=True)
class DeploymentPlan:
    """``upstream``: what nginx passes to now, ``unix:/path`` or ``host:port``. ``account``: of the existing pool.

    ``directory`` is where the files will be put. ``load_xdebug``: php.ini does not load it already. ``secret``: at least 16
    letters, digits, ``_`` or ``-``.
    """

    fpm: str
    upstream: str
    account: Account
    directory: Path
    output_dir: Path
    socket: Path
    secret: str
    load_xdebug: bool


def plan_for(site: Site) -> DeploymentPlan:
    """The plan for the php-fpm that ``site.pid`` is a worker of. Raises UsageError when it cannot be looked at."""
    process = Path("/proc") / str(site.pid)
    try:
        fpm = str((process / "exe").readlink())
        owner = process.stat()
    except OSError as error:
        raise UsageError(f"cannot look at process {site.pid}: {error.strerror}", hint="run as root") from error
    return DeploymentPlan(
        fpm=fpm,
        upstream=site.upstream,
        account=account_of(owner.st_uid, owner.st_gid),
        directory=site.directory,
        output_dir=Path("/var/lib/harness-xdebug"),
        socket=Path("/run/harness-xdebug.sock"),
        secret=site.secret,
        load_xdebug=inspect_php([fpm]).xdebug is None,
    )


def deployment_files(plan: DeploymentPlan) -> dict[str, str]:
    """Name to text, all to be put into ``plan.directory``; README.txt tells the steps. Raises UsageError."""
    if (
        len(plan.secret) < 16
        or not plan.secret.replace("_", "").replace("-", "").isalnum()
        or not plan.secret.isascii()
    ):
        raise UsageError("the secret needs at least 16 letters, digits, _ or -", hint="openssl rand -hex 16")
    if any(c in plan.upstream for c in " \"'\\$;{}\n"):
        raise UsageError(f"{plan.upstream!r} is not what nginx passes to", hint="unix:/path/to.sock or host:port")
    pool = PoolConfig(
        pool="xdebug",
        listen=plan.socket,
        workers=2,
        account=plan.account,
        pid_file=plan.socket.with_suffix(".pid"),
        log_file=plan.output_dir / "php-fpm.log",
        ping="/.harness/ping-xdebug",
        admin_values={"max_execution_time": "0"},
    )
    socket = quoted_path(plan.socket).strip('"')
    return {
        "php-fpm-xdebug.conf": render_fpm(pool),
        "ini/harness-xdebug.ini": render_ini(settings_of(PROFILE, plan.output_dir, plan.secret, load=plan.load_xdebug)),
        "nginx-map.conf": (
            "# Inside http { }; then write `fastcgi_pass $harness_php;` in the location that runs PHP.\n"
            f"map $cookie_{TRIGGER_COOKIE} $harness_php {{\n"
            f'    default "{plan.upstream}";\n'
            f'    "{plan.secret}" "unix:{socket}";\n'
            "}\n"
        ),
        "harness-xdebug.service": (
            "[Unit]\nDescription=php-fpm with Xdebug for profiled requests\n\n[Service]\n"
            f"Environment=PHP_INI_SCAN_DIR=:{plan.directory / 'ini'}\n"
            "UnsetEnvironment=XDEBUG_MODE XDEBUG_TRIGGER XDEBUG_PROFILE XDEBUG_SESSION\n"
            f"ExecStart={plan.fpm} -F -y {plan.directory / 'php-fpm-xdebug.conf'}\n"
        ),
        "scenario-part.yaml": (
            "target:\n  runtime: php\n  php:\n    xdebug:\n"
            '      secret: "${XDEBUG_SECRET}"\n'
            f'      output_dir: "{plan.output_dir}"\n'
        ),
        "README.txt": _readme(plan),
    }


def _readme(plan: DeploymentPlan) -> str:
    return f"""\
Profiling single requests of this server with Xdebug
====================================================
1. Keep these files private, they hold the secret: chown -R root: {plan.directory} && chmod -R go= {plan.directory}
2. Make the directory for profiles: install -d -m 0700 -o {plan.account.user} -g {plan.account.group} {plan.output_dir}
3. Start the second master: cp {plan.directory}/harness-xdebug.service /etc/systemd/system/ && systemctl daemon-reload \\
   && systemctl start harness-xdebug
4. Include nginx-map.conf inside http {{ }}, pass PHP to $harness_php instead of {plan.upstream},
   then: nginx -t && nginx -s reload
5. Put scenario-part.yaml into the scenario, and the secret into the environment variable XDEBUG_SECRET.

The main master needs no Xdebug. Where the distribution loads it for everything, give that service Environment=XDEBUG_MODE=off:
its default mode makes every request twice as slow.
A profile takes 10 to 200 MB and ten times the time of the request. Stop the service when you are done.
"""
