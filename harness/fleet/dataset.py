"""A dataset of many runs: adding runs to it, and which of its files a query reads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import UsageError
from harness.fleet.partitions import (
    FORMAT,
    KEYS,
    MARKER,
    PROFILE_TABLES,
    RUNS,
    Choice,
    Stored,
    complete,
    is_part,
    path_of,
    stored_at,
)
from harness.fleet.storage import Storage
from harness.fleet.tables import TABLES, FleetRun
from harness.report.exporters.parquet import written


@dataclass(frozen=True, slots=True)
class Added:
    """What became of a run: ``new`` when it was written now; else it was there as ``version`` already."""

    run_id: str
    version: str | None
    new: bool


class Dataset:
    """Opens the dataset at a path or URL. ``create``: make one where there is none.

    UsageError when it is none, or one of a later version.
    """

    def __init__(self, place: str, *, create: bool = False) -> None:
        self.storage = Storage(place)
        self._runs: dict[str, Stored] | None = None
        taken = next((key for key in (*KEYS, "source") if f"/{key}=" in f"/{self.storage.path('')}"), None)
        if taken is not None:
            raise UsageError(
                f"{self.storage.shown}: readers would take the directory called {taken}=... for a part of the dataset",
                hint="choose a place without one above it",
            )
        marker = self.storage.read(MARKER)
        if marker is None:
            if not create:
                raise UsageError(
                    f"there is no dataset of runs at {self.storage.shown}",
                    hint="make one with: harness export RUN... --parquet " + self.storage.shown,
                )
            if self.storage.in_use() and self.storage.read(MARKER) is None:
                raise UsageError(
                    f"{self.storage.shown} holds other files, and is no dataset of runs",
                    hint=f"name a new directory, such as {self.storage.shown.rstrip('/')}/fleet",
                )
            self.storage.write(MARKER, json.dumps({"format": FORMAT}).encode() + b"\n")
        elif _format(marker) != FORMAT:
            raise UsageError(
                f"{self.storage.shown} is no dataset that this version reads ({FORMAT})", hint="use another directory"
            )

    def there(self, key: str) -> Stored | None:
        """The row of that run, where the dataset has it."""
        if self._runs is None:
            self._runs = {file.key: file for file in self._stored(RUNS)}
        return self._runs.get(key)

    def add(self, run: FleetRun, *, replace: bool = False) -> Added:
        """Write a run's rows; those of `RUNS` last, for they make it part of the dataset. A run that is there stays as it is,
        unless ``replace``: then it is out of the dataset until it is written again."""
        there = self.there(run.key)
        if there is not None:
            if not replace:
                return Added(run.run_id, there.partition.version, new=False)
            self.storage.remove(there.path)
            for table in TABLES:
                self.storage.remove(path_of(table, there.partition, run.key))
        for content in run.tables:
            self.storage.write(path_of(content.name, run.partition, run.key), b"".join(written(content)))
        if self._runs is not None:
            path = path_of(RUNS, run.partition, run.key)
            self._runs[run.key] = Stored(RUNS, run.partition, run.key, path)
        return Added(run.run_id, run.partition.version, new=True)

    def files(self, table: str, choice: Choice) -> list[str]:
        """URLs of the files of a table that hold rows of the chosen runs, of complete runs only. Profiles belong to no run."""
        if table in PROFILE_TABLES:
            return [self.storage.url(name) for name in self.storage.names(table) if is_part(name)]
        runs = [file for file in self._stored(RUNS) if choice.takes(file.partition)]
        others = runs if table == RUNS else [*runs, *self._stored(table)]
        return [self.storage.url(file.path) for file in complete(others) if file.table == table]

    def _stored(self, table: str) -> Sequence[Stored]:
        return [found for name in self.storage.names(table) if (found := stored_at(name)) is not None]


def _format(marker: bytes) -> object:
    try:
        found = json.loads(marker)
    except ValueError:
        return None
    return found.get("format") if isinstance(found, dict) else None
