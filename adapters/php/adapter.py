"""The PHP adapter: one class, each method a few lines that hand over to the module that knows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from adapters.php import auto, blackfire, mounted, orders, silence, started_there
from adapters.php.command import is_fpm, is_php
from adapters.php.deployment.files import deployment_files, plan_for
from adapters.php.deployment.trial import try_deployment
from adapters.php.fpm.floor import answer_for_pools, answer_from_afar
from adapters.php.fpm.log import log_source
from adapters.php.fpm.pools import workers_among
from adapters.php.fpm.status import page_of
from adapters.php.inspection import inspect_setups
from adapters.php.launch import prepare_programs
from adapters.php.options import read_options
from adapters.php.preflight import check_php
from adapters.php.sapi import facts_of
from adapters.php.servers.mod_php import prepare_mod_php
from adapters.php.servers.serve import prepare_serve
from adapters.php.state import FLOORS_PATTERN, RECORDS_PATTERN, Places
from adapters.php.takers import takers
from adapters.php.xdebug.reach import out_of_reach
from adapters.php.xdebug.requests import collect_from, trigger_for
from adapters.php.xdebug.tools import GCSTATS, PROFILE, TOOLS, XdebugTool
from harness.clock import Clock, SystemClock
from harness.errors import TargetError, UsageError
from harness.model.finding import Cause
from harness.model.profile import Artifact, Profile
from harness.plugins.records import parse_record
from harness.plugins.spec import (
    AdapterContext,
    Check,
    Entry,
    FloorDepth,
    LanguageAdapter,
    LaunchPlan,
    Prepared,
    ProfiledResponse,
    RecordSource,
    Site,
    There,
    ToolUse,
    Trigger,
)

_TITLE = re.compile(r"php-fpm: (master process|pool )|\bphp[0-9.]*( |\Z)")


class PhpAdapter:
    """php-fpm, ``php -S``, scripts and long-lived command-line workers. Keeps no state between calls: see `state`."""

    name = "php"
    tools: tuple[str, ...] = (*TOOLS, blackfire.NAME)
    default_tools: tuple[str, ...] = (PROFILE.name,)
    auto_tools: tuple[str, ...] = tuple(TOOLS)
    announces = False  # PHP that serves starts anew with every request

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()

    def tools_for(self, context: AdapterContext, cause: Cause) -> Sequence[ToolUse]:
        """Traces for what PHP keeps, calls for what it does not count; see `auto`."""
        return auto.tools_for(cause)

    def why_no_line(self, context: AdapterContext, cause: Cause) -> str:
        """As `tools_for`."""
        return auto.why_no_line(cause)

    def recognises(self, comm: str, cmdline: str, exe: str) -> bool:
        """By the executable where it can be read, else by the title that php-fpm gives its processes."""
        return is_php(exe) or is_fpm(exe) or is_php(comm) or is_fpm(comm) or _TITLE.match(cmdline) is not None

    def preflight(self, context: AdapterContext, plans: Sequence[LaunchPlan]) -> Sequence[Check]:
        options = read_options(context)
        return [*check_php(context, options, plans), *blackfire.check(context, options, plans)]

    def inspect(self, pids: Sequence[int]) -> Sequence[Check]:
        return inspect_setups(pids)

    def prepare(self, context: AdapterContext, plans: Sequence[LaunchPlan]) -> Prepared:
        """``target.php.serve`` becomes servers of our own; other programs are started as they are, with the agent in them."""
        options, places = blackfire.pointed(context, read_options(context)), Places(context.work_dir)
        try:
            if options.serve is not None and not plans:
                prepare = prepare_mod_php if options.serve.web == "mod_php" else prepare_serve
                return blackfire.with_relay(context, options, prepare(context, places, options.serve))
            return blackfire.with_relay(context, options, prepare_programs(context, places, options, plans))
        except OSError as error:
            raise UsageError(f"cannot write into the run directory: {error}") from error

    def record_sources(self, context: AdapterContext) -> Sequence[RecordSource]:
        sources = (RecordSource(RECORDS_PATTERN, parse_record), RecordSource(FLOORS_PATTERN, parse_record))
        return (*sources, *log_source(read_options(context).fpm))

    def explain_silence(self, context: AdapterContext, plans: Sequence[LaunchPlan], output_tail: str) -> str:
        return silence.explain(Places(context.work_dir), read_options(context), plans, output_tail)

    def enter(self, context: AdapterContext, pids: Sequence[int]) -> Sequence[Entry]:
        """There is no way into a PHP that runs."""
        return ()

    def release(self, context: AdapterContext, number: int, pids: Sequence[int]) -> Sequence[int]:
        """Nobody entered."""
        return ()

    def facts(self, pids: Sequence[int]) -> Mapping[str, str]:
        """In what PHP runs there, and whether it drops its heap after each request."""
        return facts_of(pids)

    def speaks_for(self, context: AdapterContext, pids: Sequence[int]) -> Sequence[int]:
        """Workers of php-fpm: their pools are asked, for there is nobody in them between requests. Of whom on another host a
        status page tells is known when it was read."""
        if context.away is not None:
            return pids if read_options(context).fpm.status is not None else ()
        return workers_among(pids)

    def ask_floor(self, context: AdapterContext, number: int, depth: FloorDepth, pids: Sequence[int]) -> Sequence[int]:
        """Pools of php-fpm, by their status page and a script of ours; long-lived scripts by a signal while they sleep. On other
        hosts the status page only: whether a script sleeps is not seen from here."""
        if context.away is not None:
            named = read_options(context).fpm.status
            if named is None or not pids:
                return ()
            return answer_from_afar(Places(context.work_dir), page_of(named), number, context.away, pids)
        places, served = Places(context.work_dir), self.speaks_for(context, pids)
        scripts = [pid for pid in pids if pid not in served]
        told: list[int] = []
        if scripts and places.root.is_dir():  # else nothing was launched with the agent
            try:
                told = orders.ask(places.orders, number, depth, scripts, self._clock)
            except OSError as error:
                raise TargetError(f"cannot write {places.orders}: {error.strerror}") from error
        if served:
            status = read_options(context).fpm.status
            page = None if status is None else page_of(status)
            answered, trouble = answer_for_pools(places, page, number, depth, served)
            if trouble and not answered and not told:
                raise TargetError(trouble)
            told += answered
        return told

    def explain_unasked(self, context: AdapterContext, pid: int) -> str:
        if context.away is not None:
            return f"on {context.away.host} nobody looks whether a script sleeps, so it is not asked"
        return orders.explain(pid)

    def arm(self, context: AdapterContext, number: int, tool: str | None, pids: Sequence[int]) -> Sequence[int]:
        """Nobody: what Xdebug does is decided when PHP starts, so a worker is started again under it; see `trigger`."""
        return ()

    def trigger(
        self,
        context: AdapterContext,
        tool: str,
        script: Sequence[str] | None = None,
        *,
        ends: bool = True,
        use: ToolUse | None = None,
    ) -> Trigger:
        """A cookie, or the script's command under Xdebug. Nothing differs by ``use``."""
        if tool == blackfire.NAME:
            return blackfire.trigger_for(context, read_options(context), script, ends=ends)
        return trigger_for(context, self._tool(tool), script, self._clock, ends=ends)

    def out_of_reach(self, context: AdapterContext, tool: str) -> Check | None:
        """An Xdebug that nobody named or started. Blackfire's extension is looked for when it is used."""
        return None if tool == blackfire.NAME else out_of_reach(context, self._tool(tool))

    def collect(
        self, context: AdapterContext, trigger: Trigger, response: ProfiledResponse, destination: Path
    ) -> Sequence[Artifact]:
        if trigger.tool == blackfire.NAME:
            return blackfire.collect_from(context, self.name, trigger, response, destination)
        return collect_from(context, self.name, self._tool(trigger.tool), trigger, response, destination, self._clock)

    def deployment(self, site: Site) -> Mapping[str, str]:
        """php-fpm masters with Xdebug beside the one of ``site.pid``, and the routes to them."""
        plan = plan_for(site)
        try_deployment(plan)
        return deployment_files(plan)

    def deploy_agent(self, directory: Path, inside: str, token: str) -> Mapping[str, str]:
        """A prepend file, which an ini file of its own names; `PHP_INI_SCAN_DIR` brings it in."""
        try:
            return mounted.deploy(directory, inside, token)
        except OSError as error:
            raise UsageError(f"cannot put the PHP agent into {directory}: {error.strerror}") from error

    def launch_there(
        self, context: AdapterContext, plans: Sequence[LaunchPlan], variables: Mapping[str, str], there: There
    ) -> tuple[Prepared, Sequence[Check]]:
        """By environment; how PHP is set up is asked there."""
        return started_there.prepared(context, plans, variables, there)

    def parse(self, tool: str, path: Path) -> Profile:
        if tool == blackfire.NAME:
            return blackfire.read(path)
        if tool not in TOOLS:
            raise ValueError(f"the php adapter has no tool {tool!r}")
        profile = TOOLS[tool].read(path)
        if tool == GCSTATS.name:
            return profile
        return replace(profile, origins=(*profile.origins, *takers(profile)))

    def _tool(self, name: str) -> XdebugTool:
        if name not in TOOLS:
            raise UsageError(f"the php adapter has no tool {name!r}", hint=f"it offers: {', '.join(self.tools)}")
        return TOOLS[name]


ADAPTER: LanguageAdapter = PhpAdapter()
