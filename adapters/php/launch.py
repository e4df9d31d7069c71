"""Programs the user starts: command-line PHP gets the agent by option, anything else by the environment PHP reads."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from adapters.php.agent_files import install_agent, make_directory, place
from adapters.php.command import PhpCommand, parse_command
from adapters.php.ini import define_options, render_ini
from adapters.php.installed import PhpBuild, inspect_php, with_xdebug, xdebug_package
from adapters.php.options import PhpOptions
from adapters.php.servers.served import private_ini, widened
from adapters.php.state import Places, State, write_state
from adapters.php.xdebug import settings as xdebug
from adapters.php.xdebug.leftovers import claim, sweep
from adapters.php.xdebug.tools import XdebugTool, chosen
from harness.errors import TargetError
from harness.plugins.ports import free_port
from harness.plugins.spec import AdapterContext, LaunchPlan, Prepared, Stage


def prepare_programs(
    context: AdapterContext, places: Places, options: PhpOptions, plans: Sequence[LaunchPlan]
) -> Prepared:
    """The plans with the agent in the measured ones, and a companion for each tool of Xdebug for a built-in web server."""
    make_directory(places.root, 0o711)
    prepared = [_with_agent(plan, places, options) if plan.measured else plan for plan in plans]
    server = _built_in_server(context, plans)
    base_url = context.base_url
    companions: dict[str, str] = {}
    load, version = None, None
    tools = chosen(context.tools)
    if server is not None:
        plan, command = server
        base_url = base_url or f"http://{_reachable(command.listen or '')}"
        for tool in tools if options.xdebug is None else ():
            companion, companions[tool.name] = _companion(context, places, options, plan, command, tool)
            prepared.append(companion)
    elif tools:
        for plan in plans:
            script = parse_command(plan.argv)
            if script is not None and plan.measured:
                load, version = loadable_xdebug(script, plan)  # fail before the rounds, not after them
    write_state(places, State(tuple(companions), companions, load, version))
    return Prepared(tuple(prepared), base_url)


def make_output(places: Places, tool: XdebugTool, owner: tuple[int, int] | None = None) -> Path:
    """The directory this tool writes to; ``owner`` is (uid, gid). Raises TargetError where Xdebug would cut its file names."""
    directory = places.output(tool.name)
    if not xdebug.fits(directory):
        raise TargetError(
            f"the path of the run directory is too long for Xdebug: with {directory} its file names have more than "
            f"{xdebug.PATH_LIMIT} bytes",
            hint="choose a shorter one with --out, or set profile: none in the scenario",
        )
    if not places.outputs.is_dir():
        sweep(places)
        make_directory(places.outputs, 0o711)
        claim(places)
    make_directory(directory, 0o700, owner)
    return directory


def _with_agent(plan: LaunchPlan, places: Places, options: PhpOptions) -> LaunchPlan:
    command = parse_command(plan.argv)
    settings = {name: value for name, value in options.ini.items() if name != "auto_prepend_file"}
    chain = options.ini.get("auto_prepend_file")
    if command is not None:
        directives = inspect_php(command.configuration, _changes(plan), plan.cwd).directives
        chain = chain or command.defined("auto_prepend_file") or directives.get("auto_prepend_file")
        name = command.router
        router = None if name is None else ((plan.cwd or Path.cwd()) / name).resolve()
        agent = install_agent(places, _real(chain), router, name, asks=options.asks)
        # the order file lies beside the agent
        basedir = widened(settings.get("open_basedir") or directives.get("open_basedir"), places.root, places.records)
        command = command.defining({**settings, **basedir, "auto_prepend_file": str(agent.prepend)})
        if router is not None:
            command = command.routed_by(str(agent.router))
        return replace(plan, argv=command.argv, env={**plan.env, **xdebug.OFF_ENV})
    prepend = install_agent(places, _real(chain), asks=options.asks).prepend
    make_directory(places.ini_main, 0o711)
    place(places.ini_main / "harness.ini", render_ini({**settings, "auto_prepend_file": str(prepend)}))
    return replace(plan, env={**plan.env, **xdebug.OFF_ENV, **xdebug.scan_dir_env(places.ini_main, _scan_dir(plan))})


def _real(chain: str | None) -> str | None:
    return chain if chain and chain != "none" else None


def _companion(
    context: AdapterContext,
    places: Places,
    options: PhpOptions,
    plan: LaunchPlan,
    command: PhpCommand,
    tool: XdebugTool,
) -> tuple[LaunchPlan, str]:
    """The same server on a port of its own with Xdebug and without the agent, one process."""
    load, version = loadable_xdebug(command, plan)
    address = f"127.0.0.1:{free_port()}"
    secret = tool.secret(context.token)
    settings = {
        **options.ini, **xdebug.settings_of(tool, make_output(places, tool), secret, load=load, version=version)
    }  # fmt: skip
    env = {**plan.env, **xdebug.ON_ENV, "PHP_CLI_SERVER_WORKERS": None}
    if not command.without_ini_files:  # what is on a command line everybody on this machine can read
        private = {name: settings.pop(name) for name, value in tuple(settings.items()) if value == secret}
        private_ini(places.ini(tool.name), private)
        env |= xdebug.scan_dir_env(places.ini(tool.name), _scan_dir(plan))
    argv = command.listening_on(address).defining(settings).argv
    companion = LaunchPlan(
        f"{plan.name}-{tool.name}", argv, env, plan.cwd, measured=False, stage=Stage.PROFILE, ready=f"tcp://{address}",
        tool=tool.name,
    )  # fmt: skip
    return companion, f"http://{address}"


def script_under_xdebug(
    places: Places, tool: XdebugTool, state: State | None, argv: Sequence[str], *, ends: bool = True
) -> tuple[tuple[str, ...], Mapping[str, str | None]]:
    """Command line and environment that run a prepared script under this tool of Xdebug and without the agent.

    A program that is not PHP itself gets the settings by the environment, so every PHP it starts is profiled. Not ``ends``: it is
    a worker, and closes Xdebug's file when it gets SIGTERM.
    """
    output_dir = make_output(places, tool)
    load, version = (None, None) if state is None else (state.load_xdebug, state.xdebug)
    if load is None:
        found = with_xdebug(("php",), xdebug.ON_ENV)
        if found is None:
            raise no_xdebug(inspect_php(("php",)))
        load, version = found[1], found[0].xdebug
    settings = xdebug.settings_of(tool, output_dir, None, load=load, version=version)
    command = parse_command(argv)
    if command is not None:
        for prepend in places.root.glob("agent*/prepend.php"):
            agentless = command.without(define_options({"auto_prepend_file": str(prepend)})[1])
            if agentless != command and not ends:
                settings["auto_prepend_file"] = str(prepend.with_name("ending.php"))
            command = agentless
        return command.defining(settings).argv, xdebug.ON_ENV
    if not ends and (ending := places.agent(None, None) / "ending.php").exists():
        settings["auto_prepend_file"] = str(ending)
    directory = places.ini(tool.name)
    make_directory(directory, 0o711)
    place(directory / "harness.ini", render_ini(settings))
    return tuple(argv), {**xdebug.ON_ENV, **xdebug.scan_dir_env(directory, os.environ.get("PHP_INI_SCAN_DIR"))}


def loadable_xdebug(command: PhpCommand, plan: LaunchPlan) -> tuple[bool, str | None]:
    """Whether Xdebug has to be loaded by us for this command, and its version. Raises TargetError when there is none."""
    found = with_xdebug(command.configuration, {**_changes(plan), **xdebug.ON_ENV}, plan.cwd)
    if found is None:
        raise no_xdebug(inspect_php(command.configuration, _changes(plan), plan.cwd))
    return found[1], found[0].xdebug


def no_xdebug(build: PhpBuild) -> TargetError:
    """The error for a PHP without Xdebug, with how to install it."""
    return TargetError(
        f"{build.binary} (PHP {build.version}) has no Xdebug, so nothing can be profiled",
        hint=f"{xdebug_package(build)}; or set profile: none in the scenario",
    )


def _built_in_server(context: AdapterContext, plans: Sequence[LaunchPlan]) -> tuple[LaunchPlan, PhpCommand] | None:
    """The ``php -S`` that requests go to: by address where several are started, else the first."""
    servers = [(p, c) for p in plans if p.measured and (c := parse_command(p.argv)) is not None and c.listen]
    wanted = urlsplit(context.base_url or "").netloc
    return next((s for s in servers if s[1].listen == wanted), servers[0] if servers else None)


def _changes(plan: LaunchPlan) -> dict[str, str | None]:
    """The part of a plan's environment that decides how PHP is configured."""
    return {name: value for name, value in plan.env.items() if name in {"PATH", "PHPRC", "PHP_INI_SCAN_DIR"}}


def _scan_dir(plan: LaunchPlan) -> str | None:
    return plan.env.get("PHP_INI_SCAN_DIR", os.environ.get("PHP_INI_SCAN_DIR"))


def _reachable(listen: str) -> str:
    host, _, port = listen.rpartition(":")
    return f"127.0.0.1:{port}" if host in {"0.0.0.0", "[::]"} else listen  # noqa: S104  # recognised, not bound
