"""A long-lived worker: reads words from a named pipe for ever and does what they say. Imported by nobody; it is the script.

Prints ``ready`` when it takes work, and the word after each job.
"""

import asyncio
import contextlib
import gc
import json
import os
import sys
import threading

kept = []


def keep(size):
    kept.append(bytearray(size))  # the line that keeps


class Mailer:
    def __init__(self):
        self.sent = 0

    def send(self, word):
        self.sent += 1
        return word

    @staticmethod
    def check(word):
        return bool(word)

    @classmethod
    def make(cls):
        return cls()


async def fetch(word):
    await asyncio.sleep(0)
    return word


def fail():
    raise RuntimeError("as ordered")


def numbers():
    yield from range(3)


def say(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def spin():
    while True:
        [bytearray(size) for size in range(3000)]


def look():
    """Say what an agent changes in a process."""
    say(
        json.dumps(
            {
                "keep": repr(keep),
                "send": repr(Mailer.__dict__["send"]),
                "gc callbacks": len(gc.callbacks),
                "finders": len(sys.meta_path),
                "names": sorted(globals()),
                "environ": sorted(os.environ),
            }
        )
    )


def obey(word, mailer):
    if word.isdigit():
        keep(int(word))
    elif word == "send":
        mailer.send(word)
    elif word == "class":
        Mailer.make()
        Mailer.check(word)
    elif word == "fetch":
        assert asyncio.iscoroutinefunction(fetch)
        assert asyncio.run(fetch(word)) == word
    elif word == "fail":
        with contextlib.suppress(RuntimeError):
            fail()
    elif word == "fork":
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
    elif word == "spin":
        for _ in range(3):
            threading.Thread(target=spin, daemon=True).start()
    elif word == "look":
        look()
    elif word == "traced":
        say(f"tracer {sys.gettrace()}")


def main():
    mailer = Mailer()
    say("ready")
    while True:
        with open(sys.argv[1]) as pipe:
            for line in pipe:
                obey(line.strip(), mailer)
                say(line.strip())


if __name__ == "__main__":
    main()
