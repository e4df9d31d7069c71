"""Files that give an existing nginx and php-fpm an Xdebug for single requests, at no cost for all others. The texts are pure.

Xdebug's modes double the time of every request even when they are not triggered, and they can only be set for a whole
master. So masters of their own have them, and nginx sends requests with a secret cookie there.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from adapters.php.accounts import Account, account_of
from adapters.php.fpm.pool_config import PoolConfig, render_fpm
from adapters.php.fpm.pools import pools_among
from adapters.php.ini import ini_name, ini_value, quoted_path, render_ini
from adapters.php.inspection.fpm_files import read_fpm
from adapters.php.inspection.gather import fpm_configuration
from adapters.php.inspection.processes import Running, look_at
from adapters.php.installed import inspect_php, with_xdebug
from adapters.php.launch import no_xdebug
from adapters.php.servers.apache import render_routes
from adapters.php.servers.nginx import SPAN_MAP, SPAN_VARIABLE, TRIGGER_COOKIE, Route, exactly, ping_of
from adapters.php.xdebug.settings import scan_dir_env, settings_of
from adapters.php.xdebug.tools import PROFILE, TOOLS, TRACE, XdebugTool
from harness.errors import UsageError
from harness.plugins.spec import Site

# Hostile text last; the span is what joins a line to a request, the name is for people.
ACCESS_FORMAT = "%p %s %{bytes}M %{micro}d %{HTTP_TRACEPARENT}e %m %{X-Xdebug-Profile-Filename}o %r"
_OUTPUT_AGE, _LOG_AGE = "1d", "30d"
_CARRIED = frozenset({"chdir", "clear_env", "security.limit_extensions", "listen.owner", "listen.group", "listen.mode"})
_CARRIED_WITH_KEY = frozenset({"env", "php_value", "php_flag", "php_admin_value", "php_admin_flag"})


@dataclass(frozen=True, slots=True)
class DeploymentPlan:
    """``upstream``: what nginx passes to now, ``unix:/path`` or ``host:port``. ``account``: of the existing pool.

    ``directory`` is where the files will be put, ``socket`` that of the master for profiles. ``load_xdebug``: php.ini does not
    load it already. ``secret``: at least 16 letters, digits, ``_`` or ``-``. ``xdebug``: its version. ``pool_lines``: (name with
    key, value) of the existing pool that bear on how the application runs. ``configuration``: options of the existing master that
    decide which configuration it has (-c, -d, -n); ``scan_dir``: its PHP_INI_SCAN_DIR.
    """

    fpm: str
    upstream: str
    account: Account
    directory: Path
    output_dir: Path
    socket: Path
    secret: str
    load_xdebug: bool
    log_dir: Path = Path("/var/log/harness-xdebug")
    xdebug: str | None = None
    pool_lines: Sequence[tuple[str, str]] = ()
    configuration: Sequence[str] = ()
    scan_dir: str | None = None

    def socket_of(self, tool: XdebugTool) -> Path:
        return self.socket.with_stem(self.socket.stem + tool.cookie_suffix)

    def ini_of(self, tool: XdebugTool) -> Path:
        """The scan directory of a tool's master."""
        return self.directory / ini_directory(tool)

    @property
    def access_log(self) -> Path:
        return self.log_dir / "access.log"


def ini_directory(tool: XdebugTool) -> str:
    """Below the deployment's directory."""
    return f"ini{tool.cookie_suffix}"


def unit_of(tool: XdebugTool) -> str:
    """Name of the tool's master, of its configuration and its systemd unit, without ending."""
    return f"harness-xdebug{tool.cookie_suffix}"


def pool_file(tool: XdebugTool) -> str:
    """Name of the configuration of a tool's master."""
    return f"php-fpm-xdebug{tool.cookie_suffix}.conf"


def plan_for(site: Site) -> DeploymentPlan:
    """The plan for the php-fpm that ``site.pid`` is a worker of. Raises UsageError when it cannot be looked at, TargetError when
    this PHP has no Xdebug."""
    process = Path("/proc") / str(site.pid)
    try:
        fpm = str((process / "exe").readlink())
        owner = process.stat()
    except OSError as error:
        raise UsageError(f"cannot look at process {site.pid}: {error.strerror}", hint="run as root") from error
    [pool] = pools_among([site.pid]) or [None]
    master = None if pool is None else look_at(pool.master)
    configuration = () if master is None else fpm_configuration(master.argv[1:])
    scan_dir = (master.environment or {}).get("PHP_INI_SCAN_DIR") if master is not None else None
    env = {"XDEBUG_MODE": None, "PHP_INI_SCAN_DIR": scan_dir}
    found = with_xdebug([fpm, *configuration], env)
    if found is None:
        raise no_xdebug(inspect_php([fpm, *configuration], env))
    build, load = found
    return DeploymentPlan(
        fpm=fpm,
        upstream=site.upstream,
        account=account_of(owner.st_uid, owner.st_gid),
        directory=site.directory,
        output_dir=Path("/var/lib/harness-xdebug"),
        socket=Path("/run/harness-xdebug.sock"),
        secret=site.secret,
        load_xdebug=load,
        xdebug=build.xdebug,
        pool_lines=() if pool is None or master is None else _lines_of_pool(pool.name, master),
        configuration=configuration,
        scan_dir=scan_dir,
    )


def deployment_files(plan: DeploymentPlan) -> dict[str, str]:
    """Name to text, all to be put into ``plan.directory``; README.txt tells the steps. Raises UsageError."""
    if len(plan.secret) < 16:
        raise UsageError("the secret needs at least 16 letters, digits, _ or -", hint="openssl rand -hex 16")
    if any(c in plan.upstream for c in " \"'\\$;{}\n"):
        raise UsageError(f"{plan.upstream!r} is not what nginx passes to", hint="unix:/path/to.sock or host:port")
    files: dict[str, str] = {}
    for tool in TOOLS.values():
        files[pool_file(tool)] = _pool(plan, tool)
        settings = settings_of(
            tool, plan.output_dir, tool.secret(plan.secret), load=plan.load_xdebug, version=plan.xdebug
        )
        files[f"{ini_directory(tool)}/harness-xdebug.ini"] = render_ini(settings)
        files[f"{unit_of(tool)}.service"] = _unit(plan, tool)
    return files | {
        "nginx-map.conf": _map(plan),
        "nginx-location.conf": _LOCATION,
        "apache-route.conf": _apache(plan),
        "harness-xdebug.tmpfiles.conf": _tmpfiles(plan),
        "scenario-part.yaml": _scenario_part(plan),
        "README.txt": _readme(plan),
    }


def _pool(plan: DeploymentPlan, tool: XdebugTool) -> str:
    pool = PoolConfig(
        pool=f"xdebug{tool.cookie_suffix}",
        listen=plan.socket_of(tool),
        workers=1 if tool is TRACE else 2,  # the cap on requests that are written down at the same time
        account=plan.account,
        pid_file=plan.socket_of(tool).with_suffix(".pid"),
        log_file=plan.log_dir / f"{unit_of(tool)}.log",
        ping=ping_of(tool.name),
        access_log=plan.access_log,
        access_format=ACCESS_FORMAT,
        admin_values={"max_execution_time": "0"},
    )
    carried = "".join(f"{name} = {ini_value(value)}\n" for name, value in plan.pool_lines)
    return render_fpm(pool) + (f"; of the pool that answers now\n{carried}" if carried else "")


def _unit(plan: DeploymentPlan, tool: XdebugTool) -> str:
    return (
        f"[Unit]\nDescription=php-fpm with Xdebug (mode {tool.mode}) for single requests\n\n[Service]\n"
        f"Environment={_unit_word(f'PHP_INI_SCAN_DIR={scan_dirs(plan, tool)}')}\n"
        "UnsetEnvironment=XDEBUG_MODE XDEBUG_TRIGGER XDEBUG_PROFILE XDEBUG_TRACE XDEBUG_SESSION XDEBUG_CONFIG\n"
        f"ExecStart={' '.join(_unit_word(word.replace('$', '$$')) for word in command_of(plan, tool))}\n"
        "# The kernel ends a worker whose file becomes larger.\n"
        f"LimitFSIZE={tool.cap_bytes}\n"
    )


def command_of(plan: DeploymentPlan, tool: XdebugTool) -> tuple[str, ...]:
    """What starts a tool's master, configured as the existing one."""
    return (plan.fpm, *plan.configuration, "-F", "-y", str(plan.directory / pool_file(tool)))


def scan_dirs(plan: DeploymentPlan, tool: XdebugTool) -> str:
    """PHP_INI_SCAN_DIR of a tool's master."""
    return scan_dir_env(plan.ini_of(tool), plan.scan_dir)["PHP_INI_SCAN_DIR"]


def _unit_word(word: str) -> str:
    """One word of a line in a unit file; see systemd.service(5), "Command lines" (where ``$`` is written twice), and
    systemd.unit(5), "Specifiers"."""
    escaped = word.replace("\\", "\\\\").replace("%", "%%").replace('"', '\\"')
    return escaped if re.fullmatch(r"[\w./:=,@+%-]+", escaped) else f'"{escaped}"'


def _map(plan: DeploymentPlan) -> str:
    secrets = {tool: exactly(tool.secret(plan.secret)) for tool in TOOLS.values()}
    routes = "".join(f'    {key} "unix:{_plain(plan.socket_of(tool))}";\n' for tool, key in secrets.items())
    spans = "".join(f"    {key} $harness_span;\n" for key in secrets.values())
    return (
        "# Inside http { }. Requests with the secret cookie go to a master with Xdebug, all others where they went.\n"
        f"map $cookie_{TRIGGER_COOKIE} $harness_php {{\n"
        f'    default "{plan.upstream}";\n'
        f"{routes}}}\n"
        f"{SPAN_MAP}\n"
        f'map $cookie_{TRIGGER_COOKIE} $harness_unique_id {{\n    default "";\n{spans}}}\n'
    )


_LOCATION = f"""\
# In the location that runs PHP, in place of its fastcgi_pass; the fastcgi_param lines that it has stay.
fastcgi_pass $harness_php;
fastcgi_param {SPAN_VARIABLE} $harness_unique_id if_not_empty;
fastcgi_read_timeout 600s;
"""


def _apache(plan: DeploymentPlan) -> str:
    routes = [Route(tool.name, tool.secret(plan.secret), plan.socket_of(tool)) for tool in TOOLS.values()]
    return (
        "# In the <VirtualHost>, behind the lines that run PHP. Needs mod_proxy_fcgi and mod_setenvif.\n"
        f"{render_routes(routes)}ProxyTimeout 600\n"
    )


def _tmpfiles(plan: DeploymentPlan) -> str:
    """What killed runs and other people leave behind goes after a day."""
    owner = f"{plan.account.user} {plan.account.group}"
    return (
        "# /etc/tmpfiles.d: makes the directories and removes old files\n"
        f"d {_plain(plan.output_dir)} 0700 {owner} {_OUTPUT_AGE}\n"
        f"d {_plain(plan.log_dir)} 0750 root root {_LOG_AGE}\n"
    )


def _scenario_part(plan: DeploymentPlan) -> str:
    return (
        "target:\n  runtime: php\n  php:\n    xdebug:\n"
        '      secret: "${XDEBUG_SECRET}"\n'
        f'      output_dir: "{plan.output_dir}"\n'
        f'      access_log: "{plan.access_log}"\n'
    )


def _plain(path: Path) -> str:
    """A path as it is; UsageError when it holds what php-fpm or nginx would interpret."""
    return quoted_path(path).strip('"')


def _lines_of_pool(pool: str, master: Running) -> tuple[tuple[str, str], ...]:
    """How the existing pool has the application run: environment and PHP settings. () where its files cannot be read."""
    if master.fpm_config is None:
        return ()
    lines, _ = read_fpm(master.root, master.fpm_config)
    found = []
    for line in lines:
        if line.section != pool or line.key.startswith("xdebug.") or line.key == "max_execution_time":
            continue
        if line.name in _CARRIED:
            found.append((line.name, line.value))
        elif line.name in _CARRIED_WITH_KEY and line.key:
            found.append((f"{line.name}[{ini_name(line.key)}]", line.value))
    return tuple(found)


def _readme(plan: DeploymentPlan) -> str:
    units = " ".join(unit_of(tool) for tool in TOOLS.values())
    return f"""\
Profiling single requests of this server with Xdebug
====================================================
1. Keep these files private, they hold the secret: chown -R root: {plan.directory} && chmod -R go= {plan.directory}
2. Make the directories, and have old files in them removed every day:
   cp {plan.directory}/harness-xdebug.tmpfiles.conf /etc/tmpfiles.d/harness-xdebug.conf
   systemd-tmpfiles --create harness-xdebug.conf
3. Start the master for profiles:
   cp {plan.directory}/harness-xdebug*.service /etc/systemd/system/
   systemctl daemon-reload && systemctl start {unit_of(PROFILE)}
   Those for traces (memory over time, 10 times as large) and collector runs are {units.partition(" ")[2].replace(" ", " and ")}.
   Without systemd, in a shell of root: mkdir the two directories of harness-xdebug.tmpfiles.conf with the owners it names, then
   PHP_INI_SCAN_DIR={shlex.quote(scan_dirs(plan, PROFILE))} {shlex.join(command_of(plan, PROFILE))}
   (each service file has the two values for its master).
4. Include nginx-map.conf inside http {{ }}. In the location that runs PHP, include nginx-location.conf in place of
   "fastcgi_pass {plan.upstream};". Where fastcgi_param lines stand outside of that location only, repeat them in it: nginx
   inherits all or none. Then: nginx -t && nginx -s reload
   Apache instead of nginx: include apache-route.conf in the <VirtualHost>, behind the lines that run PHP (php-fpm or mod_php);
   a2enmod proxy_fcgi setenvif; apache2ctl configtest && apache2ctl graceful
5. Put scenario-part.yaml into the scenario, and the secret into the environment of whoever runs the harness:
   export XDEBUG_SECRET=$(sed -n 's/^xdebug.trigger_value = //p' {plan.ini_of(PROFILE)}/harness-xdebug.ini)
   Add the tools you want, of the masters that you have started: profile: {{tools: [xdebug, xdebug_trace, xdebug_gcstats]}}
6. harness doctor SCENARIO sends a request with the secret, one without and one with a wrong one, and says whether only the
   first was written down.

php-fpm -t and nginx -t have accepted these files when they were written, under other paths.

The main master needs no Xdebug. Where the distribution loads it for everything, give that service Environment=XDEBUG_MODE=off:
its default mode makes every request twice as slow.
A profile takes 10 to 200 MB and ten times the time of the request, a trace up to 1 GiB and thirty times. At most two requests are
profiled at the same time, and one traced; others wait. The harness removes what it has collected. For a firm limit put
{plan.output_dir} on a file system of its own. Stop the services when you are done.
"""
