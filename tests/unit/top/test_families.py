"""Which processes belong together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from looks import process

from harness.sampling.protocol import Identity
from harness.top.families import SPAWNED, families, program_of
from harness.top.model import Process


@pytest.mark.parametrize(
    ("arguments", "program"),
    [
        (("/usr/bin/python3.11", "/srv/bin/gunicorn", "shop:app"), "gunicorn"),
        (("python3", "-u", "-m", "celery", "worker"), "celery"),
        (("/usr/bin/python3", "/usr/bin/supervisord"), "supervisord"),
        (("gunicorn: master [shop]",), "gunicorn"),
        (("php-fpm: pool www",), "php-fpm"),
        (("nginx: master process /usr/sbin/nginx -g daemon off;",), "nginx"),
        (("[celeryd: celery@host:MainProcess] -active- (worker)",), "celeryd"),
        (("postgres: 15/main: checkpointer ",), "postgres"),
        (("/usr/lib/postgresql/15/bin/postgres", "-D", "/var/lib"), "postgres"),
        (("/usr/sbin/apache2", "-k", "start"), "apache2"),
        (("uwsgi", "--ini", "x.ini"), "uwsgi"),
        (("node", "--max-old-space-size=99", "/srv/app/server.js"), "server.js"),
        (("php", "artisan", "queue:work"), "artisan"),
        (("python3", "-c", "from multiprocessing.spawn import spawn_main; spawn_main(...)"), SPAWNED),
        (("python3", "-m", "multiprocessing.resource_tracker"), SPAWNED),
        (("python3", "-c", "print(1)"), ""),
        (("sh", "-c", "true"), ""),
        (("-bash",), ""),
        (("bash",), ""),
        (("python3", "-u"), ""),
        (("python3", "-m"), ""),
        ((), "comm"),
        (("/opt/x y/tool",), "x"),
        (("",), ""),
    ],
)
def test_programs(arguments: tuple[str, ...], program: str) -> None:
    assert program_of(arguments, "comm") == program


@given(st.lists(st.text(max_size=40), max_size=4), st.text(max_size=15))
def test_any_command_line_has_a_program_or_none(arguments: list[str], name: str) -> None:
    assert isinstance(program_of(arguments, name), str)


def heads(*processes: Process) -> dict[int, int]:
    return {who.pid: family.head.pid for who, family in families(processes).items()}


def test_forks_belong_to_their_master_and_a_program_executed_by_it_does_not() -> None:
    image = (0x5555, 0x7FFF)
    assert heads(
        process(10, program="", image=image),
        process(11, ppid=10, program="other title", image=image),
        process(12, ppid=11, program="", image=image),
        process(13, ppid=10, program="", image=(0x5555, 0x7AAA)),
    ) == {10: 10, 11: 10, 12: 10, 13: 13}


def test_without_permission_the_program_decides() -> None:
    assert heads(
        process(10, program="supervisord"),
        process(20, ppid=10, program="gunicorn"),
        process(21, ppid=20, program="gunicorn"),
        process(22, ppid=20, program=SPAWNED),
        process(30, ppid=20, program=""),
        process(31, ppid=30, program=""),
    ) == {10: 10, 20: 20, 21: 20, 22: 20, 30: 30, 31: 31}


def test_workers_of_a_hidden_master_are_one_family_but_the_children_of_init_are_not() -> None:
    assert heads(
        process(50, ppid=40, program="php-fpm"),
        process(51, ppid=40, program="php-fpm"),
        process(52, ppid=40, program="other"),
        process(53, ppid=41, program="php-fpm"),
        process(54, ppid=0, program="x"),
        process(55, ppid=0, program="x"),
    ) == {50: 50, 51: 50, 52: 52, 53: 53, 54: 54, 55: 55}


def test_a_younger_process_under_the_parents_pid_is_not_the_parent() -> None:
    assert heads(process(10, program="a", start=99), process(20, ppid=10, program="a", start=50)) == {10: 10, 20: 20}


def test_a_chain_of_forks_longer_than_any_stack() -> None:
    chain = [process(pid, ppid=pid - 1, program="x", start=5) for pid in range(2, 5000)]
    found = families(reversed(chain))
    assert {family.head.pid for family in found.values()} == {2}
    assert len(found) == 4998


@given(st.lists(st.tuples(st.integers(1, 8), st.integers(0, 8), st.integers(0, 3), st.sampled_from("ab")), max_size=8))
def test_every_process_has_one_family_even_if_parents_form_a_ring(rows: list[tuple[int, int, int, str]]) -> None:
    """Files of different processes are read at different times, so what they say together may be impossible."""
    processes = {pid: process(pid, ppid=ppid, start=start, program=p) for pid, ppid, start, p in rows}
    found = families(processes.values())
    assert set(found) == {p.who for p in processes.values()}
    for family in found.values():
        assert found[family.head].head == family.head


def fpm(pid: int, pool: str | None, ppid: int = 100) -> Process:
    title = "php-fpm: master process (/etc/php-fpm.conf)" if pool is None else f"php-fpm: pool {pool}"
    return process(pid, ppid=ppid, command=title, program="php-fpm")


def test_php_fpm_with_one_pool_is_one_family_named_after_it() -> None:
    found = families([fpm(100, None, 1), fpm(101, "www"), fpm(102, "www")])
    assert set(found.values()) == {(Identity(100, 100), "www", "php-fpm: pool www")}


def test_php_fpm_with_several_pools_is_divided_and_its_master_stands_alone() -> None:
    found = families([fpm(100, None, 1), fpm(101, "www"), fpm(102, "shop"), fpm(103, "www")])
    names = {who.pid: family.name for who, family in found.items()}
    assert names == {
        100: "php-fpm: master process (/etc/php-fpm.conf)",
        101: "php-fpm: pool www",
        102: "php-fpm: pool shop",
        103: "php-fpm: pool www",
    }
    assert len({family[:2] for family in found.values()}) == 3
