"""Orders that are written into a directory which a container may change at any time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.plugins import orders


def test_an_order_is_there_as_a_whole_and_everybody_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "order"
    orders.write(path, 1, "floor", "look")
    orders.write(path, 2, "floor", "trim")
    assert path.read_text() == "2 floor trim\n"
    assert path.stat().st_mode & 0o777 == 0o644
    assert os.listdir(tmp_path) == ["order"]


@pytest.mark.parametrize("name", ["order", ".order.new"])
def test_a_link_in_its_place_leads_nowhere(tmp_path: Path, name: str) -> None:
    other = tmp_path / "other"
    other.write_text("mine")
    directory = tmp_path / "agent"
    directory.mkdir()
    (directory / name).symlink_to(other)
    orders.write(directory / "order", 1, "floor", "look")
    assert other.read_text() == "mine"
    assert not (directory / "order").is_symlink()


def test_nor_does_a_link_in_the_place_of_its_directory(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "php").symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match=r"directory|symbolic"):
        orders.write(tmp_path / "php" / "order", 1, "floor", "look")
    assert not list((tmp_path / "other").iterdir())
