"""The sampler's source stands alone: old syntax, relative imports, nothing from outside the standard library."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import harness.sampling

PACKAGE = Path(harness.sampling.__file__).parent
CHECKOUT = PACKAGE.parents[1]
FILES = sorted([*PACKAGE.rglob("*.py"), *(PACKAGE.parent / "redact").rglob("*.py")])


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE.parent)))
def test_syntax_of_3_8(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 8))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert any(isinstance(n, ast.ImportFrom) and n.module == "__future__" for n in imports) or not imports
    for node in imports:
        names = (
            [a.name for a in node.names] if isinstance(node, ast.Import) else [] if node.level else [node.module or ""]
        )
        assert all(name.partition(".")[0] in sys.stdlib_module_names for name in names), names


def test_it_runs_with_the_standard_library_only() -> None:
    """No site-packages, no environment, and a look at where every imported module came from."""
    program = f"""
import json, runpy, sys
sys.path.insert(0, {str(CHECKOUT)!r})
try:
    runpy.run_module("harness.sampling", run_name="__main__")
except SystemExit as end:
    assert not end.code, end
files = {{name: getattr(m, "__file__", None) for name, m in sys.modules.items()}}
print(json.dumps(files))
"""
    orders = b'{"cmd":"start","interval_ns":1000000000,"roots":[{"pid":1,"pool":"app"}]}\n{"cmd":"floor","id":1}\n'
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], input=orders, capture_output=True, check=True, cwd="/", timeout=100
    )
    *said, modules = done.stdout.splitlines()
    assert json.loads(said[-1])["k"] == "bye"
    foreign = {
        name: file
        for name, file in json.loads(modules).items()
        if name.partition(".")[0] not in sys.stdlib_module_names and name != "__main__"
    }
    assert set(foreign) >= {"harness.sampling.sweep", "harness.sampling.sources.pid_smaps"}
    assert all(name == "harness" or name.startswith(("harness.sampling", "harness.redact")) for name in foreign)
    assert all(Path(file).is_relative_to(CHECKOUT) for file in foreign.values())
    assert done.stderr == b""
