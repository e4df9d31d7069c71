"""The pages. Names of the functions are the endpoint names used in the scenarios."""

import hmac
import secrets

from flask import Blueprint, abort, current_app, jsonify, redirect, render_template, request, session, url_for

from shop import carts, catalogue, orders

shop = Blueprint("shop", __name__)


@shop.get("/health")
def health():
    catalogue.database().execute("SELECT 1 FROM product LIMIT 1")
    return jsonify(status="ok")


@shop.get("/")
def home():
    return render_template("home.html", products=catalogue.featured(), suggestion=catalogue.suggestion())


@shop.get("/product/<int:product_id>")
def product(product_id: int):
    found = catalogue.product(product_id) or abort(404)
    return render_template("product.html", product=found, csrf=_csrf())


@shop.get("/search")
def search():
    words = " ".join(sorted(request.args.get("q", "")[:60].lower().split()))
    return render_template("search.html", words=words, products=catalogue.search(words))


@shop.get("/cart")
def cart():
    return render_template("cart.html", lines=carts.content(_visitor()))


@shop.post("/cart/add")
def cart_add():
    if not hmac.compare_digest(request.form.get("csrf", "").encode(), _csrf().encode()):
        abort(403, "The form has expired: open the product page again.")
    chosen = catalogue.product(request.form.get("product", 0, type=int)) or abort(404)
    carts.add(_visitor(), chosen)
    return redirect(url_for("shop.cart"))


@shop.post("/checkout")
def checkout():
    try:
        order = orders.parse_order(request.get_json())
    except orders.InvalidOrderError as error:
        return jsonify(error=str(error)), 422
    placed = orders.place_order(order, catalogue.database(), current_app.extensions["shop.orders"])
    return jsonify(number=placed.number, total_cents=placed.total_cents), 201


@shop.get("/backoffice/orders")
def recent_orders():
    return render_template("orders.html", orders=current_app.extensions["shop.orders"].latest(10))


def _csrf() -> str:
    return _kept_in_session("csrf")


def _visitor() -> str:
    return _kept_in_session("visitor")


def _kept_in_session(key: str) -> str:
    """A random word of this visitor's own, made when it is first needed."""
    if key not in session:
        session[key] = secrets.token_hex(16)
    return session[key]
