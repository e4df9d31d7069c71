"""Compiles the reader of PHP profiles into the wheel, or next to its source for an editable install.

Without a C compiler the wheel is a pure one, and profiles are read in Python: the same result, 35 to 50 times slower.
"""

from __future__ import annotations

import runpy
import sys
import sysconfig
from contextlib import suppress
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class KernelHook(BuildHookInterface):  # type: ignore[type-arg]  # its parameter is the builder's configuration
    """Known to hatchling as the project's custom hook."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before the wheel is put together."""
        sys.path.insert(0, self.root)
        kernel = runpy.run_path(str(Path(self.root, "adapters", "formats", "kernel_build.py")))
        try:
            kernel["build"]()
        except kernel["BuildError"] as error:
            with suppress(OSError):  # a read-only checkout: one of another source is not used, whoever finds it
                kernel["LIBRARY"].unlink(missing_ok=True)
            self.app.display_warning(f"PHP profiles will be read in Python, which is slower: {error}")
            return
        build_data["artifacts"].append("/adapters/formats/_cachegrind.so")
        build_data["pure_python"] = False
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"
