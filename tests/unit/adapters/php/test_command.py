from __future__ import annotations

import pytest

from adapters.php.command import is_fpm, is_php, parse_command


@pytest.mark.parametrize(
    ("line", "options", "rest"),
    [
        ("php job.php -d x=1", "", "job.php -d x=1"),
        ("php -n -d a=b job.php", "n d", "job.php"),
        ("php -da=b -c/etc job.php", "d c", "job.php"),
        ("php -S 127.0.0.1:80 -t pub router.php", "S t", "router.php"),
        ("php --server=localhost:80 --docroot pub", "S t", ""),
        ("php --no-php-ini --define a=b -- -x", "n d", "-- -x"),
        ("php -r echo; -- a", "r", "-- a"),
        ("php -f job.php a", "f", "a"),
        ("php - a", "", "- a"),
        ("php -d", "d", ""),
        ("/usr/bin/php8.2", "", ""),
    ],
)
def test_options_end_where_the_script_begins(line: str, options: str, rest: str) -> None:
    command = parse_command(line.split())
    assert command is not None
    assert " ".join(o.letter for o in command.options) == options
    assert command.rest == tuple(rest.split())
    assert command.argv == tuple(line.split()), "nothing is lost or reordered"


@pytest.mark.parametrize("line", ["", "phpunit x", "sh -c php", "php-fpm -F", "/opt/php/run x"])
def test_other_programs_are_no_php_command(line: str) -> None:
    assert parse_command(line.split()) is None


def test_a_built_in_server_can_be_moved_and_rerouted() -> None:
    command = parse_command(["php", "-S", "a:1", "-t", "pub", "r.php"])
    assert command is not None
    assert (command.listen, command.docroot, command.router) == ("a:1", "pub", "r.php")
    moved = command.listening_on("b:2").routed_by("/x/s.php")
    assert moved.argv == ("php", "-S", "b:2", "-t", "pub", "/x/s.php")
    script = parse_command(["php", "r.php"])
    assert script is not None
    assert script.router is None


def test_settings_are_added_last_and_taken_out_again() -> None:
    command = parse_command(["php", "-d", "auto_prepend_file='/own.php'", "job.php", "x"])
    assert command is not None
    assert command.defined("auto_prepend_file") == "/own.php"
    ours = command.defining({"auto_prepend_file": "/agent.php"})
    assert ours.argv == (
        "php",
        "-d",
        "auto_prepend_file='/own.php'",
        "-d",
        "auto_prepend_file=/agent.php",
        "job.php",
        "x",
    )
    assert ours.without("auto_prepend_file=/agent.php") == command


def test_the_configuration_is_what_decides_about_extensions() -> None:
    command = parse_command(["php", "-n", "-c", "/etc", "-d", "a=b", "-z", "x.so", "-t", "pub", "-S", "a:1"])
    assert command is not None
    assert command.configuration == ("php", "-n", "-c", "/etc", "-d", "a=b", "-z", "x.so")


def test_names_of_programs() -> None:
    assert all(is_php(name) for name in ("php", "/usr/bin/php8.2", "php7", "php-cli", "php82"))
    assert not any(is_php(name) for name in ("php-fpm", "phpize", "php-config", "phpstan", "nphp"))
    assert all(is_fpm(name) for name in ("php-fpm", "php-fpm8.2", "/usr/sbin/php-fpm7.4", "php-fpm82"))
    assert not any(is_fpm(name) for name in ("php", "fpm", "php-fpm-exporter"))
