"""Whether php-fpm and nginx take the files of a deployment: asked under other paths, nothing is put into service."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from adapters.php.deployment.files import DeploymentPlan, command_of, deployment_files, scan_dirs
from adapters.php.ini import quoted_path
from adapters.php.installed import find_program, inspect_php
from adapters.php.xdebug.settings import ON_ENV
from adapters.php.xdebug.tools import TOOLS
from adapters.php.xdebug.version2 import is_xdebug_2
from harness.errors import TargetError

_TIMEOUT_S = 30
_SAID_CAP = 400


def try_deployment(plan: DeploymentPlan) -> None:
    """Raises TargetError with what php-fpm, Xdebug or nginx has against it. What is not installed here is not asked."""
    with tempfile.TemporaryDirectory(prefix="harness-deployment-") as directory:
        home = Path(directory)
        for name in ("files", "out", "log", "run"):
            (home / name).mkdir()
        tried = replace(
            plan,
            directory=home / "files",
            output_dir=home / "out",
            log_dir=home / "log",
            socket=home / "run" / "fpm.sock",
        )
        for name, text in deployment_files(tried).items():
            path = tried.directory / name
            path.parent.mkdir(exist_ok=True)
            path.touch(mode=0o600)
            path.write_text(text)
        _try_fpm(tried)
        _try_nginx(tried, home)


def _try_fpm(plan: DeploymentPlan) -> None:
    for tool in TOOLS.values():
        env = {**ON_ENV, "PHP_INI_SCAN_DIR": scan_dirs(plan, tool)}
        _ask((*command_of(plan, tool), "-t"), env)
        build = inspect_php((plan.fpm, *plan.configuration), env)
        if build.xdebug is None:
            raise TargetError(f"{plan.fpm} does not load Xdebug with the generated {tool.mode} configuration")
        mode = build.directives.get("xdebug.mode")
        if not is_xdebug_2(build.xdebug) and mode != tool.mode:
            raise TargetError(
                f"xdebug.mode is {mode!r} under the generated configuration, {tool.mode!r} was written",
                hint="is XDEBUG_MODE set, or is another ini file read after it?",
            )


def _try_nginx(plan: DeploymentPlan, home: Path) -> None:
    nginx = find_program("nginx")
    if nginx is None:
        return
    config = home / "nginx.conf"
    include = {name: quoted_path(plan.directory / name) for name in ("nginx-map.conf", "nginx-location.conf")}
    temporary = " ".join(
        f"{kind}_temp_path {quoted_path(home / kind)};" for kind in ("client_body", "fastcgi", "proxy", "scgi", "uwsgi")
    )
    config.write_text(
        f"pid {quoted_path(home / 'nginx.pid')}; error_log stderr; events {{}}\n"
        f"http {{ access_log off; {temporary} include {include['nginx-map.conf']};\n"
        f"server {{ listen {quoted_path(home / 'run' / 'web.sock').replace(chr(34), chr(34) + 'unix:', 1)};\n"
        f"location / {{ fastcgi_param SCRIPT_FILENAME /x; include {include['nginx-location.conf']}; }} }} }}\n"
    )
    _ask((nginx, "-t", "-c", str(config), "-p", str(home)), {})


def _ask(command: Sequence[str], changes: Mapping[str, str | None]) -> None:
    env = {name: value for name, value in {**os.environ, **changes}.items() if value is not None}
    try:
        done = subprocess.run(
            command, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TargetError(f"cannot run {command[0]}: {error}") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()[-_SAID_CAP:]
        raise TargetError(f"{Path(command[0]).name} does not take the generated configuration: {said}")
