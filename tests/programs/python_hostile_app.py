"""An application that does what no application should; standard library only. ``ACT`` names what it does before it serves,
words apart by commas. Serves itself, or is served by gunicorn."""

import builtins
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

KEPT = []
HEARD = []
LOCK = threading.Lock()
REAL = {"open": builtins.open, "write": os.write}


def refuse(*args, **named):
    raise RuntimeError("patched by the application")


def patch_files():
    builtins.open = os.open = os.write = os.close = os.fstat = os.pread = os.rename = os.unlink = refuse


def patch_json():
    json.dumps = json.loads = json.JSONEncoder.encode = json.JSONEncoder.iterencode = refuse


def patch_time():
    for name in ("monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time_ns", "thread_time_ns"):
        setattr(time, name, refuse)


def freeze_time():
    for name in ("monotonic", "monotonic_ns", "process_time_ns", "thread_time_ns"):
        setattr(time, name, lambda: 1)


def patch_process():
    os.getpid = os.getppid = os.getcwd = os.fork = os.waitpid = os.pipe = os.urandom = refuse
    sys.getallocatedblocks = refuse


class Broken:
    def __getattr__(self, name):
        raise RuntimeError("patched by the application")


def break_output():
    sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = Broken()


def close_everything():
    os.closerange(3, 1 << 12)
    KEPT.append([os.open(os.environ["VICTIM_FILE"], os.O_RDWR | os.O_CREAT, 0o600) for _ in range(16)])


def close_standard_streams():
    for fd in (0, 1, 2):
        os.close(fd)


def few_files():
    """One descriptor is left, for the connection."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    spare = []
    try:
        while True:
            spare.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        os.close(spare.pop())
    KEPT.append(spare)


def no_growth_of_files():
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def block_signals():
    signal.pthread_sigmask(
        signal.SIG_BLOCK,
        set(signal.Signals) - {signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP}
        | set(range(signal.SIGRTMIN, signal.SIGRTMAX + 1)),
    )


def own_handler():
    signal.signal(signal.SIGRTMAX - 9, lambda number, frame: HEARD.append(number))


def forget_environment():
    os.environ.clear()
    sys.path[:] = [path for path in sys.path if "site-packages" not in path]
    for name in [name for name in sys.modules if name.startswith("_harness")]:
        del sys.modules[name]


def leave_directory():
    """The working directory is gone from here on."""
    directory = tempfile.mkdtemp()
    os.chdir(directory)
    os.rmdir(directory)  # noqa: PTH106  (as old code does it)


ACTS = {
    function.__name__: function
    for function in (
        patch_files,
        patch_json,
        patch_time,
        freeze_time,
        patch_process,
        break_output,
        close_everything,
        close_standard_streams,
        few_files,
        no_growth_of_files,
        block_signals,
        own_handler,
        forget_environment,
        leave_directory,
    )
}


# --- requests --------------------------------------------------------------------------------------------------------


def keep():
    KEPT.append(bytearray(b"x" * 100_000))
    return b"kept"


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def deadlock():
    with LOCK:
        LOCK.acquire()


def flood():
    line = b"x" * 999 + b"\n"
    for _ in range(int(os.environ.get("FLOOD_LINES", "5000"))):
        os.write(1, line)
    return b"printed"


def bomb():
    """200 children that end at once, 50 programs."""
    for number in range(200):
        pid = os.fork()
        if pid == 0:
            os._exit(number % 7)
        done, status = os.waitpid(pid, 0)
        assert (done, os.WEXITSTATUS(status)) == (pid, number % 7)
    for start in range(0, 50, 10):
        programs = [subprocess.Popen([sys.executable, "-c", "pass"]) for _ in range(start, start + 10)]
        assert [program.wait() for program in programs] == [0] * 10
    return b"survived"


ANSWERS = {
    "/": lambda: b"hello",
    "/keep": keep,
    "/die": die,
    "/deadlock": deadlock,
    "/leave": lambda: leave_directory() or b"left",
    "/flood": flood,
    "/bomb": bomb,
    "/heard": lambda: b"%d" % len(HEARD),
    "/nap": lambda: time.sleep(0.01) or b"rested",
}


def application(environ, start_response):
    answer = ANSWERS.get(environ["PATH_INFO"])
    body = answer() if answer else b"nothing here"
    start_response("200 OK" if answer else "404 Not Found", [("Content-Type", "text/plain")])
    return [body]


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, format, *args):  # noqa: A002  (the name is the library's)
        pass


def main():
    acts = [ACTS[name] for name in os.environ.get("ACT", "").split(",") if name]
    threads = Server if os.environ.get("THREADS") else WSGIServer
    server = make_server("127.0.0.1", int(os.environ.get("PORT", "0")), application, threads, Quiet)
    sys.stdout.write(f"port {server.server_port}\n")
    sys.stdout.flush()
    if close_everything in acts:
        server.socket = type(server.socket)(fileno=os.dup2(server.fileno(), 5000))
    for act in acts:
        act()
    server.serve_forever()


if __name__ == "__main__":
    main()
else:
    for name in os.environ.get("ACT", "").split(","):
        if name:
            ACTS[name]()
