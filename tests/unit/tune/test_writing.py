"""The texts that ship, the table, and JSON."""

from __future__ import annotations

import json
from importlib.resources import files

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import DISK_SWAP, host, window

from harness.tune.entries import entries, entry, long_text
from harness.tune.json_ import document
from harness.tune.model import Group, Host, Mappings, Parameter, Verdict
from harness.tune.parameters import PARAMETERS, named
from harness.tune.text import Paper, explain, first_sentence, render

SCHEMA = json.loads(files("harness.tune").joinpath("tune.schema.json").read_text())


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda p: p.name)
def test_every_parameter_is_explained(parameter: Parameter) -> None:
    paragraphs = long_text(parameter)
    assert len(paragraphs) >= 2
    assert len(first_sentence(paragraphs[0])) <= 230
    assert all(paragraph.endswith((".", '"', ")")) for paragraph in paragraphs)


def test_no_text_is_without_a_parameter() -> None:
    shipped = {path.name for path in files("harness.tune").joinpath("texts").iterdir()}
    assert shipped == {f"{parameter.name}.txt" for parameter in PARAMETERS}


@pytest.mark.parametrize(
    ("name", "answers"),
    [
        ("vm.swappiness", "0 does not turn swap off"),
        ("vm.swappiness", "fragmented, so the kernel swaps"),
        ("vm.min_free_kbytes", "A fixed number is wrong advice"),
        ("vm.drop_caches", "makes no process smaller"),
        ("vm.compaction_proactiveness", "no process gets smaller"),
        ("thp.enabled", "restart the service"),
        ("ksm.run", "PHP and Python do not"),
        ("vm.overcommit_memory", "OOM killer"),
        ("vm.max_map_count", "262144"),
    ],
)
def test_common_advice_is_answered_where_one_looks_for_it(name: str, answers: str) -> None:
    parameter = named(name)
    assert parameter is not None
    assert answers in " ".join(long_text(parameter))


def test_the_table_says_what_a_change_takes() -> None:
    machine = host(window(allocstall_normal=5), origins={"vm.swappiness": "/etc/sysctl.conf:3"}, swap=DISK_SWAP)
    text = render(machine, entries(machine), Paper(every=True))
    assert text.index("worth a change") < text.index("vm.watermark_scale_factor = 10") < text.index("leave as they are")
    for piece in (
        "->  50", "How early the kernel begins to free memory", "5.0 a second in the 10 s looked at", "expected: kswapd",
        "risk: about", "verify: harness tune --over 60s", "until reboot   sysctl -w vm.watermark_scale_factor=50",
        "undo           sysctl -w vm.watermark_scale_factor=10", "rm /etc/sysctl.d/99-vm-watermark-scale-factor.conf",
        "set by /etc/sysctl.conf:3", "1 change supported by what was measured", "nothing was changed",
    ):  # fmt: skip
        assert piece in text, piece
    assert "\x1b" not in text
    assert "\x1b[33m" in render(machine, entries(machine), Paper(colour=True))


def test_what_is_to_be_left_is_told_by_name_and_value() -> None:
    machine = host(window(allocstall_normal=5), swap=DISK_SWAP)
    text = render(machine, entries(machine), Paper())
    assert "How early the kernel begins to free memory" in text
    assert text.count("=>") == sum(e.judgement.verdict not in (Verdict.LEAVE, Verdict.NONE) for e in entries(machine))
    rest = text.partition("leave as they are\n")[2]
    assert all(e.parameter.name in text for e in entries(machine))
    assert "\n  vm." in f"\n{rest}"
    assert "why to leave it: --all" in rest
    assert text.count("=>") < render(machine, entries(machine), Paper(every=True)).count("=>")


def test_the_long_text_of_one() -> None:
    parameter = named("vm.swappiness")
    assert parameter is not None
    machine = host(swap=DISK_SWAP)
    text = explain(entry(parameter, machine), long_text(parameter), machine, Paper())
    assert "on made-up: leave it" in text
    assert "If you change it all the same (as root):" in text
    assert "sysctl -w vm.swappiness=VALUE" in text


@given(st.text(max_size=40), st.text(max_size=40), st.none() | st.integers(0, 2**62), st.integers(0, 2**62))
def test_foreign_text_is_shown_safely_and_json_is_valid(
    name: str, process: str, high: int | None, current: int
) -> None:
    group = Group(
        name or "/", 2, "/sys/fs/cgroup" + name, current, 10, high, new={"high": 50}, pressure=0.5, seconds=10
    )
    machine: Host = host(
        window(seconds=10), groups=(group,), mappings=Mappings(64_000, 1, process, 1, 1), unread=((name, process),), name=name
    )  # fmt: skip
    found = entries(machine)
    assert all(line.isprintable() for line in render(machine, found, Paper()).splitlines())
    text = document(machine, found)
    assert text.isascii()
    assert "\n" not in text
    jsonschema.validate(json.loads(text), SCHEMA, jsonschema.Draft202012Validator)
