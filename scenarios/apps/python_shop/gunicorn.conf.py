"""How the shop is served: four pre-forked sync workers over one SQLite file that lives as long as the server.

Read by ``gunicorn`` from its working directory; ``gunicorn --bind`` moves it to another address.
"""

import os
import shutil
import tempfile
from pathlib import Path

from shop.catalogue import create_database

wsgi_app = "shop:create_app()"
bind = "127.0.0.1:8741"
workers = 4
worker_class = "sync"
control_socket_disable = True  # gunicorn >= 25 would start a thread and a socket in the home directory


def on_starting(server):
    """Create the data before the first fork; workers inherit the environment."""
    server.shop_data = tempfile.mkdtemp(prefix="python-shop-")
    database = Path(server.shop_data, "shop.sqlite")
    create_database(database)
    os.environ["SHOP_DATABASE"] = str(database)


def on_exit(server):
    shutil.rmtree(server.shop_data, ignore_errors=True)
