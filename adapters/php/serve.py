"""php-fpm behind nginx for one run: a measured master, masters with Xdebug for the profiled pass, and the routes between."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from adapters.php import xdebug
from adapters.php.accounts import Account, pool_account
from adapters.php.agent_files import install_agent, make_directory, place
from adapters.php.fpm import PoolConfig, render_fpm
from adapters.php.ini import render_ini
from adapters.php.installed import find_fpm, find_program, inspect_php, with_xdebug
from adapters.php.launch import make_output, no_xdebug
from adapters.php.nginx import PING_MAIN, NginxConfig, Route, render_nginx
from adapters.php.options import Serve
from adapters.php.state import Places, State, write_state
from adapters.php.xdebug_tools import XdebugTool, chosen
from harness.errors import TargetError
from harness.plugins.spec import AdapterContext, LaunchPlan, Prepared, Stage

_SOCKET_PATH_LIMIT = 100  # sun_path holds 107 bytes
_XDEBUG_WORKERS = 2  # one is enough for us, the second for applications that call themselves
_PREPEND_LINE = re.compile(r"^\s*auto_prepend_file\s*=\s*(.*?)\s*$", re.MULTILINE)
_USER_INI_LIMIT = 65536


def serve_account(places: Places, serve: Serve) -> Account:
    """Who runs the workers: see `pool_account`."""
    needed = [serve.docroot, places.root]
    if serve.front_controller is not None and (serve.docroot / serve.front_controller).is_file():
        needed.append(serve.docroot / serve.front_controller)
    return pool_account(needed)


def prepare_serve(context: AdapterContext, places: Places, serve: Serve) -> Prepared:
    """Write all configuration and return the programs: php-fpm, nginx, and one more php-fpm for each tool of Xdebug."""
    fpm, nginx = find_fpm(), find_program("nginx")
    if fpm is None or nginx is None:
        raise TargetError(
            f"{'php-fpm' if fpm is None else 'nginx'} is not installed", hint="apt-get install php-fpm nginx"
        )
    account = serve_account(places, serve)
    make_directory(places.root, 0o711)
    routes = {
        tool: Route(tool.name, tool.secret(context.token), _socket(places, f"{tool.name}.sock"))
        for tool in chosen(context.tools)
    }
    plans = [_main(places, serve, account, fpm), _nginx(places, serve, account, nginx, tuple(routes.values()))]
    if routes:
        found = with_xdebug((fpm,), xdebug.ON_ENV)
        if found is None:
            raise no_xdebug(inspect_php((fpm,)))
        build, load = found
        for tool, route in routes.items():
            make_output(places, tool, (account.uid, account.gid))
            settings = xdebug.settings_of(tool, places.output(tool.name), route.secret, load=load, version=build.xdebug)
            plans.append(_profile(places, serve, account, fpm, tool, route, settings))
    write_state(places, State(tools=tuple(route.tool for route in routes.values())))
    return Prepared(tuple(plans), f"http://{serve.listen}")


def _main(places: Places, serve: Serve, account: Account, fpm: str) -> LaunchPlan:
    directives = inspect_php((fpm,)).directives
    chain = existing_prepend(serve, directives)
    # As an administrator's value it also wins over a .user.ini, which a security plugin may use for its own prepend file.
    prepend = install_agent(places, chain, owner=(account.uid, account.gid)).prepend
    admin = {"auto_prepend_file": str(prepend)}
    basedir = serve.ini.get("open_basedir") or directives.get("open_basedir")
    if basedir:
        admin["open_basedir"] = f"{basedir}:{prepend.parent}/:{places.records}/"
    settings = {name: value for name, value in serve.ini.items() if name not in admin}
    pool = PoolConfig(
        pool="www",
        listen=_socket(places, "main.sock"),
        workers=serve.workers,
        account=account,
        pid_file=places.root / "php-fpm.pid",
        log_file=places.root / "php-fpm.log",
        ping=PING_MAIN,
        access_log=places.root / "access.log",
        admin_values=admin,
    )
    env = {**xdebug.OFF_ENV, **_ini_files(places.ini_main, settings)}
    return _fpm_plan("php-fpm", fpm, place(places.root / "php-fpm.conf", render_fpm(pool)), account, env, places)


def _profile(
    places: Places,
    serve: Serve,
    account: Account,
    fpm: str,
    tool: XdebugTool,
    route: Route,
    settings: Mapping[str, str],
) -> LaunchPlan:
    name = f"php-fpm-{tool.name}"
    pool = PoolConfig(
        pool=tool.name,
        listen=route.socket,
        workers=_XDEBUG_WORKERS,
        account=account,
        pid_file=places.root / f"{name}.pid",
        log_file=places.root / f"{name}.log",
        ping=route.ping,
        access_log=places.log(tool.name),
        admin_values={"max_execution_time": "0"},
    )
    env = {**xdebug.ON_ENV, **_ini_files(places.ini(tool.name), {**serve.ini, **settings})}
    conf = place(places.root / f"{name}.conf", render_fpm(pool))
    return _fpm_plan(name, fpm, conf, account, env, places, Stage.PROFILE, f"http://{serve.listen}{route.ping}")


def _nginx(places: Places, serve: Serve, account: Account, nginx: str, routes: Sequence[Route]) -> LaunchPlan:
    state = places.root / "nginx"
    make_directory(state, 0o711)
    config = NginxConfig(
        listen=serve.listen,
        docroot=serve.docroot,
        front_controller=serve.front_controller,
        main=_socket(places, "main.sock"),
        routes=routes,
        account=account,
        state_dir=state,
    )
    path = place(places.root / "nginx.conf", render_nginx(config), 0o600)
    return LaunchPlan(
        "nginx",
        (nginx, "-c", str(path), "-p", str(state)),
        cwd=places.root,
        measured=False,
        ready=f"http://{serve.listen}{PING_MAIN}",  # answered by php-fpm itself, through nginx
    )


def _fpm_plan(
    name: str, fpm: str, conf: Path, account: Account, env: Mapping[str, str | None], places: Places,
    stage: Stage = Stage.MAIN, ready: str | None = None,
) -> LaunchPlan:  # fmt: skip
    as_root = ("-R",) if account.switch and account.uid == 0 else ()
    argv = (fpm, "-F", "-O", *as_root, "-y", str(conf))
    return LaunchPlan(name, argv, env, places.root, measured=stage is Stage.MAIN, stage=stage, ready=ready)


def _ini_files(directory: Path, settings: Mapping[str, str]) -> Mapping[str, str]:
    """Put the settings into a scan directory of ours, which is read after PHP's own; returns the environment for it."""
    make_directory(directory, 0o700)  # read by the master before it changes its user; holds the secret
    place(directory / "harness.ini", render_ini(settings), 0o600)
    return xdebug.scan_dir_env(directory, os.environ.get("PHP_INI_SCAN_DIR"))


def _socket(places: Places, name: str) -> Path:
    """A socket path that fits the kernel's limit however deep the run directory is: all programs run in ``places.root``."""
    path = places.root / name
    return path if len(os.fsencode(path)) <= _SOCKET_PATH_LIMIT else Path("/proc/self/cwd") / name


def existing_prepend(serve: Serve, directives: Mapping[str, str]) -> str | None:
    """The auto_prepend_file the application has without us: from .user.ini, the scenario's ini, or php.ini."""
    from_user_ini = None
    try:
        with open(serve.docroot / ".user.ini", encoding="utf-8", errors="surrogateescape") as file:
            found = _PREPEND_LINE.findall(file.read(_USER_INI_LIMIT))
        from_user_ini = found[-1].strip("\"'") if found else None
    except OSError:
        pass
    chain = from_user_ini or serve.ini.get("auto_prepend_file") or directives.get("auto_prepend_file")
    return chain if chain and chain != "none" else None
