"""What all ways to serve a document root have in common."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.php.options import Serve
from adapters.php.servers.served import existing_prepend, socket_path
from adapters.php.state import Places


def test_sockets_are_where_the_run_is() -> None:
    assert socket_path(Places(Path("/srv/my runs/ü-1/work")), "main.sock") == Path(
        "/srv/my runs/ü-1/work/php/main.sock"
    )


@pytest.mark.parametrize("runs", ["/srv/" + 80 * "x", "/srv/a#b", "/srv/a?b", "/srv/a:b", "/srv/a%42", "/srv/a|b"])
def test_sockets_that_are_too_long_or_that_apache_would_cut_are_named_from_the_working_directory(runs: str) -> None:
    assert socket_path(Places(Path(runs) / "run" / "work"), "main.sock") == Path("/proc/self/cwd/main.sock")


@pytest.mark.parametrize(
    ("line", "file"),
    [
        ('auto_prepend_file = "/srv/waf.php" ; a firewall', "/srv/waf.php"),
        ("auto_prepend_file=/srv/waf.php;a firewall", "/srv/waf.php"),
        ("; auto_prepend_file = /srv/old.php\nauto_prepend_file = '/srv/a;b.php'", "/srv/a;b.php"),
        ("\n\nauto_prepend_file = /srv/waf.php \nprecision = 3", "/srv/waf.php"),
        ("auto_prepend_file =\nprecision = 3", None),
        ("auto_prepend_file = none", None),
        ("auto_prepend_file = none ; since May", None),
    ],
)
def test_the_prepend_file_of_a_user_ini_as_php_reads_it(tmp_path: Path, line: str, file: str | None) -> None:
    (tmp_path / ".user.ini").write_text(line)
    assert existing_prepend(Serve(tmp_path, "127.0.0.1:8080", 1, None, {}), {}) == file


def test_a_user_ini_that_names_no_file_wins_over_php_ini(tmp_path: Path) -> None:
    serve, directives = Serve(tmp_path, "127.0.0.1:8080", 1, None, {}), {"auto_prepend_file": "/etc/a.php"}
    assert existing_prepend(serve, directives) == "/etc/a.php"
    (tmp_path / ".user.ini").write_text("auto_prepend_file =\n")
    assert existing_prepend(serve, directives) is None
