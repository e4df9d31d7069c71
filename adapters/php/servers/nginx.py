"""Configuration of a private nginx in front of several php-fpm masters. Pure."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from adapters.php.accounts import Account
from adapters.php.ini import quoted_path
from harness.errors import UsageError

TRIGGER_COOKIE = "XDEBUG_TRIGGER"
SPAN_VARIABLE = "UNIQUE_ID"  # what %U in the names of Xdebug's files stands for
_SECRET = re.compile(r"[A-Za-z0-9_-]{1,256}\Z")
PING_MAIN = "/.harness/ping"
# The span of a valid W3C traceparent; what else a client sends there never reaches a file's name.
SPAN_MAP = """\
map $http_traceparent $harness_span {
    default "";
    "~^00-(?!0{32})[0-9a-f]{32}-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}$" $1;
}"""


@dataclass(frozen=True, slots=True)
class Route:
    """Requests whose trigger cookie is ``secret`` go to the master at ``socket``; ``tool`` is its name."""

    tool: str
    secret: str
    socket: Path

    @property
    def ping(self) -> str:
        """The path that this master answers itself."""
        return ping_of(self.tool)


def ping_of(tool: str) -> str:
    """The path that a tool's php-fpm master answers itself."""
    return f"{PING_MAIN}-{tool}"


@dataclass(frozen=True, slots=True)
class NginxConfig:
    """``main`` is the socket of the measured php-fpm, which gets all requests that no route wants.

    ``state_dir`` takes the pid file and the temporary files. ``front_controller`` is relative to the document root.
    """

    listen: str
    docroot: Path
    front_controller: str | None
    main: Path
    routes: Sequence[Route]
    account: Account
    state_dir: Path


def render_nginx(config: NginxConfig) -> str:
    """The text of an nginx.conf. Raises UsageError for paths it cannot hold."""
    last = "=404" if config.front_controller is None else f"/{config.front_controller.lstrip('/')}$is_args$args"
    quoted_path(Path(last.removesuffix("$is_args$args")))
    user = f"user {config.account.user} {config.account.group};\n" if config.account.switch else ""
    upstreams = "\n".join(
        f"    upstream {name} {{ server {_unix(socket)}; }}"
        for name, socket in (("harness_main", config.main), *((_upstream(r), r.socket) for r in config.routes))
    )
    routes = "".join(f" {exactly(route.secret)} {_upstream(route)};" for route in config.routes)
    pings = "\n".join(
        f"        location = {path} {{ {_fastcgi(name)} }}"
        for path, name in ((PING_MAIN, "harness_main"), *((r.ping, _upstream(r)) for r in config.routes))
    )
    temporary = "\n".join(
        f"    {kind}_temp_path {quoted_path(config.state_dir / kind)};"
        for kind in ("client_body", "fastcgi", "proxy", "scgi", "uwsgi")
    )
    return f"""\
# Written by profiling-harness for one run.
{user}daemon off;
worker_processes 1;
pid {quoted_path(config.state_dir / "nginx.pid")};
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
{temporary}
    access_log off;
    server_tokens off;
    client_max_body_size 64m;
    map_hash_bucket_size 256;
{_MIME_TYPES}
{upstreams}
    map $cookie_{TRIGGER_COOKIE} $harness_php {{ default harness_main;{routes} }}
{textwrap.indent(SPAN_MAP, "    ")}
    map $harness_php $harness_unique_id {{ default $harness_span; harness_main ""; }}

    server {{
        listen {config.listen};
        server_name _;
        root {quoted_path(config.docroot)};
        index index.php index.html;

        location / {{ try_files $uri $uri/ {last}; }}
{pings}
        location ~ /\\.(?!well-known/) {{ return 404; }}
        location ~ [^/]\\.php(?:/|$) {{
            fastcgi_split_path_info ^(.+?\\.php)(/.*)$;
            set $harness_path_info $fastcgi_path_info;  # try_files forgets it
            try_files $fastcgi_script_name =404;
            fastcgi_param PATH_INFO $harness_path_info;
            fastcgi_param {SPAN_VARIABLE} $harness_unique_id if_not_empty;
            fastcgi_read_timeout 600s;
            {_fastcgi("$harness_php")}
        }}
    }}
}}
"""


_PARAMETERS = """\
fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
            fastcgi_param SCRIPT_NAME $fastcgi_script_name;
            fastcgi_param DOCUMENT_ROOT $document_root;
            fastcgi_param DOCUMENT_URI $document_uri;
            fastcgi_param REQUEST_URI $request_uri;
            fastcgi_param QUERY_STRING $query_string;
            fastcgi_param REQUEST_METHOD $request_method;
            fastcgi_param CONTENT_TYPE $content_type;
            fastcgi_param CONTENT_LENGTH $content_length;
            fastcgi_param SERVER_PROTOCOL $server_protocol;
            fastcgi_param REQUEST_SCHEME $scheme;
            fastcgi_param GATEWAY_INTERFACE CGI/1.1;
            fastcgi_param SERVER_SOFTWARE nginx;
            fastcgi_param REMOTE_ADDR $remote_addr;
            fastcgi_param REMOTE_PORT $remote_port;
            fastcgi_param SERVER_ADDR $server_addr;
            fastcgi_param SERVER_PORT $server_port;
            fastcgi_param SERVER_NAME $host;
            fastcgi_param REDIRECT_STATUS 200;
            fastcgi_param HTTP_PROXY "";"""

_MIME_TYPES = """\
    types {
        text/html html htm; text/css css; text/plain txt; application/javascript js mjs; application/json json map;
        image/png png; image/jpeg jpg jpeg; image/gif gif; image/svg+xml svg; image/webp webp; image/x-icon ico;
        font/woff woff; font/woff2 woff2; application/xml xml; application/pdf pdf;
    }
    default_type application/octet-stream;"""


def exactly(secret: str) -> str:
    """A secret as a key of nginx's map, which compares plain text without regard to case. Raises UsageError."""
    if not _SECRET.match(secret):
        raise UsageError(
            "the secret holds other characters than letters, digits, _ and -", hint="openssl rand -hex 16 makes one"
        )
    return f'"~^{secret}$"'


def _upstream(route: Route) -> str:
    return f"harness_{route.tool}"


def _fastcgi(upstream: str) -> str:
    return f"{_PARAMETERS}\n            fastcgi_pass {upstream};"


def _unix(socket: Path) -> str:
    quoted = quoted_path(socket)
    return f'"unix:{quoted[1:]}'
