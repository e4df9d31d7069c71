"""``enqueue.py PORT COUNT``: hands the worker COUNT jobs, the same ones every time, and returns when all are done."""

import json
import random
import socket
import sys

_PROSE = "the river rose in the night and the mill stood still until the water had gone down again"


def main(port: int, count: int) -> None:
    dice = random.Random(11)
    words = _PROSE.split()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        answers = connection.makefile("rb")
        for number in range(count):
            job = {"id": number, "text": " ".join(dice.choices(words, k=800))}
            connection.sendall(json.dumps(job).encode() + b"\n")
            if json.loads(answers.readline())["id"] != number:
                sys.exit("the worker answered another job")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
