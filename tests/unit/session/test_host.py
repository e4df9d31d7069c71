"""Facts about this host."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.session.host import _cpu_model, host_facts


@pytest.mark.parametrize(
    ("text", "model"),
    [
        (
            "processor\t: 0\nmodel\t\t: 85\nmodel name\t: A CPU @ 2.50GHz\nprocessor\t: 1\nmodel name\t: B\n",
            "A CPU @ 2.50GHz",
        ),
        ("processor\t: 0\nBogoMIPS\t: 50.00\n", None),
        ("model name\t:\n", None),
        ("", None),
    ],
)
def test_the_model_of_the_processor(tmp_path: Path, text: str, model: str | None) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    assert _cpu_model(str(tmp_path / "cpuinfo")) == model
    assert _cpu_model(str(tmp_path / "nowhere")) is None


def test_what_makes_hosts_comparable_is_known_here() -> None:
    facts = host_facts()
    assert isinstance(facts["cpus"], int)
    assert isinstance(facts["memory_bytes"], int)
    assert facts["kernel"]
