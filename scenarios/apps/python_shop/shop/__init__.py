"""A small web shop with one planted defect, for trying `harness` on something whose truth is known.

``SHOP_DEFECT=off`` in the environment gives the healthy version; everything else, the variable missing included, leaks.
What leaks and where is told in ``scenarios/apps/README.md``, so that reading this package does not spoil the search.
"""

import os

from flask import Flask

from shop import views
from shop.orders import OrderFeed


def create_app() -> Flask:
    """One application object a worker process. ``SHOP_DATABASE`` names the file made by `catalogue.create_database`."""
    app = Flask(__name__)
    app.config.update(
        SECRET_KEY=os.environ.get("SHOP_SECRET", "demo only"),
        DATABASE=os.environ["SHOP_DATABASE"],
        MAX_CONTENT_LENGTH=64 * 1024,
    )
    healthy = os.environ.get("SHOP_DEFECT", "on") == "off"
    app.extensions["shop.orders"] = OrderFeed(limit=10 if healthy else None)
    app.register_blueprint(views.shop)
    return app
