"""The page of a comparison in Chromium: nothing is blocked by its own policy, nothing is loaded, both sides can be told apart."""

from __future__ import annotations

from pathlib import Path

import pytest
from compared import simulated
from playwright.sync_api import Browser

from harness.compare import page
from harness.compare.engine import compare

pytestmark = [pytest.mark.browser, pytest.mark.integration]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens(browser: Browser, tmp_path: Path, scheme: str) -> None:
    out = tmp_path / "compared.html"
    out.write_bytes(page.export(compare([simulated(1)], [simulated(2, 8000)])))
    said: list[str] = []
    loaded: list[str] = []
    view = browser.new_page(color_scheme=scheme, viewport={"width": 900, "height": 700})  # type: ignore[arg-type]
    view.on("console", lambda message: said.append(message.text))
    view.on("request", lambda request: loaded.append(request.url))
    view.goto(out.as_uri())
    assert view.locator(".chip").inner_text() == "✗ fail"
    assert view.locator("polyline.head").evaluate("line => getComputedStyle(line).strokeDasharray") == "none"
    assert view.locator("polyline.base").evaluate("line => getComputedStyle(line).strokeDasharray") != "none"
    assert view.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    dark = view.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(16, 20, 26)"
    assert dark is (scheme == "dark")
    view.locator("summary").first.click()
    assert view.locator("figure table").first.is_visible()
    view.close()
    assert said == []
    assert loaded == [out.as_uri()]


def test_names_can_be_read_on_a_phone(browser: Browser, tmp_path: Path) -> None:
    out = tmp_path / "compared.html"
    out.write_bytes(page.export(compare([simulated(1)], [simulated(2, 8000)])))
    view = browser.new_page(viewport={"width": 400, "height": 700})
    view.goto(out.as_uri())
    assert view.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    widths = view.locator("section:not(:has(details)) tbody th").evaluate_all("cells => cells.map(c => c.clientWidth)")
    assert widths
    assert min(widths) > 120, "not a letter a line"
    view.close()
