"""A WSGI shop of ten pages that keep nothing.

``?with=NAME&size=N`` makes a page also use ``defects/NAME.py``: real packages, used as their documentation says,
in versions that leak and in versions that do not. Nothing but the package is needed.
"""

import base64
import hashlib
import html
import importlib
import json
import os
import string
from urllib.parse import parse_qs


def products(count):
    return [
        {"id": number, "name": f"Product {number}", "price": number * 7919 % 5000, "tags": [f"t{number}", "new"]}
        for number in range(1, count + 1)
    ]


def table(rows):
    cells = "".join(f"<tr><td>{html.escape(row['name'])}</td><td>{row['price'] / 100:.2f}</td></tr>" for row in rows)
    return f"<table>{cells}</table>"


def home():
    return table(products(40)[:10])


def listing():
    return table(sorted(products(120), key=lambda row: row["price"]))


def product():
    return html.escape(repr(products(17)[-1]))


def search():
    return table([row for row in products(200) if "7" in row["name"]])


def cart():
    return table([{"name": row["name"], "price": 3 * row["price"]} for row in products(15)])


def checkout():
    order = {"lines": products(25), "total": sum(row["price"] for row in products(25))}
    return hashlib.sha256(json.dumps(order).encode()).hexdigest()


def account():
    return base64.b64encode(os.urandom(96)).decode()


def invoice():
    return string.Template("Dear $name, " + "terms and conditions apply. " * 150).substitute(name="Anna")


def feed():
    return html.escape(json.dumps(products(80)))


def about():
    return ("the river and the mill. " * 60).replace("the", "<b>the</b>")


PAGES = {
    "/": home, "/list": listing, "/product": product, "/search": search, "/cart": cart, "/checkout": checkout,
    "/account": account, "/invoice": invoice, "/feed": feed, "/about": about,
}  # fmt: skip


def application(environ, start_response):
    page = PAGES.get(environ["PATH_INFO"])
    if page is None:
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"no such page\n"]
    body = page()
    query = parse_qs(environ.get("QUERY_STRING", ""))
    if "with" in query:
        defect = importlib.import_module(f"defects.{os.path.basename(query['with'][0])}")
        defect.use(int(query["size"][0]))
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
    return [f"<!doctype html>{body}\n".encode()]
