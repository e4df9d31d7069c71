"""Programs with the agent on another host: by the environment that PHP reads, after a look how that PHP is set up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from adapters.php.command import is_fpm, parse_command
from adapters.php.installed import PhpBuild, parse_phpinfo
from harness.plugins.spec import AdapterContext, Check, CheckLevel, LaunchPlan, Prepared, There

_SCAN_DIR = "PHP_INI_SCAN_DIR"
_COSTS = "requests cannot be tied to workers, and nothing is known from inside PHP"


def prepared(
    context: AdapterContext, plans: Sequence[LaunchPlan], variables: Mapping[str, str], there: There
) -> tuple[Prepared, Sequence[Check]]:
    """The measured plans with the agent, where it takes nobody's place; what of it will not work."""
    started: list[LaunchPlan] = []
    checks: list[Check] = []
    for plan in plans:
        given, why = (plan, "") if not plan.measured else _with_agent(plan, variables, there)
        started.append(given)
        if why:
            text = f"{plan.name} on {there.name}: {why}"
            checks.append(Check(f"php.agent.{plan.name}", CheckLevel.WARNING, text, costs=_COSTS))
    return Prepared(tuple(started), context.base_url), checks


def _with_agent(plan: LaunchPlan, variables: Mapping[str, str], there: There) -> tuple[LaunchPlan, str]:
    """The plan with the agent, and why it will tell nothing all the same."""
    command = parse_command(plan.argv)
    prepend = str(PurePosixPath(variables["HARNESS_ORDERS"]).parent / "agent" / "prepend.php")
    chain = command.defined("auto_prepend_file") if command is not None else None
    looked_at = command.configuration if command is not None else plan.argv[:1] if is_fpm(plan.argv[0]) else ()
    build = _ask(looked_at, there)
    chain = chain or ("" if build is None else build.directives.get("auto_prepend_file", ""))
    if chain and chain != "none":
        return plan, f"the application has a prepend file ({chain[:200]}), which an agent there would take the place of"
    before = plan.env.get(_SCAN_DIR) or _variable(_SCAN_DIR, there)
    own = variables[_SCAN_DIR].removeprefix(":")
    env = {**plan.env, **variables, _SCAN_DIR: f"{before}:{own}"}
    argv = plan.argv
    if command is not None and command.without_ini_files:
        argv = command.defining({"auto_prepend_file": prepend}).argv
    why = ""
    if command is not None and command.router is not None:
        why = "before a router script PHP runs no prepend file, so what the router answers itself has no record"
    return replace(plan, argv=argv, env=env), why


def _ask(command: Sequence[str], there: There) -> PhpBuild | None:
    if not command:
        return None
    code, said = there.run([*command, "-i"])
    return parse_phpinfo(command[0], said.decode("utf-8", "replace")) if code == 0 else None


def _variable(name: str, there: There) -> str:
    """A variable as programs there get it; empty where there is none."""
    code, said = there.run(["sh", "-c", f'printf %s "${name}"'])
    return said.decode("utf-8", "surrogateescape") if code == 0 else ""
