"""php-fpm behind nginx or Apache for one run: a measured master, masters with Xdebug for the profiled pass, routes between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from adapters.php.accounts import Account
from adapters.php.agent_files import install_agent, make_directory, place
from adapters.php.fpm.pool_config import PoolConfig, render_fpm
from adapters.php.installed import find_fpm, find_program, inspect_php, with_xdebug
from adapters.php.launch import make_output, no_xdebug
from adapters.php.options import Serve
from adapters.php.servers.apache import ApacheConfig, Fpm, render_apache
from adapters.php.servers.apache_installed import find_apache
from adapters.php.servers.nginx import PING_MAIN, NginxConfig, Route, render_nginx
from adapters.php.servers.served import (
    XDEBUG_WORKERS,
    admin_values,
    existing_prepend,
    ini_files,
    serve_account,
    socket_path,
)
from adapters.php.state import Places, State, write_state
from adapters.php.xdebug import settings as xdebug
from adapters.php.xdebug.tools import XdebugTool, chosen
from harness.errors import TargetError
from harness.plugins.spec import AdapterContext, LaunchPlan, Prepared, Stage


def prepare_serve(context: AdapterContext, places: Places, serve: Serve) -> Prepared:
    """Write all configuration and return the programs: php-fpm, the web server, and one more php-fpm for each tool of Xdebug."""
    fpm = find_fpm()
    if fpm is None:
        raise TargetError("php-fpm is not installed", hint="apt-get install php-fpm")
    account = serve_account(places, serve)
    make_directory(places.root, 0o711)
    routes = {
        tool: Route(tool.name, tool.secret(context.token), socket_path(places, f"{tool.name}.sock"))
        for tool in chosen(context.tools)
    }
    front = _nginx if serve.web == "nginx" else _apache
    plans = [_main(places, serve, account, fpm), front(places, serve, account, tuple(routes.values()))]
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
    admin = admin_values(places, serve, directives, install_agent(places, chain, owner=(account.uid, account.gid)))
    settings = {name: value for name, value in serve.ini.items() if name not in admin}
    pool = PoolConfig(
        pool="www",
        listen=socket_path(places, "main.sock"),
        workers=serve.workers,
        account=account,
        pid_file=places.root / "php-fpm.pid",
        log_file=places.root / "php-fpm.log",
        ping=PING_MAIN,
        access_log=places.root / "access.log",
        admin_values=admin,
    )
    env = {**xdebug.OFF_ENV, **ini_files(places.ini_main, settings)}
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
        workers=XDEBUG_WORKERS,
        account=account,
        pid_file=places.root / f"{name}.pid",
        log_file=places.root / f"{name}.log",
        ping=route.ping,
        access_log=places.log(tool.name),
        admin_values={"max_execution_time": "0"},
    )
    env = {**xdebug.ON_ENV, **ini_files(places.ini(tool.name), {**serve.ini, **settings})}
    conf = place(places.root / f"{name}.conf", render_fpm(pool))
    plan = _fpm_plan(name, fpm, conf, account, env, places, Stage.PROFILE, f"http://{serve.listen}{route.ping}")
    return replace(plan, tool=tool.name)


def _apache(places: Places, serve: Serve, account: Account, routes: Sequence[Route]) -> LaunchPlan:
    apache = find_apache()
    if apache is None:
        raise TargetError("Apache is not installed", hint="apt-get install apache2")
    state = places.root / "apache"
    make_directory(state, 0o711)
    config = ApacheConfig(
        listen=serve.listen,
        docroot=serve.docroot,
        front_controller=serve.front_controller,
        php=Fpm(socket_path(places, "main.sock"), routes),
        account=account,
        state_dir=state,
        modules=apache.modules,
        there=apache.there,
    )
    path = place(places.root / "apache.conf", render_apache(config), 0o600)
    return _front_plan("apache", (apache.binary, "-DFOREGROUND", "-f", str(path)), places, serve)


def _nginx(places: Places, serve: Serve, account: Account, routes: Sequence[Route]) -> LaunchPlan:
    nginx = find_program("nginx")
    if nginx is None:
        raise TargetError("nginx is not installed", hint="apt-get install nginx")
    state = places.root / "nginx"
    make_directory(state, 0o711)
    config = NginxConfig(
        listen=serve.listen,
        docroot=serve.docroot,
        front_controller=serve.front_controller,
        main=socket_path(places, "main.sock"),
        routes=routes,
        account=account,
        state_dir=state,
    )
    path = place(places.root / "nginx.conf", render_nginx(config), 0o600)
    return _front_plan("nginx", (nginx, "-c", str(path), "-p", str(state)), places, serve)


def _front_plan(name: str, argv: tuple[str, ...], places: Places, serve: Serve) -> LaunchPlan:
    ready = f"http://{serve.listen}{PING_MAIN}"  # answered by php-fpm itself, through the web server
    return LaunchPlan(name, argv, cwd=places.root, measured=False, ready=ready)


def _fpm_plan(
    name: str, fpm: str, conf: Path, account: Account, env: Mapping[str, str | None], places: Places,
    stage: Stage = Stage.MAIN, ready: str | None = None,
) -> LaunchPlan:  # fmt: skip
    as_root = ("-R",) if account.switch and account.uid == 0 else ()
    argv = (fpm, "-F", "-O", *as_root, "-y", str(conf))
    return LaunchPlan(name, argv, env, places.root, measured=stage is Stage.MAIN, stage=stage, ready=ready)
