"""What Xdebug is told to do, whether it can, and what that costs every request. Pure.

The costs were measured with Xdebug 3.2 on MediaWiki, median of one php-fpm worker, a light page and a heavy one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from adapters.php.inspection.model import Origin, Setup, is_on, loads_xdebug, mode_items, modes_of
from harness.plugins.spec import Check, CheckLevel

_COSTS: Mapping[str, str] = {
    "develop": "every request takes twice as long (measured: 58 instead of 30 ms, 726 instead of 281 ms)",
    "gcstats": "every request takes about twice as long (measured: 48 instead of 30 ms, 687 instead of 281 ms)",
    "profile": "every request takes 1.8 to 2.2 times as long, profiled or not (measured: 59 instead of 30 ms, "
    "603 instead of 281 ms)",
    "trace": "every request takes 2.1 to 2.6 times as long, traced or not (measured: 62 instead of 30 ms, "
    "741 instead of 281 ms)",
    "coverage": "every request is slowed down, by how much was not measured",
    "debug": "every request is slowed down, by how much was not measured",
}
_TOO_LATE = (Origin.POOL, Origin.USER_INI, Origin.SECTION, Origin.WEB, Origin.MODULE)
_NOT_HONEST = "measured times, and in part memory, are those of Xdebug"
_OWN_MASTER = (
    "xdebug.mode = {mode}   ; in an ini file of a php-fpm master of its own, started with PHP_INI_SCAN_DIR=:DIRECTORY\n"
    "harness init TARGET --php-fpm-config DIR   ; writes all of it"
)


def modes(setup: Setup) -> Iterator[Check]:
    """Everything about the mode, when work begins, and what traces are made of."""
    yield from _loading(setup)
    yield from _ineffective(setup)
    if setup.xdebug.version is None:
        return
    if setup.xdebug.version < (3, 0):
        yield from _xdebug_2(setup)
        return
    yield from _spelling(setup)
    yield from _left_on(setup)
    yield from _every_request(setup)
    yield from _traces(setup)


def _xdebug_2(setup: Setup) -> Iterator[Check]:
    yield Check(
        "php.xdebug.old", CheckLevel.WARNING,
        f"{setup.loading_place}: Xdebug {setup.xdebug.text} cannot be turned off, and slows every request down; "
        "the harness reads its files and profiles with Xdebug 3",
        "pecl install xdebug   ; Xdebug 3, for PHP 7.2 and newer" if (setup.php or (8, 0)) >= (7, 2)
        else ";zend_extension = xdebug.so   ; Xdebug 3 needs PHP 7.2",
        _NOT_HONEST,
    )  # fmt: skip
    if is_on(setup.value("xdebug.profiler_enable")):
        yield Check(
            "php.xdebug.every_request", CheckLevel.WARNING,
            f"{setup.where('xdebug.profiler_enable')}: profiler_enable writes a profile of every request",
            "xdebug.profiler_enable = 0\nxdebug.profiler_enable_trigger = 1",
            "nothing measured here is of the application itself",
        )  # fmt: skip


# --- loading -----------------------------------------------------------------------------------------------------------------


def _loading(setup: Setup) -> Iterator[Check]:
    loads = [d for d in setup.directives if loads_xdebug(d) and d.origin in (Origin.INI, Origin.OPTION)]
    for line in loads:
        if line.name == "extension":
            yield Check(
                "php.xdebug.extension", CheckLevel.WARNING,
                f"{line.place}: Xdebug must be loaded as a Zend extension; as an ordinary one it does not work",
                f"zend_extension = {line.value}", "no profile",
            )  # fmt: skip
    if len([line for line in loads if line not in setup.missing_extensions]) > 1:
        yield Check(
            "php.xdebug.twice", CheckLevel.WARNING,
            f"Xdebug is loaded twice, at {loads[0].place} and {loads[-1].place}; PHP complains at every start",
            f"delete {loads[-1].place}",
        )  # fmt: skip
    for line in setup.missing_extensions:
        what = "Xdebug" if loads_xdebug(line) else "an extension"
        yield Check(
            "php.extension.missing", CheckLevel.WARNING,
            f"{line.place}: {line.name} names a file that is not there, so that {what} is not loaded",
            f"{line.name} = xdebug.so   ; after installing it for this PHP" if what == "Xdebug" else "correct or delete the line",
            "no profile" if what == "Xdebug" else "",
        )  # fmt: skip


# --- settings at places where they do nothing ---------------------------------------------------------------------------------


def _ineffective(setup: Setup) -> Iterator[Check]:
    for line in setup.directives:
        if line.name == "xdebug.mode" and line.origin in _TOO_LATE:
            yield _too_late(f"{line.place}: xdebug.mode in {line.origin.value} has no effect", line.value)
        elif line.origin is Origin.WEB and line.name.lower().startswith("xdebug."):
            yield Check(
                "php.xdebug.web_server", CheckLevel.WARNING,
                f"{line.place}: {line.name} is sent by the web server; a php-fpm worker keeps it for later requests too",
                f"{line.name} = ...   ; in an ini file of a php-fpm master of its own, and not here",
                "requests that nobody asked to profile are profiled",
            )  # fmt: skip
    for pool in setup.pools:
        if "XDEBUG_MODE" in pool.env:
            value, place = pool.env["XDEBUG_MODE"]
            yield _too_late(f"{place}: env[XDEBUG_MODE] in a pool has no effect", value)
        for name in ("XDEBUG_TRIGGER", "XDEBUG_PROFILE", "XDEBUG_TRACE"):
            if name in pool.env:
                yield _always_triggered(f"{pool.env[name][1]}: env[{name}]", f";env[{name}] = ...")
    for name in ("XDEBUG_TRIGGER", "XDEBUG_PROFILE", "XDEBUG_TRACE"):
        if name in (setup.environment or {}):
            yield _always_triggered(f"{name} in the environment of {setup.title}", f"UnsetEnvironment={name}")


def _too_late(what: str, value: str) -> Check:
    mode = value if modes_of(value) else "profile"
    return Check(
        "php.xdebug.mode_per_pool", CheckLevel.WARNING,
        f"{what}: Xdebug reads its mode once, when the master starts; ini_get() shows it all the same, "
        "xdebug_info('mode') tells the truth",
        _OWN_MASTER.format(mode=mode), "no profile",
    )  # fmt: skip


def _always_triggered(what: str, fix: str) -> Check:
    return Check(
        "php.xdebug.trigger_in_environment", CheckLevel.WARNING, f"{what} triggers Xdebug in every request", fix,
        "every request is profiled, 5 to 11 times as slow",
    )  # fmt: skip


# --- the mode ---------------------------------------------------------------------------------------------------------------


def _spelling(setup: Setup) -> Iterator[Check]:
    variable = (setup.environment or {}).get("XDEBUG_MODE", "")
    if variable and modes_of(variable) is None:
        yield Check(
            "php.xdebug.mode_unknown", CheckLevel.WARNING,
            f"XDEBUG_MODE in the environment of {setup.title} is no list of modes, and is ignored", "XDEBUG_MODE=off",
        )  # fmt: skip
    line = setup.master("xdebug.mode")
    if line is not None and modes_of(line.value) is None:
        wrong = [item for item in mode_items(line.value) if modes_of(item) is None]
        yield Check(
            "php.xdebug.mode_unknown", CheckLevel.WARNING,
            f"{line.place}: {', '.join(wrong)} is no mode of Xdebug, which then turns on develop and nothing else",
            "xdebug.mode = off   ; or a comma list of develop, coverage, debug, gcstats, profile, trace", _NOT_HONEST,
        )  # fmt: skip
    if variable and line is not None and modes_of(variable) not in (None, modes_of(line.value)):
        yield Check(
            "php.xdebug.mode_variable", CheckLevel.INFO,
            f"XDEBUG_MODE in the environment of {setup.title} wins over {line.place}",
        )  # fmt: skip


def _left_on(setup: Setup) -> Iterator[Check]:
    """A master that is there for profiles has its mode on purpose; it must not serve what is measured."""
    guarded = any(setup.value("xdebug.trigger_value", name) for name in ("", *(pool.name for pool in setup.pools)))
    dedicated = guarded and setup.modes <= {"profile", "trace"} and setup.profiles_by_trigger
    line = setup.master("xdebug.mode")
    default = line is None and "XDEBUG_MODE" not in (setup.environment or {})
    for mode in sorted(setup.modes):
        why = ", Xdebug's default where no mode is set" if default else ""
        yield Check(
            f"php.xdebug.{mode}", CheckLevel.INFO if dedicated else CheckLevel.WARNING,
            f"{setup.mode_place}: mode {mode} is on{why}: {_COSTS[mode]}",
            "xdebug.mode = off   ; or Environment=XDEBUG_MODE=off in the service that starts it",
            "" if dedicated else _NOT_HONEST,
        )  # fmt: skip


def _every_request(setup: Setup) -> Iterator[Check]:
    where = setup.where("xdebug.start_with_request")
    if "profile" in setup.modes and setup.start in ("yes", "default"):
        yield Check(
            "php.xdebug.every_request", CheckLevel.WARNING,
            f"{where}: start_with_request={setup.start} with mode profile: every request writes a profile of 10 to 200 MB "
            "and takes 5 to 11 times as long",
            "xdebug.start_with_request = trigger", "nothing measured here is of the application itself",
        )  # fmt: skip
    if "trace" in setup.modes and setup.start == "yes":
        yield Check(
            "php.xdebug.every_request", CheckLevel.WARNING,
            f"{where}: start_with_request=yes with mode trace: every request writes a trace of 20 to 1600 MB",
            "xdebug.start_with_request = trigger", "nothing measured here is of the application itself",
        )  # fmt: skip
    if "gcstats" in setup.modes and setup.start != "yes":
        yield Check(
            "php.xdebug.gcstats_trigger", CheckLevel.WARNING,
            f"{where}: gcstats starts with start_with_request=yes only, here it is {setup.start}",
            "xdebug.start_with_request = yes   ; or call xdebug_start_gcstats()", "no collector runs are written",
        )  # fmt: skip


def _traces(setup: Setup) -> Iterator[Check]:
    if "trace" not in setup.modes:
        return
    version = setup.xdebug.version or (3, 0)
    form = setup.value("xdebug.trace_format", default="0") or "0"
    if form != "1":
        also = ""
        if form in ("3", "4") and version < (3, 3):
            also = f"; Xdebug {setup.xdebug.text} has no flame graphs (3.3 has) and writes text instead"
        yield Check(
            "php.xdebug.trace_format", CheckLevel.WARNING,
            f"{setup.where('xdebug.trace_format')}: trace_format={form} cannot be read for its memory curve{also}",
            "xdebug.trace_format = 1", "no timeline of memory inside a request",
        )  # fmt: skip
    if version < (3, 3):
        names = [f"xdebug.var_display_max_{part}" for part in ("data", "depth", "children")]
        large = [name for name in names if setup.value(name, default="9") != "0"]
        if large:
            yield _trace_size(setup, large[0], "\n".join(f"{name} = 0" for name in large))
    elif setup.value("xdebug.collect_params", default="1").lower() not in ("0", "off", ""):
        yield _trace_size(setup, "xdebug.collect_params", "xdebug.collect_params = 0")


def _trace_size(setup: Setup, name: str, fix: str) -> Check:
    return Check(
        "php.xdebug.trace_size", CheckLevel.WARNING,
        f"{setup.where(name)}: traces hold the arguments of every call, which makes them 3 to 4 times as large "
        "(measured: 67 instead of 19 MB, 1629 instead of 396 MB)",
        fix,
    )  # fmt: skip
