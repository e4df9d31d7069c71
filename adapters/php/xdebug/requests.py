"""How one request (or script) gets written down by Xdebug, and where what it leaves behind is looked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from adapters.php.deployment.files import ACCESS_FORMAT as DEPLOYED_FORMAT
from adapters.php.fpm.access_format import AccessFormat, compile_format
from adapters.php.fpm.log import log_of
from adapters.php.fpm.pool_config import ACCESS_FORMAT
from adapters.php.launch import script_under_xdebug
from adapters.php.options import Deployment, Fpm, read_options
from adapters.php.servers.nginx import TRIGGER_COOKIE
from adapters.php.state import Places, read_state
from adapters.php.xdebug.collector import Collector
from adapters.php.xdebug.elsewhere.place import sampled_host
from adapters.php.xdebug.elsewhere.places import outputs_in
from adapters.php.xdebug.local_outputs import LocalOutputs
from adapters.php.xdebug.outputs import Outputs
from adapters.php.xdebug.tools import XdebugTool
from adapters.php.xdebug.version2 import COOKIES
from harness.clock import Clock
from harness.errors import TargetError, UsageError
from harness.model.profile import Artifact
from harness.model.span import RequestRecord
from harness.plugins.spec import AdapterContext, ProfiledResponse, Trigger

WARMUPS = 2  # a cold opcache inflates the peak of the first request, class inheritance is cached by the second


def trigger_for(
    context: AdapterContext, tool: XdebugTool, script: Sequence[str] | None, clock: Clock, *, ends: bool = True
) -> Trigger:
    """A secret cookie: it changes neither the address nor the body, and caches by address do not notice. TargetError where the
    disk could become full."""
    options, places = read_options(context), Places(context.work_dir)
    state = read_state(places)
    if script is not None:
        argv, env = script_under_xdebug(places, tool, state, script, ends=ends)
        _refuse_full_disk(tool, outputs_of(context, tool, None, clock))
        return Trigger(tool.name, argv=argv, env=env)
    if options.xdebug is not None:
        _refuse_full_disk(tool, outputs_of(context, tool, options.xdebug, clock))
        cookies = cookies_for(tool, options.xdebug.secret)
        return Trigger(tool.name, cookies=cookies, warmups=WARMUPS, deployed=True)
    if state is None or tool.name not in state.tools:
        return Trigger(tool.name)  # nothing to trigger: collect() says so for each request
    _refuse_full_disk(tool, outputs_of(context, tool, None, clock))
    return Trigger(
        tool.name,
        cookies=cookies_for(tool, context.token),
        base_url=state.companions.get(tool.name),
        warmups=WARMUPS,
    )


def collect_from(
    context: AdapterContext,
    adapter: str,
    tool: XdebugTool,
    trigger: Trigger,
    response: ProfiledResponse,
    destination: Path,
    clock: Clock,
) -> list[Artifact]:
    """What one triggered request or script left behind; see `Collector`."""
    options = read_options(context)
    deployed = None if trigger.argv is not None else options.xdebug
    collector = Collector(
        adapter,
        tool,
        outputs_of(context, tool, deployed, clock),
        clock,
        ours=deployed is None,
        parse_line=_line_parser(deployed),
        host="" if deployed is None else sampled_host(deployed.place, context.hosts),
    )
    return collector.collect(trigger, response, destination)


def cookies_for(tool: XdebugTool, base: str) -> dict[str, str]:
    """Cookie name -> value. Xdebug 3 looks at the first, web servers route by it; Xdebug 2 knows only the second."""
    secret = tool.secret(base)
    older = COOKIES.get(tool.mode)
    return {TRIGGER_COOKIE: secret} | ({} if older is None else {older: secret})


def outputs_of(context: AdapterContext, tool: XdebugTool, deployed: Deployment | None, clock: Clock) -> Outputs:
    """Where this tool's files appear: in a directory of this run, or in that of a deployment."""
    if deployed is None:
        places = Places(context.work_dir)
        return LocalOutputs(places.output(tool.name), clock, ours=True, log=places.log(tool.name))
    if deployed.place is not None:
        log = None if deployed.access_log is None else str(deployed.access_log)
        return outputs_in(deployed.place, str(deployed.output_dir), log, clock, context.shell)
    return LocalOutputs(deployed.output_dir, clock, ours=False, log=deployed.access_log)


def _line_parser(deployed: Deployment | None) -> Callable[[bytes], RequestRecord | None]:
    """Of the access log: ours has the format we gave it; a deployment's that of the pool that writes there, as far as it is seen
    from here, else that of our deployment files. Pools are looked for when the first line is read, which is hardly ever."""
    if deployed is None:
        return compile_format(ACCESS_FORMAT).record
    forms: list[AccessFormat] = []

    def parse(line: bytes) -> RequestRecord | None:
        if not forms:
            forms.extend(_forms(deployed))
        return next((record for form in forms if (record := form.record(line)) is not None), None)

    return parse


def _forms(deployed: Deployment) -> Iterator[AccessFormat]:
    if deployed.place is None:
        with suppress(UsageError):
            log = log_of(Fpm(access_log=deployed.access_log))
            if log is not None:
                yield log.form
    yield compile_format(DEPLOYED_FORMAT)


def _refuse_full_disk(tool: XdebugTool, outputs: Outputs) -> None:
    free = outputs.free_bytes()
    if free is not None and free < tool.needs_bytes:
        raise TargetError(
            f"only {free >> 20} MiB are free in {outputs.label}; a {tool.kind} can need {tool.needs_bytes >> 20} MiB, "
            "so it was not asked for",
            hint=f"make room, or leave {tool.name} out of the scenario's profile",
        )
