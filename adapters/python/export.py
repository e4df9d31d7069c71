"""The file that other programs open, beside the result it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from adapters.python import toolset
from harness.model.profile import Artifact


def files(artifact: Artifact, destination: Path) -> Sequence[Artifact]:
    """Write what the tool of a collected result exports; nothing where it exports nothing or there is no readable result."""
    tool = toolset.TOOLS[artifact.tool]
    if artifact.path is None or tool.export is None:
        return ()
    try:
        profile = toolset.read(tool.name, (destination / artifact.path).read_bytes())
    except ValueError:
        return ()  # whoever opens the result itself is told why
    data = tool.export.write(profile)
    path = Path(artifact.path).with_suffix(f".{tool.export.ending}")
    (destination / path).write_bytes(data)
    attributes = {"opens_with": tool.export.opens_with}
    return (replace(artifact, path=str(path), size_bytes=len(data), detail="", attributes=attributes),)
