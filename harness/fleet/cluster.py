"""Many tasks on Dask: in processes or threads of this machine, or on the workers of a scheduler (extra ``dask``)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from typing import Any, TypeVar

from harness.errors import UsageError
from harness.fleet.storage import needed
from harness.report.words import clean

_Task = TypeVar("_Task")
_Done = TypeVar("_Done")
_HINT = "pip install 'profiling-harness[dask]'"
_ANSWER_S = 10
_LOOK_S, _LOOKS = 10, 6  # so often without workers: they may be started again meanwhile


def carried_out(
    act: Callable[[_Task], _Done],
    tasks: Sequence[_Task],
    scheduler: str | None = None,
    *,
    processes: bool = False,
    workers: int | None = None,
) -> Iterator[_Done | str]:
    """The result of every task, in order; a text says why there is none (its worker died). ``act`` is a function of a module.

    ``scheduler``: address of a Dask scheduler, whose workers have this package. Without: ``workers`` threads, or processes.
    UsageError when the scheduler does not answer.
    """
    if scheduler is not None:
        return _on_cluster(act, tasks, scheduler)
    return _here(act, tasks, processes=processes, workers=workers or os.cpu_count() or 1)


def _here(
    act: Callable[[_Task], _Done], tasks: Sequence[_Task], *, processes: bool, workers: int
) -> Iterator[_Done | str]:
    bag = needed("dask.bag", "work on many processors", _HINT)
    kind = "processes" if processes else "threads"
    wave = 4 * workers  # so many results wait in memory

    def computed(few: Sequence[_Task]) -> Sequence[_Done]:
        found: list[_Done] = (
            bag.from_sequence(few, partition_size=1).map(act).compute(scheduler=kind, num_workers=workers)
        )
        return found

    for start in range(0, len(tasks), wave):
        few = tasks[start : start + wave]
        try:
            yield from computed(few)
        except BrokenExecutor:
            yield from (_alone(computed, task) for task in few)


def _alone(computed: Callable[[Sequence[_Task]], Sequence[_Done]], task: _Task) -> _Done | str:
    """One process died, which one is not known: each task again, by itself."""
    try:
        return computed([task])[0]
    except BrokenExecutor:
        return "the process that read it died"


def _on_cluster(act: Callable[[_Task], _Done], tasks: Sequence[_Task], scheduler: str) -> Iterator[_Done | str]:
    distributed = needed("distributed", "a Dask scheduler", _HINT)
    client = _client(distributed, scheduler)
    try:
        futures = client.map(act, tasks, pure=False)
        for future in futures:
            error = _outcome(client, future, scheduler)
            yield future.result() if error is None else _why(error)
            future.release()
    finally:
        client.close()


def _outcome(client: Any, future: Any, scheduler: str) -> BaseException | None:
    """Waits until a task is done; not for ever when nobody is left to do it."""
    alone = 0
    while True:
        try:
            error: BaseException | None = future.exception(timeout=_LOOK_S)
        except TimeoutError:
            alone = 0 if _workers(client) else alone + 1
            if alone == _LOOKS:
                raise UsageError(f"the scheduler {clean(scheduler)} has no workers any more") from None
        else:
            return error


def _workers(client: Any) -> int:
    return len(client.scheduler_info(n_workers=-1)["workers"])


def _client(distributed: Any, scheduler: str) -> Any:
    try:
        client = distributed.Client(scheduler, timeout=_ANSWER_S, set_as_default=False)
    except (OSError, ValueError, TimeoutError, TypeError, OverflowError) as error:
        raise UsageError(f"the scheduler {clean(scheduler)} does not answer: {clean(str(error))}") from error
    if not _workers(client):
        client.close()
        raise UsageError(f"the scheduler {clean(scheduler)} has no workers", hint=f"dask worker {clean(scheduler)}")
    return client


def _why(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
