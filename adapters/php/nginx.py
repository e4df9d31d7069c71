"""Configuration of a private nginx in front of two php-fpm masters. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from adapters.php.accounts import Account
from adapters.php.ini import quoted_path

TRIGGER_COOKIE = "XDEBUG_TRIGGER"
PING_MAIN = "/.harness/ping"
PING_XDEBUG = "/.harness/ping-xdebug"


@dataclass(frozen=True, slots=True)
class NginxConfig:
    """``main`` and ``xdebug`` are FPM sockets; requests whose trigger cookie is ``token`` go to the latter.

    ``state_dir`` takes the pid file and the temporary files. ``front_controller`` is relative to the document root.
    """

    listen: str
    docroot: Path
    front_controller: str | None
    main: Path
    xdebug: Path
    token: str
    account: Account
    state_dir: Path


def render_nginx(config: NginxConfig) -> str:
    """The text of an nginx.conf. Raises UsageError for paths it cannot hold."""
    last = "=404" if config.front_controller is None else f"/{config.front_controller.lstrip('/')}$is_args$args"
    quoted_path(Path(last.removesuffix("$is_args$args")))
    user = f"user {config.account.user} {config.account.group};\n" if config.account.switch else ""
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
    upstream harness_main {{ server {_unix(config.main)}; }}
    upstream harness_xdebug {{ server {_unix(config.xdebug)}; }}
    map $cookie_{TRIGGER_COOKIE} $harness_php {{ default harness_main; "{config.token}" harness_xdebug; }}

    server {{
        listen {config.listen};
        server_name _;
        root {quoted_path(config.docroot)};
        index index.php index.html;

        location / {{ try_files $uri $uri/ {last}; }}
        location = {PING_MAIN} {{ {_fastcgi("harness_main")} }}
        location = {PING_XDEBUG} {{ {_fastcgi("harness_xdebug")} }}
        location ~ /\\.(?!well-known/) {{ return 404; }}
        location ~ [^/]\\.php(?:/|$) {{
            fastcgi_split_path_info ^(.+?\\.php)(/.*)$;
            set $harness_path_info $fastcgi_path_info;  # try_files forgets it
            try_files $fastcgi_script_name =404;
            fastcgi_param PATH_INFO $harness_path_info;
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


def _fastcgi(upstream: str) -> str:
    return f"{_PARAMETERS}\n            fastcgi_pass {upstream};"


def _unix(socket: Path) -> str:
    quoted = quoted_path(socket)
    return f'"unix:{quoted[1:]}'
