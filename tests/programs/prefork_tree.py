"""A pre-forked server's shape without its traffic: a master that listens, and workers that hold memory.

``prefork_tree.py WORKERS [PORT]``; without a port it listens nowhere. Says ``ready MASTER WORKER...`` once all workers run. Then
each line on stdin is an order, answered when it has been carried out: ``grow BYTES`` (each worker touches so much more) with
``grown``, ``replace`` (the oldest worker ends, another is forked) with ``replaced OLD NEW``. End of file stops everything.
"""

from __future__ import annotations

import os
import signal
import socket
import sys


class Worker:
    """The master's end of one worker."""

    def __init__(self) -> None:
        order_read, self.orders = os.pipe()
        self.answers, answer_write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.orders)
            os.close(self.answers)
            serve(order_read, answer_write)
        os.close(order_read)
        os.close(answer_write)
        self.heard()

    def tell(self, text: str) -> None:
        os.write(self.orders, text.encode() + b"\n")

    def heard(self) -> None:
        assert os.read(self.answers, 1) == b"."


def serve(orders: int, answers: int) -> None:
    """A worker's life: hold what it was told to, end with the master."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    held = [bytearray(b"\x01") * 1_000_000]
    os.write(answers, b".")
    with os.fdopen(orders) as lines:
        for line in lines:
            held.append(bytearray(b"\x01") * int(line))
            os.write(answers, b".")
    os._exit(0)


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def main() -> None:
    count = int(sys.argv[1])
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    listener = socket.create_server(("127.0.0.1", port)) if port else None
    workers = [Worker() for _ in range(count)]
    say("ready", os.getpid(), *(worker.pid for worker in workers))
    for line in sys.stdin:
        words = line.split()
        if words[0] == "grow":
            for worker in workers:
                worker.tell(words[1])
            for worker in workers:
                worker.heard()
            say("grown")
        elif words[0] == "replace":
            old = workers.pop(0)
            os.kill(old.pid, signal.SIGKILL)
            os.waitpid(old.pid, 0)
            workers.append(Worker())
            say("replaced", old.pid, workers[-1].pid)
    for worker in workers:
        os.kill(worker.pid, signal.SIGKILL)
        os.waitpid(worker.pid, 0)
    if listener is not None:
        listener.close()


main()
