"""Settings that Xdebug does not know, or knows by another name. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from adapters.php.inspection.model import Directive, Setup, Version
from adapters.php.inspection.names import (
    CONFIG_KEYS,
    INVENTED,
    SETTINGS,
    in_xdebug_2,
    in_xdebug_3,
    known,
    nearest,
)
from harness.plugins.spec import Check, CheckLevel

_IGNORED = "what the line is to do is not done, and no profile comes of it"
_XHPROF = ("xhprof", "tideways_xhprof", "tideways")


def names(setup: Setup) -> Iterator[Check]:
    """Wrong names, in the order of the lines."""
    version = setup.xdebug.version or _implied(setup)
    for directive in setup.directives:
        if directive.name.lower().startswith("xdebug."):
            check = _name(directive, version, setup)
            if check is not None:
                yield check
    yield from _config_variable(setup)
    yield from _xprof(setup)
    yield from _without_xdebug(setup)


def _implied(setup: Setup) -> Version | None:
    """The Xdebug that this PHP would have, where that is certain: PHP 8 has 3, PHP 7.1 and older have 2."""
    if setup.php is None:
        return None
    if setup.php >= (8, 0):
        return (3, 99)
    return (2, 9) if setup.php < (7, 2) else None


def _name(directive: Directive, version: Version | None, setup: Setup) -> Check | None:
    name, place = directive.name, directive.place
    called = f"Xdebug {setup.xdebug.text}" if setup.xdebug.version else "the Xdebug of this PHP"
    told = (setup.in_force or {}).get(name)
    if told is not None and not told.startswith("(setting "):  # "(setting renamed in Xdebug 3)"
        return None  # whatever we know: this PHP has it
    if name not in SETTINGS:
        return _unknown(directive, version)
    if version is None or known(name, version):
        return None
    lifetimes = SETTINGS[name]
    if version >= (3, 0) and lifetimes[0].until is not None and lifetimes[0].until <= (3, 0):
        lines = in_xdebug_3(name, directive.value)
        return Check(
            "php.xdebug.renamed", CheckLevel.WARNING,
            f"{place}: {name} is a setting of Xdebug 2, and {called} ignores it (ini_get() still shows the value)",
            "\n".join(lines) if lines else f"delete the line{_why_gone(name)}",
            _IGNORED if lines else "",
        )  # fmt: skip
    first = next((lifetime for lifetime in lifetimes if lifetime.since > version), None)
    if first is not None:
        lines = in_xdebug_2(name, directive.value) if version < (3, 0) else ()
        since = f"{first.since[0]}.{first.since[1]}"
        return Check(
            "php.xdebug.too_new", CheckLevel.WARNING,
            f"{place}: {name} exists since Xdebug {since}, and {called} ignores it",
            "\n".join(lines) if lines else f"delete the line, or install Xdebug {since}", _IGNORED,
        )  # fmt: skip
    return Check(
        "php.xdebug.renamed", CheckLevel.WARNING, f"{place}: {name} is gone, and {called} ignores it", "delete the line"
    )


def _why_gone(name: str) -> str:
    if name == "xdebug.collect_params":
        return "; 3.0 to 3.2 always write arguments: set xdebug.var_display_max_data, _depth and _children to 0"
    return ""


def _unknown(directive: Directive, version: Version | None) -> Check:
    meant = INVENTED.get(directive.name.lower())
    near = nearest(directive.name, version)
    fix = "delete the line"
    if meant is not None:
        fix = "\n".join(meant)
    elif near is not None:
        fix = f"{near} = ...   ; the nearest name there is"
    return Check(
        "php.xdebug.unknown", CheckLevel.WARNING,
        f"{directive.place}: {directive.name} exists in no version of Xdebug; PHP ignores such lines without a word",
        fix, _IGNORED,
    )  # fmt: skip


def _config_variable(setup: Setup) -> Iterator[Check]:
    text = (setup.environment or {}).get("XDEBUG_CONFIG", "")
    version = setup.xdebug.version
    if not text or version is None or version < (3, 0):
        return
    keys = [word.partition("=")[0] for word in text.split() if "=" in word]
    for key in keys:
        if key.lower() not in CONFIG_KEYS:
            lines = in_xdebug_3(f"xdebug.{key}", "...")
            other = [line.removeprefix("xdebug.").replace(" = ", "=") for line in lines]
            usable = [part for part in other if part.partition("=")[0] in CONFIG_KEYS]
            yield Check(
                "php.xdebug.config_variable", CheckLevel.WARNING,
                f"XDEBUG_CONFIG in the environment of {setup.title}: {key} is no key of it in Xdebug {setup.xdebug.text}",
                f'XDEBUG_CONFIG="{" ".join(usable)}"' if usable else "set it in an ini file, and leave it out here",
            )  # fmt: skip


def _xprof(setup: Setup) -> Iterator[Check]:
    for directive in setup.directives:
        wants = directive.name == "xdebug.profiler_output_name" and ".xprof" in directive.value.lower()
        if wants:
            yield Check(
                "php.xprof", CheckLevel.WARNING,
                f"{directive.place}: Xdebug writes cachegrind files whatever they are called; a reader of .xprof files fails",
                "xdebug.profiler_output_name = cachegrind.out.%p.%u.%r", "the profiles are opened with the wrong tool",
            )  # fmt: skip
        if directive.name.startswith("xhprof.") and setup.in_force is not None and not setup.extensions & set(_XHPROF):
            yield Check(
                "php.xprof", CheckLevel.WARNING,
                f"{directive.place}: {directive.name} is a setting of the extension xhprof, which is not loaded; "
                "Xdebug writes no .xprof files",
                "extension = xhprof.so   ; or delete the line", "no such file is ever written",
            )  # fmt: skip


def _without_xdebug(setup: Setup) -> Iterator[Check]:
    if setup.in_force is None or setup.xdebug.version is not None or setup.mapped_xdebug:
        return
    named = [d for d in setup.directives if d.name.lower().startswith("xdebug.")]
    if named:
        yield Check(
            "php.xdebug.not_loaded", CheckLevel.WARNING,
            f"{named[0].place}: settings of Xdebug, which {setup.title} does not load",
            "zend_extension = xdebug.so   ; before these lines", "no profile",
        )  # fmt: skip
