"""The list of formats."""

from __future__ import annotations

import subprocess
import sys

import pytest
from reports import leak_report

from harness.errors import UsageError
from harness.report.formats import FORMATS, export


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_format_gives_bytes(name: str) -> None:
    assert export(leak_report(requests_per_round=8), name)


def test_an_unknown_format_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match="no report format 'pdf'") as caught:
        export(leak_report(requests_per_round=8), "pdf")
    assert "html, json" in str(caught.value)


def test_listing_formats_imports_no_exporter() -> None:
    code = "import sys, harness.report.formats; sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
