"""Runs in the target's Python with the agent loaded: prints us per call of an empty WSGI application, bare and recorded.

PYTHONPATH=... HARNESS_...=... python record_loop.py CALLS TURNS
"""

import sys
import time

from _harness_agent.middleware import wrap

ENVIRON = {
    "REQUEST_METHOD": "GET",
    "SCRIPT_NAME": "",
    "PATH_INFO": "/item/12",
    "HTTP_TRACEPARENT": f"00-{'c' * 32}-0123456789abcdef-01",
}


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"x"]


def start_response(status, headers, exc_info=None):
    return None


def us_per_call(call, calls):
    begin = time.perf_counter_ns()
    for _ in range(calls):
        call(dict(ENVIRON), start_response)
    return (time.perf_counter_ns() - begin) / calls / 1000


def main():
    calls, turns = int(sys.argv[1]), int(sys.argv[2])
    recorded = wrap(application)
    for _ in range(turns):
        sys.stdout.write(f"{us_per_call(application, calls):.3f} {us_per_call(recorded, calls):.3f}\n")


main()
