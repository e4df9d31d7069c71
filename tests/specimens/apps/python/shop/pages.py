"""The ten pages: a little real work each, all of it garbage afterwards; the one cache is bounded and soon full."""

import base64
import functools
import hashlib
import html
import json
import string
import zlib

_TERMS = "The goods remain the property of the seller until they are paid for in full. "
_LETTER = string.Template("<p>Dear $name,</p><p>$body</p><p>$total</p>")


def products(count, first=1):
    return [
        {"id": n, "name": f"Product {n}", "price": n * 7919 % 5000, "tags": [f"t{n}", "new", "sale"]}
        for n in range(first, first + count)
    ]


@functools.lru_cache(maxsize=32)
def category(number):
    return table(products(12, 100 * number))


def table(rows):
    cells = "".join(
        "<tr><td>{}</td><td>{:.2f}</td></tr>".format(html.escape(row["name"]), row["price"] / 100) for row in rows
    )
    return f"<table>{cells}</table>"


def home(number):
    return category(number % 8) + table(products(20))


def listing(number):
    return table(sorted(products(80), key=lambda row: row["price"]))


def product(number):
    return html.escape(json.dumps(products(3, number % 50), indent=2))


def search(number):
    return table([row for row in products(120) if str(number % 10) in row["name"]])


def cart(number):
    return table([{"name": row["name"], "price": 3 * row["price"]} for row in products(15)])


def checkout(number):
    order = {"id": number, "lines": products(25), "total": sum(row["price"] for row in products(25))}
    return hashlib.sha256(json.dumps(order).encode()).hexdigest()


def account(number):
    return base64.b64encode(hashlib.sha512(b"%d" % number).digest() * 8).decode()


def invoice(number):
    return _LETTER.substitute(name="Anna", body=_TERMS * 40, total="%.2f" % (number % 9999 / 100))


def feed(number):
    return json.dumps({"items": products(60), "next": number + 1})


def export(number):
    return base64.b64encode(zlib.compress(json.dumps(products(60)).encode(), 1)).decode()


PAGES = {
    "home": home, "list": listing, "product": product, "search": search, "cart": cart, "checkout": checkout,
    "account": account, "invoice": invoice, "feed": feed, "export": export,
}  # fmt: skip
