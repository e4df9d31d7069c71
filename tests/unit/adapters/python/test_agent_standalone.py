"""The agent's files must do without anything but the standard library, and their bootstrap must parse anywhere."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import adapters.python

AGENT = Path(adapters.python.__file__).parent / "agent"
MODULES = sorted(path.stem for path in AGENT.glob("*.py") if path.stem not in ("__init__", "sitecustomize"))
# What gevent and uWSGI mind when it is imported before they are, and what makes every start slower.
UNWANTED_AT_BOOT = {
    "threading",
    "socket",
    "ssl",
    "logging",
    "json",
    "re",
    "typing",
    "tracemalloc",
    "asyncio",
    "inspect",
}


@pytest.mark.parametrize("module", MODULES)
def test_every_module_loads_without_site_packages(module: str) -> None:
    program = (
        "import sys, types; package = types.ModuleType('_harness_agent'); "
        f"package.__path__ = [{str(AGENT)!r}]; sys.modules['_harness_agent'] = package; "
        f"import _harness_agent.{module}"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", program], capture_output=True, check=False, timeout=100
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_nothing_heavy_is_imported_at_boot(tmp_path: Path) -> None:
    program = (
        "import sys; before = set(sys.modules); import types; package = types.ModuleType('_harness_agent'); "
        f"package.__path__ = [{str(AGENT)!r}]; sys.modules['_harness_agent'] = package; "
        "import _harness_agent.boot; sys.stdout.write(' '.join(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", program], capture_output=True, check=True, timeout=100, text=True
    )
    assert "_harness_agent.recorder" in done.stdout
    assert not UNWANTED_AT_BOOT & set(done.stdout.split())


@pytest.mark.parametrize("path", sorted(AGENT.glob("*.py")), ids=lambda path: path.name)
def test_syntax_is_that_of_python_3_8(path: Path) -> None:
    ast.parse(path.read_text("utf-8"), feature_version=(3, 8))


def test_the_bootstrap_uses_no_syntax_that_python_2_lacks() -> None:
    """Checked for the constructs that a modern linter would let in; the integration tests also run it where 2.7 is installed."""
    tree = ast.parse((AGENT / "sitecustomize.py").read_text("ascii"))
    modern = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.AsyncFunctionDef, ast.Await, ast.Nonlocal)
    assert not [node for node in ast.walk(tree) if isinstance(node, modern)]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            assert not node.args.kwonlyargs
            assert node.returns is None
        if isinstance(node, ast.Raise):
            assert node.cause is None
