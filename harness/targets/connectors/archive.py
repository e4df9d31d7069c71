"""The one file that goes to another host: the sampler, the guard and the keeper as a zip archive that Python runs.

The same source gives the same bytes (with the same zlib): names are sorted, times and modes are fixed.
"""

from __future__ import annotations

import functools
import io
import zipfile
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_PACKAGES = ("sampling", "redact")
_MODULES = ("targets/guard.py", "targets/own_cgroup.py")
_HOME_ONLY = frozenset(("sampling/remote/line.py", "sampling/remote/bare.py"))
_KINDS = (".py", ".jsonl")  # source, and the layouts of the runtimes that are looked into
_MAIN = "sampling/remote/main.py"
_EPOCH = (1980, 1, 1, 0, 0, 0)


@functools.cache
def archive() -> bytes:
    """The archive. Its packages are empty beside what it needs: what is in them at home imports more than is there."""
    sources = [path for package in _PACKAGES for path in (_ROOT / package).rglob("*") if path.suffix in _KINDS]
    files = {
        f"harness/{name}": (_ROOT / name).read_bytes() for path in sources if (name := _name(path)) not in _HOME_ONLY
    }
    files.update({f"harness/{name}": (_ROOT / name).read_bytes() for name in _MODULES})
    files["harness/__init__.py"] = files["harness/targets/__init__.py"] = b""
    files["__main__.py"] = (_ROOT / _MAIN).read_bytes()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o600 << 16
            info.create_system = 3  # Unix, wherever this runs
            made.writestr(info, files[name], compresslevel=9)
    return out.getvalue()


def _name(path: Path) -> str:
    return path.relative_to(_ROOT).as_posix()
