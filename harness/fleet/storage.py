"""Files of a dataset in a local directory, or wherever fsspec reaches (extra ``fleet``): written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from harness.errors import UsageError
from harness.report.words import clean
from harness.store.layout import write_atomically

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(::|://)")
_WILD = re.compile(r"[*?\[]")
_SECRETS = re.compile(r"(?<=//)(?:[^/@\s]*|[^@\s:/]*:[^@\s]*)@")  # a password may hold a slash
_QUERY = re.compile(r"\?[^\s'\"]*=[^\s'\"]*")  # such as a signature
_HINT = "pip install 'profiling-harness[fleet]'"
_Found = TypeVar("_Found")


def needed(package: str, what: str, hint: str = _HINT) -> Any:
    """An optional package. UsageError with how to install it when it is not there."""
    try:
        return import_module(package)
    except ImportError as error:
        raise UsageError(f"{what} needs {package.partition('.')[0]}", hint=hint) from error


class Storage:
    """The directory at a path or URL. Every error of a file system is a UsageError that names the place, without its password."""

    def __init__(self, place: str) -> None:
        self.place = place
        url = place if _URL.match(place) else f"file://{Path(place).absolute()}"  # fsspec takes it literally
        fsspec = needed("fsspec", "a dataset of many runs")
        self.shown = clean(_without_secrets(place), 500)
        self.fs, root = self._tried("open", lambda: fsspec.core.url_to_fs(url))
        self._root: str = root.rstrip("/")
        protocols = (self.fs.protocol,) if isinstance(self.fs.protocol, str) else self.fs.protocol
        self.local = "file" in protocols

    def path(self, name: str) -> str:
        """As the file system itself calls a file of the dataset."""
        return f"{self._root}/{name}"

    def url(self, name: str) -> str:
        """As other programs open it: with the protocol, but a plain path for a local file."""
        return self.path(name) if self.local else str(self.fs.unstrip_protocol(self.path(name)))

    def pattern(self, name: str) -> str:
        """The same for a name with wildcards."""
        if self.local:
            return f"{_WILD.sub(lambda found: f'[{found[0]}]', self._root)}/{name}"
        return self.url(name)

    def read(self, name: str) -> bytes | None:
        """The bytes of a file; None when it is not there."""
        try:
            data: bytes = self._tried("read", lambda: self.fs.cat_file(self.path(name)), missing=True)
        except FileNotFoundError:
            return None
        return data

    def in_use(self) -> bool:
        """Whether a local directory holds anything but hidden files. Elsewhere, where directories are only names, False."""
        try:
            return self.local and any(not name.startswith(".") for name in os.listdir(self.path("")))
        except FileNotFoundError:
            return False
        except OSError as error:
            raise self._error("list", error.strerror or "") from error

    def names(self, below: str) -> list[str]:
        """All files below a directory, relative to the dataset, in order; none where there is no such directory."""
        if self.local:
            return sorted(self._local_names(below))
        try:
            found = self._tried("list", lambda: self.fs.find(self.path(below)), missing=True)
        except FileNotFoundError:
            return []
        start = len(self._root) + 1
        return sorted(self.fs._strip_protocol(name)[start:] for name in found)

    def _local_names(self, below: str) -> Iterator[str]:
        start = len(self._root) + 1
        for directory, _, files in os.walk(self.path(below), followlinks=False):
            yield from (f"{directory}/{file}"[start:] for file in files if not file.startswith("."))

    def write(self, name: str, data: bytes) -> None:
        """A file that is there as a whole or not at all; what was there is replaced."""
        self._tried("write", lambda: self._write(name, data))

    def _write(self, name: str, data: bytes) -> None:
        if self.local:
            path = Path(self.path(name))
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, data)
        else:
            self.fs.pipe_file(self.path(name), data)  # object stores show an object when all of it is there

    def remove(self, name: str) -> None:
        """It need not be there."""
        with contextlib.suppress(FileNotFoundError):
            self._tried("remove", lambda: self.fs.rm_file(self.path(name)), missing=True)

    def _tried(self, verb: str, act: Callable[[], _Found], *, missing: bool = False) -> _Found:
        try:
            return act()
        except UsageError:
            raise
        except FileNotFoundError:
            if missing:
                raise
            raise self._error(verb, "it is not there") from None
        except Exception as error:  # backends raise what their libraries raise
            raise self._error(verb, str(error) or type(error).__name__) from error

    def _error(self, verb: str, why: str) -> UsageError:
        hint = "the package for that protocol may be missing" if "install" in why.lower() else None
        return UsageError(f"cannot {verb} {self.shown}: {clean(_without_secrets(why), 500)}", hint=hint)


def _without_secrets(text: str) -> str:
    """Addresses without whose they are and what follows a question mark."""
    return _QUERY.sub("?...", _SECRETS.sub("", text))
