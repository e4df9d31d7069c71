"""PHP that answers requests: the heap is dropped after each, so what grows is outside of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from specimens import php_apps
from specimens.model import Group, Specimen, Truth
from specimens.php_apps import Scenario

_HEALTHY = ("healthy", "warmup")
_STATIC = ("pm = static", "pm.max_children = 2")
_APCU = {"apc.shm_size": "128M"}

_DROPPED = Truth(
    ("healthy",), "A static array grows within a request only: the request's heap is dropped at its end.", healthy=True
)
_BUILT_IN = Truth(
    ("leak.native",),
    "A static array is dropped with the request's heap; but `php -S` itself loses about 50 bytes of malloc's memory with "
    "every request, of whatever page (PHP 8.2, seen in a plain shell loop too).",
    endpoints=dict.fromkeys(php_apps.PAGES, 50),
    below_mdl=True,
)
_PLAIN = Truth(("healthy",), "The shop keeps nothing.", healthy=True)
_BURSTS = Truth(
    ("healthy",),
    "Every request to one page needs 10 MiB and keeps nothing; the heap is dropped, and PHP keeps a few chunks for the next.",
    healthy=True,
    also=("retention",),
)
_RARE_GIANT = Truth(
    (*_HEALTHY, "inconclusive"),
    "One request in a hundred needs 120 MiB: PHP keeps some of the chunks, and fewer with each that follows: memory goes up "
    "and down by 28 MiB from round to round.",
    healthy=True,
    also=("retention",),
)
_APCU_FILLS = Truth(
    _HEALTHY, "An APCu cache has a limited set of keys, and fills.", healthy=True, also=("shared-memory",)
)
_TEMPLATES = Truth(
    _HEALTHY,
    "60 templates are compiled and kept by opcache, each once.",
    healthy=True,
    also=("shared-memory",),
)
_TEMPLATES_MANY = Truth(
    ("warmup", "healthy", "inconclusive"),
    "120 templates in random order: opcache gets fewer new ones with every round, and has nearly all at the end of the run.",
    healthy=True,
)
_PATTERNS = Truth(
    _HEALTHY,
    "PCRE keeps up to 4096 compiled patterns in each worker, from request to request, and then no more.",
    healthy=True,
)
_FILES = Truth(
    ("page-cache", "healthy"),
    "A page cache in files that nobody removes: the kernel keeps them in memory, and gives that back when it is needed.",
    healthy=True,
    endpoints={"feed": None},
)
_SPAWNS = Truth(
    ("healthy", "warmup", "inconclusive"),
    "The shop keeps nothing; the pool starts workers as they are needed.",
    healthy=True,
)
_RESTARTS = Truth(
    ("healthy", "inconclusive"),
    "The shop keeps nothing; workers are replaced after 150 requests (pm.max_requests).",
    healthy=True,
)


@dataclass(frozen=True, slots=True)
class _Case:
    """``keeps``: bytes of one request to ``page``, where it keeps something."""

    name: str
    scenario: Scenario
    truth: Truth
    page: str | None = None
    keeps: int | None = None
    held_out: bool = False
    quick: bool = False
    programs: tuple[str, ...] = php_apps.FPM


def _databases(page: str, rows: int, keeps: int, **options: object) -> Truth:
    return Truth(
        ("leak.native",),
        f"A persistent SQLite connection with a name of its own for every request to {page}: the worker keeps it, "
        "in malloc's memory.",
        endpoints={page: keeps},
        **options,  # type: ignore[arg-type]
    )


def _all_but(page: str, weight: int) -> dict[str, int]:
    return {name: weight for name in php_apps.PAGES if name != page}


def _sockets(page: str) -> Truth:
    return Truth(
        ("descriptors",),
        f"pfsockopen() to another address in every request to {page}: the worker keeps the socket.",
        endpoints={page: None},
        also=("leak.native",),
    )


def _apcu(page: str, keeps: int, **options: object) -> Truth:
    return Truth(
        ("shared-memory",),
        f"Every request to {page} stores an APCu entry with a key that is never the same twice, for good.",
        endpoints={page: keeps},
        **options,  # type: ignore[arg-type]
    )


def _cases() -> list[_Case]:
    ask, rounds, served = php_apps.requests, php_apps.rounds, php_apps.served
    lines = ("pm.max_children = 6", "pm.start_servers = 1", "pm.min_spare_servers = 1", "pm.max_spare_servers = 6")
    return [
        _Case("fpm-keeps-nothing", served(ask(None), rounds()), _PLAIN),
        _Case(
            "fpm-static-array", served(ask("search", "with=static_list&size=3000", seed=2), rounds(seed=2)), _DROPPED
        ),
        _Case(
            "fpm-static-array-large",
            served(ask("feed", "with=event_log&size=400", seed=3), rounds(seed=3), workers=4),
            _DROPPED,
            held_out=True,
        ),
        _Case(
            "fpm-persistent-databases",
            served(ask("cart", "with=persistent_databases&size=20", seed=4), rounds(seed=4)),
            _databases("cart", 20, 30300),
            quick=True,
        ),
        _Case(
            "fpm-persistent-databases-other",
            served(ask("feed", "with=persistent_databases&size=2", seed=5), rounds(600, seed=5), workers=3),
            _databases("feed", 2, 29000),
            held_out=True,
        ),
        _Case(
            "fpm-persistent-databases-rare",
            served(
                ask("account", "with=persistent_databases&size=2", seed=6, weights=_all_but("account", 22)),
                rounds(seed=6),
            ),
            _databases("account", 2, 29000, below_mdl=True),
        ),
        _Case(
            "mod-php-persistent-databases",
            served(ask("invoice", "with=persistent_databases&size=10", seed=7), rounds(seed=7), web="mod_php"),
            _databases("invoice", 10, 29500),
            programs=("php", "apache2"),
        ),
        _Case(
            "apache-fpm-static-array",
            served(ask("list", "with=static_list&size=8000", seed=8), rounds(seed=8), web="apache"),
            _DROPPED,
            held_out=True,
            programs=("php", "php-fpm8.2", "apache2"),
        ),
        _Case(
            "built-in-server-static-array",
            php_apps.built_in_server(ask("cart", "with=static_list&size=3000", seed=9), rounds(seed=9)),
            _BUILT_IN,
            programs=("php",),
        ),
        _Case(
            "built-in-server-persistent-databases",
            php_apps.built_in_server(ask("about", "with=persistent_databases&size=5", seed=10), rounds(seed=10)),
            _databases("about", 5, 29000),
            held_out=True,
            programs=("php",),
        ),
        _Case(
            "fpm-persistent-sockets",
            served(ask("checkout", "with=persistent_sockets&size=1", seed=11), rounds(seed=11)),
            _sockets("checkout"),
        ),
        _Case(
            "fpm-persistent-sockets-other",
            served(ask("home", "with=persistent_sockets&size=2", seed=12), rounds(300, seed=12), workers=3),
            _sockets("home"),
            held_out=True,
        ),
        _Case(
            "fpm-apcu-forever",
            served(ask("product", "with=apcu_forever&size=6000", seed=13), rounds(seed=13), ini=_APCU),
            _apcu("product", 6200),
        ),
        _Case(
            "fpm-apcu-forever-slow",
            served(ask("search", "with=apcu_forever&size=900", seed=14), rounds(600, seed=14), ini=_APCU),
            _apcu("search", 1100, below_mdl=True),
            held_out=True,
        ),
        _Case(
            "fpm-apcu-bounded",
            served(ask("product", "with=apcu_bounded&size=20000&of=40", seed=15), rounds(seed=15), ini=_APCU),
            _APCU_FILLS,
        ),
        _Case(
            "fpm-apcu-bounded-other",
            served(ask("home", "with=apcu_bounded&size=60000&of=60", seed=16), rounds(600, seed=16), ini=_APCU),
            _APCU_FILLS,
            held_out=True,
        ),
        _Case(
            "fpm-route-patterns",
            served(ask("list", "with=routes&size=120&of=4000", seed=17), rounds(600, seed=17, warmup=3)),
            _PATTERNS,
        ),
        _Case(
            "fpm-route-patterns-other",
            served(ask("cart", "with=routes&size=100&of=3000", seed=18), rounds(seed=18), workers=3),
            _PATTERNS,
            held_out=True,
        ),
        _Case("fpm-bursts", served(ask("list", "with=big_request&size=20000", seed=19), rounds(200, seed=19)), _BURSTS),
        _Case(
            "fpm-rare-giant",
            served(
                ask("invoice", "with=big_request&size=300000", seed=20, weights=_all_but("invoice", 11)),
                rounds(seed=20),
                ini={"memory_limit": "512M"},
            ),
            _RARE_GIANT,
            held_out=True,
        ),
        _Case(
            "fpm-templates",
            php_apps.launched_pool(
                ask("list", "with=compiled_templates&size=9000&of=60", seed=21), rounds(seed=21), *_STATIC
            ),
            _TEMPLATES,
        ),
        _Case(
            "fpm-templates-many",
            php_apps.launched_pool(
                ask("list", "with=compiled_templates&size=9000&of=120", seed=28), rounds(seed=28), *_STATIC
            ),
            _TEMPLATES_MANY,
        ),
        _Case(
            "fpm-page-files",
            php_apps.launched_pool(ask("feed", "with=page_files&size=400000", seed=22), rounds(seed=22), *_STATIC),
            _FILES,
        ),
        _Case(
            "fpm-ondemand",
            php_apps.launched_pool(
                ask(None, seed=23), rounds(seed=23, concurrency=4), "pm = ondemand", "pm.max_children = 6"
            ),
            _SPAWNS,
        ),
        _Case(
            "fpm-dynamic",
            php_apps.launched_pool(ask(None, seed=24), rounds(seed=24, concurrency=4), "pm = dynamic", *lines),
            _SPAWNS,
            held_out=True,
        ),
        _Case(
            "fpm-max-requests",
            php_apps.launched_pool(ask(None, seed=25), rounds(seed=25), *_STATIC, "pm.max_requests = 150"),
            _RESTARTS,
        ),
        _Case(
            "fpm-max-requests-leak",
            php_apps.launched_pool(
                ask("cart", "with=persistent_databases&size=20", seed=26),
                rounds(seed=26),
                *_STATIC,
                "pm.max_requests = 150",
            ),
            replace(_databases("cart", 20, 30300), causes=("leak.native", "inconclusive")),
        ),
    ]


def specimens() -> list[Specimen]:
    """Under php-fpm, mod_php and `php -S`."""
    return [
        Specimen(
            name=f"php-{case.name}",
            family="php_web",
            runtime="php",
            scenario=case.scenario,
            truth=case.truth,
            group=Group.HELD_OUT if case.held_out else Group.DEVELOPMENT,
            quick=case.quick,
            sources=php_apps.SOURCES,
            programs=case.programs,
            seed=seed,
        )
        for seed, case in enumerate(_cases())
    ]
