"""The service that every contestant serves: a page that takes some ten ms, with functions worth watching line by line."""

import os
import sys
from wsgiref.simple_server import WSGIRequestHandler, make_server

from flask import Flask, render_template_string

app = Flask(__name__)
KEPT = []
PAGE = """<ul>{% for order in orders %}<li class="{{ order.state }}">{{ order.name }}: {{ "%.2f"|format(order.total) }}</li>
{% endfor %}</ul><p>{{ total }}</p>"""


def orders(count):
    found = []
    for number in range(count):
        lines = [{"sku": f"s{item}", "price": item * 1.5} for item in range(number % 7)]
        found.append({"name": f"order {number}", "state": "open", "lines": lines, "total": summed(lines)})
    return found


def summed(lines):
    return sum(line["price"] for line in lines)


def report(count):
    found = orders(count)
    total = 0
    for order in found:
        total += order["total"]
    KEPT.append(bytearray(1000))
    return render_template_string(PAGE, orders=found, total=total)


if os.environ.get("BENCH_DECORATE"):  # what memory_profiler's documentation says to do
    from memory_profiler import profile

    nowhere = open(os.devnull, "w")  # noqa: SIM115  (open as long as the process)
    report = profile(report, stream=nowhere)


@app.get("/")
def page():
    return report(1000)


class Quiet(WSGIRequestHandler):
    def log_message(self, format, *args):  # noqa: A002  (the name is the library's)
        pass


if __name__ == "__main__":
    server = make_server("127.0.0.1", 0, app, handler_class=Quiet)
    sys.stdout.write(f"port {server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()
