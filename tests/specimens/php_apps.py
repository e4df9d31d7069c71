"""What the families about PHP share: scenarios of the shop in ``apps/php`` behind its servers, and of the worker beside it."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

Scenario = dict[str, object]

PAGES = ("home", "list", "product", "search", "cart", "checkout", "account", "invoice", "feed", "about")
SOURCES = ("php",)
FPM = ("php", "php-fpm8.2", "nginx")
ROUNDS = 8


def requests(
    page: str | None, use: str = "", *, seed: int = 0, weights: Mapping[str, int] | None = None
) -> list[Scenario]:
    """All ten pages in an order of the seed's; ``page`` gets the query ``use``, as in ``with=static_list&size=3000``."""
    order = list(PAGES)
    random.Random(seed).shuffle(order)
    weights = weights or {}
    return [
        {
            "name": name,
            "get": ("/" if name == "home" else f"/{name}") + (f"?{use}" if name == page else ""),
            **({"weight": weights[name]} if name in weights else {}),
        }
        for name in order
    ]


def rounds(number: int = 400, *, concurrency: int = 2, warmup: int = 2, seed: int = 1) -> Scenario:
    """Identical rounds of so many requests."""
    return {
        "rounds": ROUNDS, "requests_per_round": number, "concurrency": concurrency, "warmup_rounds": warmup, "blocks": 5,
        "seed": seed + 1,
    }  # fmt: skip


def served(
    traffic: Sequence[Scenario],
    load: Scenario,
    *,
    workers: int = 2,
    web: str = "nginx",
    ini: Mapping[str, str] | None = None,
) -> Scenario:
    """php-fpm behind a web server, or PHP inside Apache: started by the adapter."""
    serve: Scenario = {"docroot": "@APPS@/php/public", "listen": "127.0.0.1:@PORT@", "workers": workers, "web": web}
    if ini:
        serve["ini"] = dict(ini)
    return _scenario({"runtime": "php", "php": {"serve": serve}}, traffic, load)


def launched_pool(traffic: Sequence[Scenario], load: Scenario, *lines: str) -> Scenario:
    """A php-fpm of the application's own, whose pool has these lines."""
    words = " ".join(f"'{line}'" for line in lines)
    target: Scenario = {
        "runtime": "php",
        "launch": f"sh @APPS@/php/pool.sh @HERE@ @PORT@ {words}",
        "url": "http://127.0.0.1:@PORT@",
        "ready": "http://127.0.0.1:@PORT@/",
    }
    return _scenario(target, traffic, load)


def built_in_server(traffic: Sequence[Scenario], load: Scenario) -> Scenario:
    """``php -S``."""
    target: Scenario = {
        "runtime": "php",
        "launch": "php -S 127.0.0.1:@PORT@ -t @APPS@/php/public @APPS@/php/public/index.php",
        "url": "http://127.0.0.1:@PORT@",
        "ready": "http://127.0.0.1:@PORT@/",
    }
    return _scenario(target, traffic, load)


def worker(
    use: str = "",
    *,
    kind: str = "cart",
    jobs: int = 400,
    polls: bool = True,
    warmup: int = 2,
    ini: Mapping[str, str] | None = None,
) -> Scenario:
    """A script that lives long, fed with the same jobs in every round. ``use``: ``NAME SIZE [OF]`` of a defect in jobs of a kind.

    ``polls``: it looks for work and sleeps in between, so the harness may ask it; else it waits for its socket.
    """
    address = "tcp://127.0.0.1:@PORT@"
    target: Scenario = {
        "runtime": "php",
        "cwd": "@APPS@/php",
        "launch": f"php worker.php {address}" + (" poll" if polls else ""),
        "ready": address,
    }
    if ini:
        target["php"] = {"ini": dict(ini)}
    feed = f"php enqueue.php {address} {jobs} {kind} {use}".strip()
    return {
        "target": target,
        "load": {"rounds": ROUNDS, "warmup_rounds": warmup, "each_round": feed},
        "profile": "auto",
    }


def _scenario(target: Scenario, traffic: Sequence[Scenario], load: Scenario) -> Scenario:
    return {"target": target, "requests": list(traffic), "load": load, "profile": "auto"}
