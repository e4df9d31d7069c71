"""Whether requests can be profiled at all: somebody must have started Xdebug for them."""

from __future__ import annotations

from adapters.php.options import read_options
from adapters.php.state import Places, read_state
from adapters.php.xdebug.tools import XdebugTool
from harness.plugins.spec import AdapterContext, Check, CheckLevel

NO_PROFILE_COSTS = "no request can be opened to see which function allocates"
_DEPLOY = (
    "use target.php.serve, or deploy Xdebug (harness init TARGET --php-fpm-config DIR) and name it in target.php.xdebug"
)


def unreachable(message: str) -> Check:
    """That it cannot be reached, with what to do."""
    return Check("php.xdebug", CheckLevel.WARNING, message, _DEPLOY, NO_PROFILE_COSTS)


def out_of_reach(context: AdapterContext, tool: XdebugTool) -> Check | None:
    """See `LanguageAdapter`: neither was a deployment named, nor has this run started anything that has the tool."""
    state = read_state(Places(context.work_dir))
    if read_options(context).xdebug is not None or (state is not None and tool.name in state.tools):
        return None
    return unreachable("Xdebug cannot be reached, so no request is profiled")
