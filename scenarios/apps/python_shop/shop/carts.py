"""What visitors have put aside, in the database: a session cookie only says who they are."""

from shop import catalogue
from shop.catalogue import Product


def add(visitor: str, product: Product) -> None:
    """One more of ``product``, up to 99."""
    with catalogue.database() as database:
        database.execute(
            "INSERT INTO cart VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET quantity = min(99, quantity + 1)",
            (visitor, product.id),
        )


def content(visitor: str) -> list[tuple[Product, int]]:
    rows = catalogue.database().execute(
        "SELECT product.*, quantity FROM cart JOIN product ON product.id = product_id WHERE visitor = ?", (visitor,)
    )
    return [(Product(*row[:-1]), row[-1]) for row in rows]
