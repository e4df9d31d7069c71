"""PHP inside Apache for one run: a measured server, one more with each tool of Xdebug, and the routes between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from adapters.php.accounts import Account
from adapters.php.agent_files import install_agent, make_directory, place
from adapters.php.installed import inspect_php, with_xdebug
from adapters.php.launch import make_output, no_xdebug
from adapters.php.options import Serve
from adapters.php.servers.apache import ApacheConfig, ModPhp, render_apache
from adapters.php.servers.apache_installed import Apache, find_apache
from adapters.php.servers.served import XDEBUG_WORKERS, admin_values, existing_prepend, ini_files, serve_account
from adapters.php.state import Places, State, write_state
from adapters.php.xdebug import settings as xdebug
from adapters.php.xdebug.tools import XdebugTool, chosen
from harness.errors import TargetError
from harness.plugins.ports import free_port
from harness.plugins.spec import AdapterContext, LaunchPlan, Prepared, Stage

NEEDED = "apt-get install apache2 libapache2-mod-php"


def prepare_mod_php(context: AdapterContext, places: Places, serve: Serve) -> Prepared:
    """Write all configuration and return the servers. Raises TargetError where Apache, mod_php or Xdebug is missing."""
    apache = find_apache()
    if apache is None or apache.library is None:
        raise TargetError("Apache with mod_php is not installed", hint=NEEDED)
    account = serve_account(places, serve)
    make_directory(places.root, 0o711)
    companions = {tool: f"127.0.0.1:{free_port()}" for tool in chosen(context.tools)}
    secrets = {tool: tool.secret(context.token) for tool in companions}
    routes = {secrets[tool]: address for tool, address in companions.items()}
    plans = [_main(places, serve, account, apache, routes)]
    command, env = apache.configuration
    for tool, address in companions.items():
        found = with_xdebug(command, {**env, **xdebug.ON_ENV})
        if found is None:
            raise no_xdebug(inspect_php(command, env))
        build, load = found
        make_output(places, tool, (account.uid, account.gid))
        settings = xdebug.settings_of(tool, places.output(tool.name), secrets[tool], load=load, version=build.xdebug)
        plans.append(_companion(places, serve, account, apache, tool, address, settings))
    write_state(places, State(tools=tuple(tool.name for tool in companions)))
    return Prepared(tuple(plans), f"http://{serve.listen}")


def _main(places: Places, serve: Serve, account: Account, apache: Apache, companions: Mapping[str, str]) -> LaunchPlan:
    command, env = apache.configuration
    directives = inspect_php(command, env).directives
    agent = install_agent(places, existing_prepend(serve, directives), owner=(account.uid, account.gid))
    admin = admin_values(places, serve, directives, agent)
    settings = {name: value for name, value in serve.ini.items() if name not in admin}
    php = ModPhp(_library(apache), serve.workers, companions, admin)
    environment = {**xdebug.OFF_ENV, **ini_files(places.ini_main, settings)}
    ready = f"tcp://{serve.listen}"
    return _plan("apache", serve.listen, places, serve, account, apache, php, environment, Stage.MAIN, ready)


def _companion(
    places: Places, serve: Serve, account: Account, apache: Apache, tool: XdebugTool, address: str,
    settings: Mapping[str, str],
) -> LaunchPlan:  # fmt: skip
    php = ModPhp(_library(apache), XDEBUG_WORKERS, {}, {"max_execution_time": "0"})
    environment = {**xdebug.ON_ENV, **ini_files(places.ini(tool.name), {**serve.ini, **settings})}
    name, ready = f"apache-{tool.name}", f"tcp://{address}"
    plan = _plan(name, address, places, serve, account, apache, php, environment, Stage.PROFILE, ready)
    return replace(plan, tool=tool.name)


def _plan(
    name: str, listen: str, places: Places, serve: Serve, account: Account, apache: Apache, php: ModPhp,
    env: Mapping[str, str | None], stage: Stage, ready: str,
) -> LaunchPlan:  # fmt: skip
    state = places.root / name
    make_directory(state, 0o711)
    config = ApacheConfig(
        listen=listen,
        docroot=serve.docroot,
        front_controller=serve.front_controller,
        php=php,
        account=account,
        state_dir=state,
        modules=apache.modules,
        there=apache.there,
    )
    path = place(places.root / f"{name}.conf", render_apache(config), 0o600)  # holds the secrets
    argv = (apache.binary, "-DFOREGROUND", "-f", str(path))
    return LaunchPlan(name, argv, env, places.root, measured=stage is Stage.MAIN, stage=stage, ready=ready)


def _library(apache: Apache) -> Path:
    assert apache.library is not None  # looked at before anything is written
    return apache.library
