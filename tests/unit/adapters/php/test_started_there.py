"""Programs that are started on another host, for which this machine stands: its PHP is asked by commands."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from adapters.php.started_there import prepared
from harness.plugins.spec import AdapterContext, Check, LaunchPlan

VARIABLES = {
    "PHP_INI_SCAN_DIR": ":/there/agent/php/ini-main", "XDEBUG_MODE": "off", "HARNESS_ORDERS": "/there/agent/php/order",
}  # fmt: skip


class Host:
    name = "web-1"

    def __init__(self, **environment: str) -> None:
        self._environment = environment

    def run(self, argv: Sequence[str]) -> tuple[int, bytes]:
        environment = {name: value for name, value in os.environ.items() if name != "PHP_INI_SCAN_DIR"}
        done = subprocess.run(argv, env={**environment, **self._environment}, capture_output=True, check=False)
        return done.returncode, done.stdout


def start(tmp_path: Path, *argv: str, measured: bool = True, **environment: str) -> tuple[LaunchPlan, Sequence[Check]]:
    context = AdapterContext(tmp_path, "0" * 32, {}, ())
    plan = LaunchPlan("web", argv, {"A": "b"}, measured=measured)
    found, checks = prepared(context, [plan], VARIABLES, Host(**environment))
    return found.plans[0], checks


@pytest.mark.parametrize("argv", [("php", "worker.php"), ("php-fpm8.2", "-F"), ("bin/console", "consume")])
def test_the_environment_brings_it_in(tmp_path: Path, argv: tuple[str, ...]) -> None:
    plan, checks = start(tmp_path, *argv)
    assert (plan.argv, dict(plan.env)) == (argv, {"A": "b", **VARIABLES})
    assert not checks


def test_directories_that_are_read_there_stay(tmp_path: Path) -> None:
    plan, _ = start(tmp_path, "php", "worker.php", PHP_INI_SCAN_DIR="/etc/mine")
    assert plan.env["PHP_INI_SCAN_DIR"] == "/etc/mine:/there/agent/php/ini-main"


def test_without_ini_files_an_option_does_it(tmp_path: Path) -> None:
    plan, _ = start(tmp_path, "php", "-n", "worker.php")
    assert plan.argv == ("php", "-n", "-d", "auto_prepend_file=/there/agent/php/agent/prepend.php", "worker.php")


def test_nobody_is_displaced(tmp_path: Path) -> None:
    """An application's own prepend file, by an option or by php.ini."""
    (tmp_path / "own.ini").write_text("auto_prepend_file = /srv/own.php\n")
    (tmp_path / "own.php").write_text("<?php\n")
    (tmp_path / "own.ini").write_text(f"auto_prepend_file = {tmp_path}/own.php\n")
    for argv, environment in (
        (("php", "-d", "auto_prepend_file=/srv/own.php", "worker.php"), {}),
        (("php", "worker.php"), {"PHP_INI_SCAN_DIR": f":{tmp_path}"}),
    ):
        plan, (check,) = start(tmp_path, *argv, **environment)
        assert (plan.argv, plan.env) == (argv, {"A": "b"})
        assert "take the place of" in check.message
        assert check.costs


def test_what_a_router_answers_has_no_record(tmp_path: Path) -> None:
    plan, (check,) = start(tmp_path, "php", "-S", "127.0.0.1:8000", "router.php")
    assert plan.env["PHP_INI_SCAN_DIR"]
    assert "router" in check.message


def test_what_is_not_measured_is_left_alone(tmp_path: Path) -> None:
    plan, checks = start(tmp_path, "php", "worker.php", measured=False)
    assert (dict(plan.env), list(checks)) == ({"A": "b"}, [])
