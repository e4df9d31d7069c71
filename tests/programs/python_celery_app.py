"""A Celery application whose broker is a directory (CELERY_DIRECTORY): one task leaks, one is clean."""

import fcntl
import functools
import os
import sys

from celery import Celery
from kombu.transport.filesystem import Channel

directory = os.environ["CELERY_DIRECTORY"]


def alone(method):
    """kombu reads its files without a lock, also those that another process has only begun to write, and dies of it."""

    @functools.wraps(method)
    def locked(*arguments, **options):
        with open(directory + "/lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return method(*arguments, **options)

    return locked


for name in ("get_table", "_queue_bind", "_put", "_get"):
    setattr(Channel, name, alone(getattr(Channel, name)))

app = Celery("python_celery_app", broker="filesystem://")
app.conf.update(
    broker_transport_options={
        "data_folder_in": directory + "/queue",
        "data_folder_out": directory + "/queue",
        "control_folder": directory + "/control",
        "polling_interval": 0.1,
    },
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=False,
)
kept = []


@app.task
def leak(size):
    kept.append(bytearray(size))  # the line that keeps


@app.task
def clean(size):
    return len(bytearray(size))


@app.task(bind=True, max_retries=1)
def again(self):
    """Fails once, and is tried again at once."""
    if self.request.retries == 0:
        raise self.retry(countdown=0)
    return dict(self.request.headers or {})


if __name__ == "__main__":  # feed: NAME=COUNT ..., sizes of 100 000 bytes
    for word in sys.argv[1:]:
        name, _, count = word.partition("=")
        for _ in range(int(count)):
            app.tasks["python_celery_app." + name].delay(100_000)
