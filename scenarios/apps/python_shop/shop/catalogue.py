"""Products in SQLite: one connection a worker, and a bounded cache of search results that warms up and stays."""

import random
import sqlite3
import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from flask import current_app

PRODUCTS = 120
_ADJECTIVES = ("plain", "sturdy", "folding", "woven", "quiet", "bright", "hollow", "double", "narrow", "salted")
_NOUNS = (
    "lamp",
    "kettle",
    "ladder",
    "basket",
    "clock",
    "stool",
    "brush",
    "kite",
    "teapot",
    "blanket",
    "hammer",
    "flask",
)
_PROSE = "made by hand from oak and brass in a small workshop near the river where nothing is ever thrown away"
_local = threading.local()


@dataclass(frozen=True, slots=True)
class Product:
    """One row of the catalogue; the price is in cents."""

    id: int
    name: str
    price_cents: int
    description: str


def create_database(path: Path) -> None:
    """Write a fresh catalogue, the same one every time."""
    dice = random.Random(7)
    names = [f"{adjective} {noun}" for adjective in _ADJECTIVES for noun in _NOUNS]
    words = _PROSE.split()
    rows = [
        (number, name, dice.randrange(300, 20_000), " ".join(dice.choices(words, k=300)))
        for number, name in enumerate(names, start=1)
    ]
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(
            "CREATE TABLE product (id INTEGER PRIMARY KEY, name TEXT, price_cents INTEGER, description TEXT)"
        )
        connection.execute("CREATE INDEX product_price ON product (price_cents)")
        connection.execute("CREATE TABLE purchase (id INTEGER PRIMARY KEY, email TEXT, total_cents INTEGER)")
        connection.execute(
            "CREATE TABLE cart (visitor TEXT, product_id INTEGER, quantity INTEGER, PRIMARY KEY (visitor, product_id))"
        )
        connection.executemany("INSERT INTO product VALUES (?, ?, ?, ?)", rows)
    connection.close()


def database() -> sqlite3.Connection:
    """This worker's connection (one a thread, should the server use threads), opened at its first request."""
    if not hasattr(_local, "connection"):
        _local.connection = sqlite3.connect(current_app.config["DATABASE"], timeout=10)
        _local.connection.execute("PRAGMA synchronous = NORMAL")
    return _local.connection


def product(product_id: int) -> Product | None:
    row = database().execute("SELECT * FROM product WHERE id = ?", (product_id,)).fetchone()
    return None if row is None else Product(*row)


def featured(count: int = 12) -> list[Product]:
    return [Product(*row) for row in database().execute("SELECT * FROM product ORDER BY price_cents LIMIT ?", (count,))]


def suggestion() -> str:
    """A search worth trying; the pages link to it."""
    return random.choice(_NOUNS)


@lru_cache(maxsize=64)
def search(words: str) -> tuple[Product, ...]:
    """Products with all of ``words`` in their name, at most 24. The cache is bounded: it fills early and then stays."""
    clauses = " AND ".join("name LIKE ? ESCAPE '\\'" for _ in words.split()) or "1"
    patterns = [f"%{_literal(word)}%" for word in words.split()]
    rows = database().execute(f"SELECT * FROM product WHERE {clauses} ORDER BY name LIMIT 24", patterns)
    return tuple(Product(*row) for row in rows)


def _literal(word: str) -> str:
    return word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
