"""``enqueue.py PORT COUNT KIND...``: hands the worker COUNT jobs, the kinds in turn, and returns when all are done."""

import socket
import sys


def main(port, count, kinds):
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        answers = connection.makefile("rb")
        for number in range(count):
            connection.sendall(kinds[number % len(kinds)].encode() + b"\n")
            if not answers.readline():
                sys.exit("the worker has gone")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
