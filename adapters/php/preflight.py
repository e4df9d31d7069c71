"""What must be there before a PHP run starts, and what to do about what is not. Looks, changes nothing."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from collections.abc import Iterator, Sequence

from adapters.formats.cachegrind_kernel import why_not
from adapters.php.command import PhpCommand, is_fpm, parse_command
from adapters.php.deployment.check import check_deployment
from adapters.php.fpm.checks import check_fpm
from adapters.php.installed import (
    PhpBuild,
    find_fpm,
    find_program,
    inspect_php,
    with_xdebug,
    xdebug_package,
)
from adapters.php.options import Deployment, PhpOptions, Serve
from adapters.php.servers.apache_installed import find_apache
from adapters.php.servers.mod_php import NEEDED
from adapters.php.servers.served import serve_account
from adapters.php.state import Places
from adapters.php.xdebug import settings as xdebug
from adapters.php.xdebug.elsewhere.checks import check_place
from adapters.php.xdebug.reach import NO_PROFILE_COSTS, unreachable
from adapters.php.xdebug.requests import cookies_for, outputs_of
from adapters.php.xdebug.tools import PROFILE, XdebugTool, chosen
from adapters.php.xdebug.version2 import is_supported, is_xdebug_2
from harness.clock import SystemClock
from harness.errors import TargetError
from harness.plugins.spec import AdapterContext, Check, CheckLevel, LaunchPlan

_WRITE_FUNCTIONS = (
    "fopen",
    "fwrite",
    "json_encode",
    "register_shutdown_function",
    "memory_get_usage",
    "set_error_handler",
)


def check_php(context: AdapterContext, options: PhpOptions, plans: Sequence[LaunchPlan]) -> list[Check]:
    """All checks for this run, most important first within each part."""
    profiled = bool(tools := chosen(context.tools))
    checks: list[Check] = [*check_fpm(options.fpm), *(_reader(why_not()) if profiled else ())]
    if options.serve is not None:
        checks += _serve(Places(context.work_dir), options.serve, profiled=profiled and options.xdebug is None)
    for plan in plans:
        if plan.measured:
            checks += _program(plan, profiled=profiled and options.xdebug is None)
    if profiled and options.xdebug is not None:
        deployed = _deployment(context, options.xdebug, launched=bool(plans))
        checks += deployed
        if not any(check.level is CheckLevel.ERROR for check in deployed):
            # Of tools that nobody asked for by name the deployment may lack some: that shows when they are used.
            checks += _tried(context, options.xdebug, (PROFILE,) if context.automatic else tools)
    elif profiled and options.serve is None and not any(_triggerable(plan) for plan in plans):
        checks += _untriggerable(plans)
    elif profiled:
        checks += _room(Places(context.work_dir), tools)
    return checks


def _reader(why_not_compiled: str | None) -> Iterator[Check]:
    if why_not_compiled is not None:
        yield Check(
            "php.reader", CheckLevel.WARNING, f"profiles are read in Python, 35 to 50 times slower: {why_not_compiled}",
            "install the package again where a C compiler (cc) is",
        )  # fmt: skip


# --- servers of our own -----------------------------------------------------------------------------------


def _serve(places: Places, serve: Serve, *, profiled: bool) -> Iterator[Check]:
    apache, fpm = find_apache(), find_fpm()
    inside = serve.web == "mod_php"
    if fpm is None and not inside:
        yield Check("php.fpm", CheckLevel.ERROR, "php-fpm is not installed", "apt-get install php-fpm")
    if serve.web == "nginx" and find_program("nginx") is None:
        yield Check("php.nginx", CheckLevel.ERROR, "nginx is not installed", "apt-get install nginx")
    if serve.web != "nginx" and apache is None:
        needed = NEEDED if inside else "apt-get install apache2"
        yield Check("php.apache", CheckLevel.ERROR, "Apache is not installed", needed)
    elif inside and apache is not None and apache.library is None:
        yield Check("php.mod_php", CheckLevel.ERROR, "Apache has no mod_php here", NEEDED)
    if not serve.docroot.is_dir():
        yield Check(
            "php.docroot", CheckLevel.ERROR, f"the document root {serve.docroot} is not a directory",
            "correct target.php.serve.docroot; it is relative to the scenario file",
        )  # fmt: skip
    elif serve.front_controller is not None and not (serve.docroot / serve.front_controller).is_file():
        yield Check(
            "php.front_controller", CheckLevel.ERROR, f"there is no {serve.front_controller} in {serve.docroot}",
            "correct target.php.serve.front_controller, or set it to null when every page is a file of its own",
        )  # fmt: skip
    yield from _address(*serve.address)
    if inside and apache is not None and apache.library is not None:
        command, env = apache.configuration
        yield from _build(command, None, profiled=profiled, env=dict(env))
        yield from _reachable(places, serve)
    elif not inside and fpm is not None:
        yield from _build((fpm,), None, profiled=profiled)
        yield from _reachable(places, serve)


def _address(host: str, port: int) -> Iterator[Check]:
    where = f"{host}:{port}"
    if not _is_loopback(host):
        yield Check(
            "php.listen", CheckLevel.WARNING, f"{where} can be reached from other machines",
            "set target.php.serve.listen to 127.0.0.1:PORT",
        )  # fmt: skip
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, UnicodeError) as error:  # the latter: a name that can be no host's
        number, text = (error.errno, error.strerror) if isinstance(error, OSError) else (None, str(error))
        why = "is in use" if number == errno.EADDRINUSE else f"cannot be listened on: {text}"
        yield Check(
            "php.listen", CheckLevel.ERROR, f"{where} {why}",
            f"choose another target.php.serve.listen, or stop what listens there (ss -ltnp 'sport = :{port}')",
        )  # fmt: skip


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _reachable(places: Places, serve: Serve) -> Iterator[Check]:
    if os.geteuid() != 0 or serve_account(places, serve).uid != 0:
        return
    if serve.web != "nginx":
        yield Check(
            "php.account", CheckLevel.ERROR,
            f"Apache never runs as root, and no unprivileged account can read {serve.docroot} and write below {places.work_dir}",
            "start the harness as an ordinary user, move application and run directory, or set target.php.serve.web: nginx",
        )  # fmt: skip
    else:
        yield Check(
            "php.account", CheckLevel.WARNING,
            f"PHP runs as root, because no unprivileged account can read {serve.docroot} and write below {places.work_dir}",
            "start the harness as an ordinary user, or move the application and the run directory out of private directories",
        )  # fmt: skip


# --- programs -------------------------------------------------------------------------------------------------------


def _program(plan: LaunchPlan, *, profiled: bool) -> Iterator[Check]:
    program = plan.argv[0] if plan.argv else ""
    path = program if "/" in program else find_program(program)
    if path is None:
        yield Check("php.command", CheckLevel.ERROR, f"{program} is not installed", "is the command spelled right?")
        return
    command = parse_command(plan.argv)
    if command is not None:
        env = {name: value for name, value in plan.env.items() if name.startswith("PHP")}
        yield from _build(command.configuration, plan, profiled=profiled, env=env)
        yield from _built_in_server(command)


def _built_in_server(command: PhpCommand) -> Iterator[Check]:
    if command.listen is not None:
        host, _, port = command.listen.rpartition(":")
        if port.isdigit():
            yield from _address(host.strip("[]"), int(port))


def _triggerable(plan: LaunchPlan) -> bool:
    """A built-in server gets a companion; a script is run once more."""
    return plan.measured and parse_command(plan.argv) is not None


# --- one PHP --------------------------------------------------------------------------------------------------------


def _build(
    configuration: Sequence[str], plan: LaunchPlan | None, *, profiled: bool, env: dict[str, str | None] | None = None
) -> Iterator[Check]:
    changes = {**(env or {}), **xdebug.ON_ENV}
    cwd = None if plan is None else plan.cwd
    try:
        build = inspect_php(configuration, changes, cwd)
        found = with_xdebug(configuration, changes, cwd) if profiled else None
    except TargetError as error:
        yield Check("php.binary", CheckLevel.ERROR, error.message, error.hint)
        return
    yield Check("php.version", CheckLevel.INFO, f"PHP {build.version} ({build.binary})")
    yield from _agent_functions(build)
    if build.xdebug is not None:
        yield Check(
            "php.xdebug.loaded", CheckLevel.INFO,
            f"Xdebug {build.xdebug} is loaded for everything; the measured processes run with XDEBUG_MODE=off",
        )  # fmt: skip
    if profiled:
        yield from _xdebug(build, None if found is None else found[0].xdebug)


def _agent_functions(build: PhpBuild) -> Iterator[Check]:
    disabled = {name.strip() for name in build.directives.get("disable_functions", "").split(",")}
    missing = [name for name in _WRITE_FUNCTIONS if name in disabled]
    if missing:
        yield Check(
            "agent.records", CheckLevel.WARNING,
            f"disable_functions forbids {', '.join(missing)}, which the per-request record needs",
            "allow them for the run",
            "requests cannot be tied to workers, and nothing is known from inside PHP",
        )  # fmt: skip


def _xdebug(build: PhpBuild, version: str | None) -> Iterator[Check]:
    if version is None:
        yield Check(
            "php.xdebug", CheckLevel.ERROR,
            f"a profile was asked for, but {build.binary} (PHP {build.version}) has no Xdebug",
            f"{xdebug_package(build)}; or set profile: none in the scenario",
            NO_PROFILE_COSTS,
        )  # fmt: skip
    elif is_xdebug_2(version) and not is_supported(version):
        yield Check(
            "php.xdebug", CheckLevel.ERROR, f"Xdebug {version} is too old: version 2.6 or newer is needed",
            f"{xdebug_package(build)}; or set profile: none in the scenario", NO_PROFILE_COSTS,
        )  # fmt: skip
    elif is_xdebug_2(version):
        yield Check(
            "php.xdebug", CheckLevel.WARNING,
            f"Xdebug {version} is configured by what its documentation says; this was never run with a real Xdebug 2",
            f"a newer one: {xdebug_package(build)}",
        )  # fmt: skip


def _room(places: Places, tools: Sequence[XdebugTool]) -> Iterator[Check]:
    """Xdebug cuts paths that are too long."""
    for tool in tools:
        if not xdebug.fits(places.output(tool.name)):
            yield Check(
                "php.xdebug.path", CheckLevel.ERROR,
                f"the path of the run directory is too long for names of Xdebug's files, which end at {xdebug.PATH_LIMIT} bytes",
                "choose a shorter one with --out, or set profile: none in the scenario", NO_PROFILE_COSTS,
            )  # fmt: skip
            return


# --- an Xdebug that is already there --------------------------------------------------------------------------------


def _deployment(context: AdapterContext, deployment: Deployment, *, launched: bool) -> list[Check]:
    directory = deployment.output_dir
    if deployment.place is not None:
        log = None if deployment.access_log is None else str(deployment.access_log)
        return check_place(deployment.place, str(directory), log, NO_PROFILE_COSTS, context.shell, launched=launched)
    if not directory.is_dir():
        return [Check(
            "php.xdebug", CheckLevel.ERROR, f"target.php.xdebug.output_dir: {directory} is not a directory",
            "it must be xdebug.output_dir of the second php-fpm master, as seen from here", NO_PROFILE_COSTS,
        )]  # fmt: skip
    if not os.access(directory, os.R_OK | os.X_OK):
        return [Check(
            "php.xdebug", CheckLevel.ERROR, f"the profiles in {directory} cannot be read",
            "run the harness as the user of that php-fpm pool, or give this user access", NO_PROFILE_COSTS,
        )]  # fmt: skip
    return []


def _tried(context: AdapterContext, deployment: Deployment, tools: Sequence[XdebugTool]) -> Iterator[Check]:
    """Three requests for each tool, if it is known where to."""
    if context.base_url is None:
        yield Check(
            "php.xdebug.deployment",
            CheckLevel.INFO,
            "the deployed Xdebug was not tried, because target.url is not given",
        )
        return
    clock = SystemClock()
    for tool in tools:
        outputs = outputs_of(context, tool, deployment, clock)
        cookies = cookies_for(tool, deployment.secret)
        yield from check_deployment(f"{context.base_url}/", tool, cookies, outputs, clock, NO_PROFILE_COSTS)


def _untriggerable(plans: Sequence[LaunchPlan]) -> Iterator[Check]:
    if plans:
        server = "php-fpm" if any(is_fpm(plan.argv[0]) for plan in plans if plan.argv) else "this program"
        yield unreachable(f"single requests to {server} cannot be profiled")
        return
    php = find_program("php")
    build = None if php is None else with_xdebug((php,), xdebug.ON_ENV)
    if build is None:
        yield Check(
            "php.xdebug", CheckLevel.WARNING, "no deployed Xdebug is named, and scripts cannot be profiled here either",
            "name a deployment in target.php.xdebug, or install Xdebug for the php in PATH, or set profile: none",
            NO_PROFILE_COSTS,
        )  # fmt: skip
