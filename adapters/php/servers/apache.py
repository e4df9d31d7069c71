"""Configuration of a private Apache: in front of php-fpm masters, or with PHP inside its own processes. Pure.

``.htaccess`` files count, as the applications that are run behind Apache expect. Which master answers is decided by the cookie
that triggers a profile: without it, and with any other value, the main one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from adapters.php.accounts import Account
from adapters.php.ini import ini_name, quoted_path
from adapters.php.servers.nginx import PING_MAIN, SPAN_VARIABLE, TRIGGER_COOKIE, Route
from harness.errors import UsageError

_MODULES = (
    "authz_core", "authz_host", "access_compat", "dir", "mime", "alias", "env", "setenvif", "rewrite", "headers", "expires",
    "deflate", "filter",
)  # fmt: skip  # what .htaccess files of common applications use
_TRACEPARENT = "^00-(?!0{32})[0-9a-f]{32}-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}$"  # else nothing of it names a file
_SPAN = f'SetEnvIf Traceparent "{_TRACEPARENT}" {SPAN_VARIABLE}=$1'
_SECRET = re.compile(r"[A-Za-z0-9_-]{1,256}\Z")


@dataclass(frozen=True, slots=True)
class Fpm:
    """Scripts go to the php-fpm that listens at ``main``, or to that of a route."""

    main: Path
    routes: Sequence[Route]


@dataclass(frozen=True, slots=True)
class ModPhp:
    """Scripts run in ``workers`` processes of Apache's own, by the module in ``library``. ``companions``: cookie value ->
    ``host:port`` of another Apache. ``admin_values``: php.ini settings that nothing in the application can change."""

    library: Path
    workers: int
    companions: Mapping[str, str]
    admin_values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ApacheConfig:
    """``modules``: the directory of mod_*.so; ``there``: the names of those that are in it (without ``mod_``).

    ``listen`` is ``host:port``; ``front_controller`` is relative to the document root; ``state_dir`` takes the pid file.
    """

    listen: str
    docroot: Path
    front_controller: str | None
    php: Fpm | ModPhp
    account: Account
    state_dir: Path
    modules: Path
    there: frozenset[str]


def render_apache(config: ApacheConfig) -> str:
    """The text of a configuration for ``apache2 -f``. Raises UsageError for paths and secrets it cannot hold."""
    return "\n".join(_lines(config)) + "\n"


def _lines(config: ApacheConfig) -> Iterator[str]:
    state, docroot = quoted_path(config.state_dir), quoted_path(config.docroot)
    yield "# Written by profiling-harness for one run."
    yield f"ServerRoot {state}"
    yield f"DefaultRuntimeDir {state}"
    yield f"PidFile {quoted_path(config.state_dir / 'apache.pid')}"
    yield f"Listen {config.listen}"
    yield "ServerName localhost"
    yield 'ErrorLog "/proc/self/fd/2"'
    yield "LogLevel warn"
    yield "ServerTokens Prod"
    for name in (*_own_modules(config.php), *_MODULES):
        if name in config.there:
            yield f"LoadModule {name}_module {quoted_path(config.modules / f'mod_{name}.so')}"
    if config.account.switch:
        yield f"User {config.account.user}"
        yield f"Group {config.account.group}"
    yield 'TypesConfig "/etc/mime.types"'
    yield f"DocumentRoot {docroot}"
    yield "UseCanonicalName Off"
    yield _SPAN
    yield "<Directory />\n    Require all denied\n</Directory>"
    yield f"<Directory {quoted_path(_exactly(config.docroot))}>"
    yield "    Require all granted\n    AllowOverride All\n    Options FollowSymLinks\n    CGIPassAuth On\n</Directory>"
    yield '<FilesMatch "^\\.ht">\n    Require all denied\n</FilesMatch>'
    yield "DirectoryIndex index.php index.html"
    if config.front_controller is not None:
        yield f"FallbackResource {quoted_path(Path('/') / config.front_controller)}"
    yield from _in_front(config.php) if isinstance(config.php, Fpm) else _inside(config.php)


def _exactly(directory: Path) -> Path:
    """A path where Apache expects a pattern."""
    return Path(re.sub(r"([\[*?])", r"[\1]", str(directory)))


def _own_modules(php: Fpm | ModPhp) -> tuple[str, ...]:
    if isinstance(php, Fpm):
        return ("mpm_event", "proxy", "proxy_fcgi")
    return ("mpm_prefork", "proxy", "proxy_http") if php.companions else ("mpm_prefork",)


def _in_front(php: Fpm) -> Iterator[str]:
    yield '<FilesMatch "\\.php$">'
    yield f"    SetHandler {_backend(php.main, 'main')}"
    yield "</FilesMatch>"
    for route in php.routes:
        yield _routed(route)
    for path, socket, name in ((PING_MAIN, php.main, "main"), *((r.ping, r.socket, r.tool) for r in php.routes)):
        yield f"<Location {path}>\n    SetHandler {_backend(socket, name)}\n</Location>"
    yield "ProxyTimeout 600"


def render_routes(routes: Sequence[Route]) -> str:
    """The part of a ``<VirtualHost>`` that passes requests with a secret cookie to other php-fpm masters. Raises UsageError."""
    return "\n".join((_SPAN, *(_routed(route) for route in routes))) + "\n"


def _routed(route: Route) -> str:
    cookie = f"%{{HTTP_COOKIE}} =~ /{_with_cookie(route.secret)}/"
    handler = f"    SetHandler {_backend(route.socket, route.tool)}"
    return f'<If "%{{REQUEST_FILENAME}} =~ /\\.php$/ && {cookie}">\n{handler}\n</If>'


def _inside(php: ModPhp) -> Iterator[str]:
    yield f"LoadModule php_module {quoted_path(php.library)}"
    yield "KeepAlive Off"  # each connection that is kept would occupy a worker
    for name in ("StartServers", "MinSpareServers", "MaxSpareServers", "ServerLimit", "MaxRequestWorkers"):
        yield f"{name} {php.workers}"
    yield '<FilesMatch "\\.php$">\n    SetHandler application/x-httpd-php\n</FilesMatch>'
    for name, value in php.admin_values.items():
        yield f"php_admin_value {ini_name(name)} {quoted_path(Path(value)) if value else 'none'}"
    if php.companions:
        yield "RewriteEngine On"
        yield "ProxyPreserveHost On"
        yield "ProxyAddHeaders Off"
        yield "ProxyTimeout 600"
    for secret, address in php.companions.items():
        yield f"RewriteCond %{{HTTP_COOKIE}} {_with_cookie(secret)}"
        # The path as it was sent, nothing decoded; the query follows by itself.
        yield "RewriteCond %{THE_REQUEST} ^\\S+\\s+(/[^?\\s]*)"
        yield f"RewriteRule ^ http://{address}%1 [P,NE,L]"


def _backend(socket: Path, name: str) -> str:
    return f'"proxy:unix:{quoted_path(socket)[1:-1]}|fcgi://{name}"'


def _with_cookie(secret: str) -> str:
    if not _SECRET.match(secret):
        raise UsageError("the secret holds other characters than letters, digits, _ and -", hint="openssl rand -hex 16")
    return f"(?:^|;\\s*){TRIGGER_COOKIE}={secret}(?:;|$)"
