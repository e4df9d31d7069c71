"""What the README tells people to type, open and expect exists."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness import errors
from harness.cli import COMMANDS, group
from harness.model.finding import Cause
from harness.scenario.reader import parse_scenario

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROSE = _BLOCK.sub("", README)
GROUPS = ("load", "profile")  # whose own commands have the options


def blocks(*languages: str) -> list[str]:
    return [text for language, text in _BLOCK.findall(README) if language in languages]


def commands() -> Iterator[list[str]]:
    """Every command line of the README, in blocks and in running text, as words."""
    for block in blocks("sh", "console"):
        for line in block.splitlines():
            for part in line.removeprefix("$ ").split("&&"):
                yield shlex.split(part, comments=True)
    for code in re.findall(r"`((?:harness|make) [^`]+)`", PROSE):
        yield shlex.split(code)


def lines_of(program: str) -> list[list[str]]:
    return [words for words in commands() if words and words[0] == program and len(words) > 1]


def test_the_readme_shows_commands_and_scenarios() -> None:
    """The other tests look at something."""
    assert len(lines_of("harness")) >= len(COMMANDS)
    assert len(lines_of("make")) >= 2
    assert len(blocks("yaml")) >= 3
    assert {language for language, _ in _BLOCK.findall(README)} <= {"sh", "console", "yaml"}


@pytest.mark.parametrize("words", lines_of("harness"), ids=" ".join)
def test_harness_commands_have_the_options_shown(words: list[str]) -> None:
    command = words[1:3] if words[1] in GROUPS else words[1:2]
    result = CliRunner().invoke(group, [*command, "--help"])
    assert result.exit_code == 0, result.output
    for word in words[2:]:
        if word.startswith("-"):
            assert re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", result.output), f"{word} is not in the help"


def test_the_table_lists_every_command() -> None:
    assert set(re.findall(r"^\| `harness (\w+)", README, re.MULTILINE)) == set(COMMANDS)


@pytest.mark.parametrize("words", lines_of("make"), ids=" ".join)
def test_make_targets_exist(words: list[str]) -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert words[1] in targets


@pytest.mark.parametrize("text", blocks("yaml"), ids=lambda text: text.splitlines()[0])
def test_scenarios_are_valid(text: str) -> None:
    parse_scenario(text, Path("README.md"))


def test_the_first_scenario_has_five_lines() -> None:
    assert len(blocks("yaml")[0].splitlines()) == 5


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((?!https?:)([^)#]+)", README))))
def test_linked_files_exist(target: str) -> None:
    assert (ROOT / target).exists()


def test_exit_codes_are_all_listed() -> None:
    codes = {value for name, value in vars(errors).items() if name.startswith("EXIT_")}
    listed = README[README.index("Exit codes:") : README.index("## What the verdicts mean")]
    assert {int(code) for code in re.findall(r"\*\*(\d+)\*\*", listed)} == codes


def test_verdicts_are_causes() -> None:
    table = README[README.index("| verdict |") : README.index("Findings carry")]
    named = {
        name.removesuffix(".*")
        for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
        for name in re.findall("`([^`]+)`", row)
    }
    assert named
    assert named <= {cause.value for cause in Cause}
