"""Orders: checking what the browser sent, pricing it, writing the receipt, and the feed the back office looks at."""

import sqlite3
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice

from flask import render_template

from shop import catalogue


class InvalidOrderError(ValueError):
    """What was posted is not an order; the text is meant for the customer."""


@dataclass(frozen=True, slots=True)
class Line:
    """One product of an order."""

    product: catalogue.Product
    quantity: int

    @property
    def total_cents(self) -> int:
        return self.product.price_cents * self.quantity


@dataclass(slots=True)
class Order:
    """An order as placed: who, what, and the JSON it came from (support asks for it)."""

    email: str
    lines: list[Line]
    request: Mapping[str, object]
    number: int = 0
    receipt: str = field(default="", repr=False)

    @property
    def total_cents(self) -> int:
        return sum(line.total_cents for line in self.lines)


class OrderFeed:
    """The latest orders of this worker, newest first, for the back office page."""

    def __init__(self, limit: int | None) -> None:
        self._orders: deque[Order] = deque(maxlen=limit)

    def add(self, order: Order) -> None:
        self._orders.appendleft(order)

    def latest(self, count: int) -> list[Order]:
        return list(islice(self._orders, count))


def parse_order(data: object) -> Order:
    """``{"email": str, "items": [{"product": id, "quantity": n}, ...]}``; `InvalidOrderError` says what is wrong."""
    if not isinstance(data, dict):
        raise InvalidOrderError("expected a JSON object")
    email, items = data.get("email"), data.get("items")
    if not isinstance(email, str) or "@" not in email:
        raise InvalidOrderError("email is missing")
    if not isinstance(items, list) or not 1 <= len(items) <= 20:
        raise InvalidOrderError("an order has 1 to 20 items")
    return Order(email=email, lines=[_parse_line(item) for item in items], request=data)


def _parse_line(item: object) -> Line:
    try:
        product_id, quantity = int(item["product"]), int(item["quantity"])
    except (KeyError, TypeError, ValueError):
        raise InvalidOrderError("an item has a product and a quantity") from None
    product = catalogue.product(product_id)
    if product is None or not 1 <= quantity <= 99:
        raise InvalidOrderError("no such product, or a quantity out of range")
    return Line(product, quantity)


def place_order(order: Order, database: sqlite3.Connection, feed: OrderFeed) -> Order:
    """Store the order, write its receipt and show it to the back office."""
    with database:
        cursor = database.execute(
            "INSERT INTO purchase (email, total_cents) VALUES (?, ?)", (order.email, order.total_cents)
        )
    order.number = cursor.lastrowid or 0
    order.receipt = render_receipt(order)
    feed.add(order)
    return order


def render_receipt(order: Order) -> str:
    """The e-mail the customer gets, as HTML of about 2 KiB a line."""
    return render_template("receipt.html", order=order)
