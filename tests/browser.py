"""Debian's Chromium, and the page in it as a person uses it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:  # make test runs without Playwright
    from playwright.sync_api import Browser, ConsoleMessage, Error, Page

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",  # root cannot have one
    # It would look up its maker's hosts.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
]


class Shown(NamedTuple):
    """What the page shows of a response."""

    status: int
    body: str


class Visit:
    """A visit to the page; *problems* and *hosts* tell what the browser met in it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.problems: list[str] = []
        self.hosts: set[str] = set()
        page.on("console", self.note_message)
        page.on("pageerror", self.note_error)
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))

    def note_message(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.problems.append(message.text)

    def note_error(self, error: Error) -> None:
        self.problems.append(str(error))

    def open(self, url: str) -> None:
        self.page.goto(url)
        self.page.locator(".opblock").first.wait_for()

    def authorize(self, *credentials: str) -> None:
        """Fill in an e-mail and a key, or what else the dialog wants."""
        self.page.get_by_role("button", name="Authorize").click()
        dialog = self.page.locator(".modal-ux")
        fields = dialog.locator("input").all()
        for field, text in zip(fields, credentials, strict=True):
            field.fill(text)
        dialog.get_by_role("button", name="Apply credentials").click()
        dialog.get_by_role("button", name="Close").last.click()

    def execute(self, operation_id: str, body: str | None = None) -> Shown:
        """Open an operation, press "Try it out" and "Execute", and close it again."""
        block = self.page.locator(f"[id$='-{operation_id}']")
        block.locator(".opblock-summary-control").click()
        block.get_by_role("button", name="Try it out").click()
        if body is not None:
            block.locator("textarea.body-param__text").fill(body)
        block.get_by_role("button", name="Execute").click()
        shown = block.locator(".live-responses-table")
        status = shown.locator("tbody .response-col_status").inner_text()
        bodies = shown.locator("tbody .highlight-code code").all_inner_texts()
        block.get_by_role("button", name="Clear").click()
        block.get_by_role("button", name="Cancel").click()
        block.locator(".opblock-summary-control").click()
        return Shown(int(status.split()[0]), bodies[0] if bodies else "")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the browser, without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def visiting(browser: Browser) -> Iterator[Visit]:
    """Begin a visit in a window of its own; certificates of our own are trusted."""
    with browser.new_context(
        viewport={"width": 1200, "height": 800}, ignore_https_errors=True
    ) as context:
        context.set_default_timeout(30_000)
        yield Visit(context.new_page())
