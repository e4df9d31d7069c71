"""PHP command lines, read and rewritten. Pure.

``php [options] script [arguments]``, ``php [options] -S host:port [-t dir] [router]``, and -r, -a and friends.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

from adapters.php.ini import define_options

_PHP = re.compile(r"php(-?cli)?(-?\d+(\.\d+)*)?\Z")
_FPM = re.compile(r"php-fpm-?(\d+(\.\d+)*)?\Z")
_WITH_VALUE = "cdfrBRFEStz"  # -c path, -d name=value, -S host:port, ...; also joined, as in -dname=value
_LONG_WITH_VALUE = {"--php-ini": "c", "--define": "d", "--file": "f", "--run": "r", "--process-begin": "B",
                    "--process-code": "R", "--process-file": "F", "--process-end": "E", "--server": "S",
                    "--docroot": "t", "--zend-extension": "z"}  # fmt: skip
_LONG_FLAGS = {"--no-php-ini": "n"}


@dataclass(frozen=True, slots=True)
class Option:
    """One option as it was written (one or two words) and what it means."""

    words: tuple[str, ...]
    letter: str
    value: str | None


@dataclass(frozen=True, slots=True)
class PhpCommand:
    """A command line whose program is php: its options, then everything from the script (or ``--``) on."""

    binary: str
    options: tuple[Option, ...]
    rest: tuple[str, ...]

    @property
    def argv(self) -> tuple[str, ...]:
        return (self.binary, *(word for option in self.options for word in option.words), *self.rest)

    @property
    def listen(self) -> str | None:
        """``host:port`` of a built-in web server."""
        return self._last("S")

    @property
    def docroot(self) -> str | None:
        return self._last("t")

    @property
    def router(self) -> str | None:
        """The router script of a built-in web server."""
        return self.rest[0] if self.listen is not None and self.rest and self.rest[0] != "--" else None

    @property
    def configuration(self) -> tuple[str, ...]:
        """The binary with the options that decide which configuration it has."""
        words = tuple(word for option in self.options if option.letter in "ncdz" for word in option.words)
        return (self.binary, *words)

    @property
    def without_ini_files(self) -> bool:
        """``-n``: PHP reads neither php.ini nor a scan directory."""
        return any(option.letter == "n" for option in self.options)

    def defined(self, name: str) -> str | None:
        """The value of the last ``-d name=value``, unquoted; None when there is none."""
        found = None
        for option in self.options:
            key, _, value = (option.value or "").partition("=")
            if option.letter == "d" and key.strip() == name:
                found = value.strip().strip("\"'")
        return found

    def defining(self, settings: Mapping[str, str]) -> PhpCommand:
        """With these settings after all others, so that they win."""
        words = define_options(settings)
        added = tuple(Option((flag, text), "d", text) for flag, text in zip(words[::2], words[1::2], strict=True))
        return replace(self, options=(*self.options, *added))

    def without(self, text: str) -> PhpCommand:
        """Without the ``-d`` options whose whole text is ``text``."""
        return replace(self, options=tuple(o for o in self.options if not (o.letter == "d" and o.value == text)))

    def routed_by(self, router: str) -> PhpCommand:
        """The same built-in server with another router script."""
        return replace(self, rest=(router, *self.rest[1:]))

    def listening_on(self, listen: str) -> PhpCommand:
        """The same built-in server on another address."""
        options = tuple(Option(("-S", listen), "S", listen) if o.letter == "S" else o for o in self.options)
        return replace(self, options=options)

    def _last(self, letter: str) -> str | None:
        return next((o.value for o in reversed(self.options) if o.letter == letter), None)


def is_php(program: str) -> bool:
    """Whether a program's name is that of command-line PHP."""
    return _PHP.match(PurePath(program).name) is not None


def is_fpm(program: str) -> bool:
    """Whether a program's name is that of php-fpm."""
    return _FPM.match(PurePath(program).name) is not None


def parse_command(argv: Sequence[str]) -> PhpCommand | None:
    """The command line in parts; None when its program is not command-line PHP."""
    if not argv or not is_php(argv[0]):
        return None
    options: list[Option] = []
    position = 1
    while position < len(argv):
        option = _option(argv, position)
        if option is None:
            break
        options.append(option)
        position += len(option.words)
    return PhpCommand(argv[0], tuple(options), tuple(argv[position:]))


def _option(argv: Sequence[str], position: int) -> Option | None:
    word = argv[position]
    if not word.startswith("-") or word in {"-", "--"}:
        return None
    following = argv[position + 1] if position + 1 < len(argv) else None
    if word.startswith("--"):
        name, has_value, value = word.partition("=")
        letter = _LONG_WITH_VALUE.get(name)
        if letter is None:
            return Option((word,), _LONG_FLAGS.get(name, ""), None)
        if has_value:
            return Option((word,), letter, value)
    else:
        letter = word[1]
        if letter not in _WITH_VALUE:
            return Option((word,), letter, None)
        if len(word) > 2:
            return Option((word,), letter, word[2:].removeprefix("="))
    return Option((word,), letter, None) if following is None else Option((word, following), letter, following)
