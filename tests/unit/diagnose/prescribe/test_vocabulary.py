"""The names that rules may use, against the code that fills them in and the page that lists them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import harness.diagnose
from harness.diagnose.prescribe import vocabulary
from harness.diagnose.prescribe.language import Kind
from harness.model.finding import EXPLAINS

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs" / "prescriptions.md").read_text(encoding="utf-8")
UNITS = ("_bytes", "_share", "_s", "_ns", "_minor")


def test_names_are_there_once_and_say_what_they_are() -> None:
    groups = (
        vocabulary.FINDING,
        vocabulary.RUN,
        vocabulary.POOL,
        vocabulary.HOST,
        vocabulary.RECYCLING,
        vocabulary.NUMBERS,
    )
    names = [name.name for group in groups for name in group]
    assert len(names) == len(set(names)) == len(vocabulary.ALL)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", n) for n in names)
    assert all(name.meaning for name in vocabulary.ALL.values())


def test_the_page_lists_every_name_with_its_meaning() -> None:
    listed = dict(re.findall(r"^\| `([a-z0-9_]+)` \| (.+) \|$", PAGE[PAGE.index("## Names") :], re.MULTILINE))
    assert {n.name: n.meaning for n in vocabulary.ALL.values()} == listed
    for space in vocabulary.SPACES:
        assert f"`{space}." in PAGE


def test_numbers_of_findings_can_be_used_in_rules() -> None:
    """Whatever a rule of diagnosis puts into ``numbers`` under a name it spells out has a meaning here."""
    package = Path(harness.diagnose.__file__).parent
    spelt = {name for path in [*package.glob("*.py"), *package.glob("rules/*/*.py")] for name in numbers_in(path)}
    assert EXPLAINS in vocabulary.ALL
    assert spelt
    assert spelt - set(vocabulary.ALL) == set()


def numbers_in(path: Path) -> set[str]:
    """Keys of dictionaries given as ``numbers=``, and of those that a function ``_numbers`` returns."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        values: list[ast.AST] = []
        if isinstance(node, ast.keyword) and node.arg == "numbers":
            values = [node.value]
        elif isinstance(node, ast.FunctionDef) and node.name == "_numbers":
            values = [node]
        for value in values:
            for inner in ast.walk(value):
                if isinstance(inner, ast.Dict):
                    found |= {k.value for k in inner.keys if isinstance(k, ast.Constant) and isinstance(k.value, str)}
                if isinstance(inner, ast.Subscript) and isinstance(inner.slice, ast.Constant):
                    found |= {inner.slice.value} if isinstance(inner.slice.value, str) else set()
    return found


def test_facts_of_the_kernel_and_of_pools_may_be_anything() -> None:
    assert vocabulary.kind_of("vm.page-cluster") is Kind.ANY
    assert vocabulary.kind_of("env.MALLOC_ARENA_MAX") is Kind.ANY
