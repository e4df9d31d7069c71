"""Texts of a run made fit to be given to others: no secrets, nothing that says whose machine it was or what people did with it.

Equal texts get equal pseudonyms (``host-1``, ``user-2``), different texts different ones, so what is compared or counted by name
comes out the same. Pseudonyms are numbered as they are met: unlike a hash, a number cannot be guessed back from a list of names.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Counter as CounterType
from typing import Dict, Iterable, List, Mapping, Pattern, Tuple
from urllib.parse import quote, quote_plus

from .secrets import without_queries, without_random, without_values

TEXT_CAP = 2000  # characters kept of a text
_LITERALS_CAP = 5000
_SHORTEST = 3
_SHORTEST_NUMBER = 5  # of digits: ports, sizes and counts are everywhere
_ANYWHERE = 8  # a known value as long as this is looked for inside of words too

# Programs whose names tell what serves, and nothing about whom.
PROGRAMS = frozenset({
    "apache2", "bash", "beat", "caddy", "celery", "celeryd", "cron", "daphne", "dash", "docker-init", "dramatiq",
    "envoy", "flask", "fpm", "frankenphp", "gunicorn", "haproxy", "hivemind", "honcho", "httpd", "hypercorn",
    "java", "lighttpd", "litestar", "mariadbd", "memcached", "mysqld", "nginx", "node", "perl", "php", "php-cgi",
    "php-fpm", "postgres", "pypy", "pypy3", "pytest", "python", "redis-server", "rq", "rr", "ruby", "runsv",
    "s6-svscan", "sh", "supervisord", "swoole", "systemd", "tini", "uvicorn", "uwsgi", "varnishd", "waitress-serve",
    "zsh",
})  # fmt: skip
# Words that servers write into titles, and commands of frameworks that say what a process is for.
_WORDS = frozenset({
    "-B", "-E", "-O", "-S", "-b", "-c", "-d", "-k", "-m", "-s", "-u", "-w", "app", "artisan", "asgi", "bin", "cgi",
    "console", "consume", "horizon:work", "listen", "main", "manage.py", "master", "messenger:consume", "pool",
    "process", "queue", "queue:listen", "queue:work", "run", "serve", "server", "start", "thread", "web", "work",
    "worker", "wsgi", "www",
})  # fmt: skip
_PROGRAM = re.compile(r"([a-z][a-z\d+]*?(?:-[a-z]+)*?)(-?\d{1,2}(?:\.\d{1,2}){0,2})?")
_OPTION = re.compile(r"(--?[a-z][a-z\-]{0,30})(?:=(.*))?", re.DOTALL)
_NUMBER = re.compile(r"\d{1,7}(?:\.\d{1,3})?[smhkKMGg%]?")
_PUNCTUATION = re.compile(r"^[\[({'\"]*|[\])}'\",;:]*$")

_HOME = re.compile(r"(?<![\w.\-])(/(?:var/|usr/)?(?:home|Users)/)([^/\s\"':,;()\[\]<>]{1,80})")
_EMAIL = re.compile(r"[\w.+\-]{1,64}@[A-Za-z0-9\-]{1,63}(?:\.[A-Za-z0-9\-]{1,63}){1,8}")
_IPV4 = re.compile(r"(?<![\w.])(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?:25[0-5]|2[0-4]\d|1?\d?\d)){3}(?![\w]|\.\d)")
_HEX4 = r"[0-9A-Fa-f]{1,4}"
_IPV6 = re.compile(
    r"(?<![\w:.])(?:(?:" + _HEX4 + r":){2,7}(?::?" + _HEX4 + r"){0,6}"
    r"|(?:" + _HEX4 + r":){1,7}:(?:" + _HEX4 + r"(?::" + _HEX4 + r"){0,6})?)(?![\w:])"
)
_MAC = re.compile(
    r"(?<![\w:\-])[0-9A-Fa-f]{2}(?::(?:[0-9A-Fa-f]{2}:){4}|-(?:[0-9A-Fa-f]{2}-){4})[0-9A-Fa-f]{2}(?![\w:\-])"
)
_CLOCK = re.compile(r"\d{1,2}:\d{2}:\d{2}")
_URL = re.compile(r"\b([a-z][a-z\d+.\-]{1,15})://([^\s/\"'<>?#]{0,300})", re.IGNORECASE)
_DOMAIN = re.compile(
    r"(?<![\w.@/\-])(?:[a-z\d][a-z\d\-]{0,62}\.){1,8}"
    r"(?:com|net|org|io|dev|cloud|local|internal|intern|lan|corp|home|edu|gov|info|biz|tech|de|fr|nl|uk|us|eu|at|ch|example|invalid"
    # Countries whose letters are seldom the name of an attribute or the ending of a file.
    r"|ae|ar|au|be|bg|br|ca|cl|cn|cz|dk|ee|es|fi|gr|hk|hr|hu|ie|il|it|jp|kr|lt|lu|lv|mx|no|nz|pl|pt|ro|ru|se|sg|si|sk|th|tr|tw"
    r"|ua|vn|za)"
    r"(?![\w\-]|\.\w)", re.IGNORECASE)  # fmt: skip
_LOCAL = re.compile(r"127\.\d{1,3}\.\d{1,3}\.\d{1,3}|0\.0\.0\.0|255\.255\.255\.255|::1?|localhost")
_RAISED = re.compile(
    r"(?<![\w.])([\w.]{0,120}?(?:Error|Exception|Warning|Exit|Fault|Timeout))\s?(?:\(|:\s).*", re.DOTALL
)
_LAST_WORD = re.compile(r"[^\s/.:;,&|()<>]*\Z")
_QUOTED = re.compile(r"'[^'\n]{0,300}'|\"[^\"\n]{0,300}\"")
_KEY = re.compile(r"\[['\"].*\Z|\[\d{7,}\]", re.DOTALL)  # to the end: what closes a key may be within it
_OURS = re.compile(r"(?:arg|email|endpoint|file|host|ip|key|name|program|quoted|user|value)-\d+")
# Accounts that are not persons.
PERSONS = frozenset({
    "admin", "apache", "app", "daemon", "debian", "docker", "home", "http", "nginx", "nobody", "root", "runner",
    "ubuntu", "user", "users", "vagrant", "www", "www-data",
})  # fmt: skip


class Sharing:
    """One run's texts. Keeps which pseudonym stands for what only as long as it lives; `counts` says how many replacements of
    which kind were made."""

    def __init__(self) -> None:
        self.counts: CounterType[str] = Counter()
        self._names: Dict[Tuple[str, str], str] = {}
        self._numbers: CounterType[str] = Counter()
        self._literals: Dict[str, str] = {}  # value -> kind
        self._kept: frozenset[str] = frozenset()
        self._pattern: Pattern[str] | None = None
        self._texts: Dict[str, str] = {}

    def pseudonym(self, kind: str, value: str) -> str:
        """The same for the same value, never the same for two."""
        self.counts[kind] += 1
        known = self._names.get((kind, value))
        if known is None:
            self._numbers[kind] += 1
            known = self._names[kind, value] = f"{kind}-{self._numbers[kind]}"
        return known

    def learn(self, kind: str, values: Iterable[str], kept: Iterable[str] = ()) -> None:
        """Replace these values from now on wherever they are met, also in the spellings of URLs. Words in ``kept`` (names of
        endpoints and the like) are not learned, and neither is what is too short to mean anything."""
        self._kept |= frozenset(kept)
        for value in values:
            text = value.strip()
            meaningless = len(text) < (_SHORTEST_NUMBER if text.isdigit() else _SHORTEST) or _LOCAL.fullmatch(text)
            if meaningless or text in self._kept or len(self._literals) >= _LITERALS_CAP:
                continue
            for spelling in {text, quote(text, safe=""), quote_plus(text)}:
                self._literals.setdefault(spelling, kind)
        self._pattern = None
        self._texts.clear()

    def host(self, name: str) -> str:
        """A host's name; no name stays no name."""
        return name if not name or _LOCAL.fullmatch(name) else self.pseudonym("host", name)

    def text(self, text: str) -> str:
        """A text for people. What was quoted in it and what exceptions said of values goes."""
        known = self._texts.get(text)
        if known is None:
            known = self._texts[text] = self._text(_capped(text))
        return known

    def _text(self, text: str) -> str:
        text = _RAISED.sub(self._exception, text)
        text = _QUOTED.sub(self._quoted, text)
        return self._values(self._places(text))

    def source(self, line: str) -> str:
        """A line of source, for those who asked to have them: what it says is kept as far as it does not look like a secret."""
        return self._values(self._places(_capped(line)))

    def code(self, text: str) -> str:
        """A name out of source code: what identifies a place in a program stays."""
        if _OURS.fullmatch(text):
            return self.pseudonym("name", text)
        return self._made_up(self._places(_capped(text)))

    def label(self, text: str) -> str:
        """What a profile says of an object, such as ``dict (3)`` or ``['a key']``: keys of mappings are values."""
        return self.code(_KEY.sub(lambda found: f"[{self.pseudonym('key', found.group())}]", _capped(text)))

    def path(self, path: str) -> str:
        """A file's path, each part judged by itself, endings kept."""
        return "/".join(self._part(part) for part in self._places(_capped(path)).split("/"))

    def _part(self, part: str) -> str:
        stem, dot, ending = part.rpartition(".")
        if dot and stem and len(ending) <= 6:
            return f"{self._made_up(stem)}.{ending}"
        return self._made_up(part)

    def _made_up(self, text: str) -> str:
        """A name without words that nobody would write, and without query strings."""
        if "?" in text:
            text = without_queries(text, lambda value: self._hidden("query string", value))
        return without_random(text, lambda word: self.pseudonym("name", word))

    def program(self, name: str) -> str:
        """A process's name, which any process can set to anything: well known ones stay."""
        return name if not name or self._known_program(name) else self.pseudonym("program", name)

    def command(self, line: str) -> str:
        """A command line or title: programs, names of options and small numbers stay, other words are ``arg-N``."""
        words = _capped(line).split()
        return " ".join(self._argument(word, first=index == 0) for index, word in enumerate(words))

    def request(self, name: str) -> str:
        """What a request was called inside the target, ``GET /orders/17``: numbers and plain words of the path stay."""
        method, blank, rest = _capped(name).partition(" ")
        if not blank:
            return self.text(name)
        shown = without_queries(rest, lambda value: self._hidden("query string", value)).partition("?")[0]
        parts = (
            p if re.fullmatch(r"[a-z][a-z_.\-]{0,30}|\d{0,6}", p) else self.pseudonym("value", p)
            for p in shown.split("/")
        )
        return self._replaced(f"{method if re.fullmatch('[A-Z]{1,10}', method) else 'REQUEST'} {'/'.join(parts)}")

    def _argument(self, word: str, *, first: bool) -> str:
        bare = _PUNCTUATION.sub("", word)
        if not bare or bare in _WORDS or _NUMBER.fullmatch(bare) or self._known_program(bare):
            return word
        option = _OPTION.fullmatch(bare)
        if option is not None and not first and not self._replaces(option.group(1)):
            value = option.group(2)
            small = value is None or _NUMBER.fullmatch(value)
            return bare if small else f"{option.group(1)}={self.pseudonym('arg', value or '')}"
        program = bare.rpartition("/")[2]
        if "/" in bare and self._known_program(program):
            return f"{word[: word.index(bare)]}…/{program}"
        return word.replace(bare, self.pseudonym("program" if first else "arg", bare), 1)

    def _known_program(self, name: str) -> bool:
        found = _PROGRAM.fullmatch(name)
        return name in PROGRAMS or (found is not None and found.group(1) in PROGRAMS)

    def _replaces(self, text: str) -> bool:
        return self._replaced(text) != text or without_random(text) != text

    def _places(self, text: str) -> str:
        """Without what says where: known values first, for a part of them may look like something else."""
        text = self._replaced(text)
        if "/" in text:
            text = _HOME.sub(lambda m: m.group(1) + self._user(m.group(2)), text)
        if "://" in text:
            text = _URL.sub(self._address, text)
        if "@" in text:
            text = _EMAIL.sub(lambda m: self.pseudonym("email", m.group()), text)
        if "." in text:
            text = _IPV4.sub(self._ip, text)
        if ":" in text or "-" in text:
            text = _MAC.sub(lambda m: self.pseudonym("ip", m.group()), text)
        if ":" in text:
            text = _IPV6.sub(self._ip, text)
        return text

    def _values(self, text: str) -> str:
        shown = without_values(text)
        if shown != text:
            self.counts["value after a telling name"] += 1
        if "." in shown:
            shown = _DOMAIN.sub(lambda m: self.pseudonym("host", m.group()), shown)
        return without_random(shown, lambda word: self.pseudonym("value", word))

    def _exception(self, found: re.Match[str]) -> str:
        self.counts["message of an exception"] += 1
        return found.group(1) + ": …"

    def _quoted(self, found: re.Match[str]) -> str:
        inner = found.group()[1:-1]
        if (
            not inner
            or inner in self._kept
            or _OURS.fullmatch(inner)
            or inner.replace("-", "").replace(".", "").isdigit()
        ):
            return found.group()
        return self.pseudonym("quoted", found.group())

    def _hidden(self, kind: str, value: str) -> str:
        self.counts[kind] += 1
        return self.pseudonym("value", value)

    def _user(self, name: str) -> str:
        return name if name in PERSONS or _OURS.fullmatch(name) else self.pseudonym("user", name)

    def _address(self, found: re.Match[str]) -> str:
        scheme, place = found.group(1), found.group(2).rpartition("@")
        host, colon, port = place[2].partition(":") if not place[2].startswith("[") else (place[2], "", "")
        shown = (
            host
            if not host or _LOCAL.fullmatch(host.strip("[]")) or _OURS.fullmatch(host)
            else self.pseudonym("host", host)
        )
        if place[1]:
            self.counts["user info of an address"] += 1
        return f"{scheme}://{shown}{colon}{port if port.isdigit() else ''}"

    def _ip(self, found: re.Match[str]) -> str:
        address = found.group()
        if _LOCAL.fullmatch(address) or _CLOCK.fullmatch(address) or not any(c.isdigit() for c in address):
            return address
        return self.pseudonym("ip", address)

    def _replaced(self, text: str) -> str:
        if not self._literals:
            return text
        if self._pattern is None:
            by_length = sorted(self._literals, key=lambda each: (-len(each), each))
            self._pattern = re.compile("|".join(map(_literal, by_length)))
        return self._pattern.sub(lambda m: self.pseudonym(self._literals[m.group()], m.group()), text)


def strings_in(value: object, depth: int = 0) -> List[str]:
    """All texts in plain data (keys of mappings are names, not values), numbers of five digits and more as texts."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return [str(value)] if len(str(value)) >= 5 else []
    if depth > 20:
        return []
    if isinstance(value, Mapping):
        return [text for each in value.values() for text in strings_in(each, depth + 1)]
    if isinstance(value, (list, tuple)):
        return [text for each in value for text in strings_in(each, depth + 1)]
    return []


def _capped(text: str) -> str:
    """At most `TEXT_CAP` characters, cut between words: half a secret does not look like one."""
    return text if len(text) <= TEXT_CAP else _LAST_WORD.sub("", text[: TEXT_CAP - 1]) + "…"


def _literal(value: str) -> str:
    pattern = re.escape(value)
    if len(value) >= _ANYWHERE:
        return pattern
    return (
        (r"(?<![A-Za-z0-9])" if value[0].isalnum() else "")
        + pattern
        + (r"(?![A-Za-z0-9])" if value[-1].isalnum() else "")
    )
