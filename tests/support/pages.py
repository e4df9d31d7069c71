"""A report in a real browser, with everything it should not say or ask for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page
from processes import DEADLINE_S

from harness.model.report import Report
from harness.report.exporters.html import export


def is_complaint(message: ConsoleMessage) -> bool:
    """Reading pixels back is what these tests do, not the page."""
    return message.type in ("error", "warning") and "willReadFrequently" not in message.text


@dataclass
class Opened:
    """A page and everything it should not have said or asked for."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def range(self) -> tuple[float, float]:
        lo, hi = self.page.evaluate("[__app.timeline.view.lo, __app.timeline.view.hi]")
        return lo, hi

    def until(self, condition: str) -> None:
        """Wait for a JavaScript condition. Playwright's own waiting needs eval, which the page's policy forbids."""
        deadline = time.monotonic() + DEADLINE_S
        while not self.page.evaluate(condition):
            assert time.monotonic() < deadline, f"never true: {condition}"

    def place(self, selector: str) -> tuple[float, float]:
        """Left edge and middle height of an element that is scrolled into view."""
        self.page.locator(selector).scroll_into_view_if_needed()
        box = self.page.locator(selector).bounding_box()
        assert box is not None
        return box["x"], box["y"] + box["height"] / 2


class Opener:
    """Opens a report, or the bytes of a page, in a fresh context; `close` ends them all."""

    def __init__(self, browser: Browser, directory: Path) -> None:
        self._browser = browser
        self._directory = directory
        self._contexts: list[BrowserContext] = []

    def __call__(self, what: Report | bytes, link: str = "", **options: object) -> Opened:
        path = self._directory / "report.html"
        path.write_bytes(what if isinstance(what, bytes) else export(what))
        context = self._browser.new_context(offline=True, **{"viewport": {"width": 1280, "height": 900}, **options})  # type: ignore[arg-type]
        self._contexts.append(context)
        context.set_default_timeout(DEADLINE_S * 1000)
        result = Opened(context.new_page())
        page = result.page
        page.on("console", lambda m: result.complaints.append(f"{m.type}: {m.text}") if is_complaint(m) else None)
        page.on("pageerror", lambda e: result.complaints.append(str(e)))
        page.on("request", lambda r: result.requests.append(r.url))
        page.add_init_script(
            "addEventListener('securitypolicyviolation', e => console.error('CSP', e.violatedDirective, e.blockedURI))"
        )
        page.goto(path.as_uri() + link)
        if options.get("java_script_enabled", True):
            page.wait_for_selector("body[data-ready], body[data-error]", state="attached")
        return result

    def close(self) -> None:
        for context in self._contexts:
            context.close()


@contextmanager
def nothing_wrong(view: Opened) -> Iterator[None]:
    """Whatever happens inside, the page neither complains nor asks for anything but itself."""
    yield
    assert view.page.evaluate("document.body.dataset.error ?? null") is None
    assert view.complaints == []
    assert [u for u in view.requests if not u.startswith("file:///")] == []
    assert len(view.requests) == 1
