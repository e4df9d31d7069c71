"""The pages. Names of the functions are the endpoint names used in the scenarios."""

import hmac
import secrets

from flask import Blueprint, abort, current_app, jsonify, redirect, render_template, request, session, url_for

from shop import catalogue, orders

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
    chosen = [(catalogue.product(int(key)), count) for key, count in session.get("cart", {}).items()]
    return render_template("cart.html", lines=chosen, csrf=_csrf())


@shop.post("/cart/add")
def cart_add():
    if not hmac.compare_digest(request.form.get("csrf", "").encode(), _csrf().encode()):
        abort(403, "The form has expired: open the product page again.")
    chosen = catalogue.product(request.form.get("product", 0, type=int)) or abort(404)
    content = dict(session.get("cart", {}))
    content[str(chosen.id)] = min(99, content.get(str(chosen.id), 0) + 1)
    session["cart"] = dict(list(content.items())[-10:])  # the cookie has room for about 4 KiB
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
    return render_template("orders.html", orders=current_app.extensions["shop.orders"].latest(20))


def _csrf() -> str:
    if "csrf" not in session:
        session["csrf"] = secrets.token_hex(16)
    return session["csrf"]
