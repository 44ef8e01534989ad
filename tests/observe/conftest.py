"""Fixtures for reports in a real browser, which is started once for each module of tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flyweight.observe.document import Document
from flyweight.observe.html import html
from tests.observe.browser import Browser, Page, Show, find_browser
from tests.observe.made_capture import made_capture


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = find_browser()
    if path is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with Browser(path) as browser:
        yield browser


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Iterator[Show]:
    """Opens the report of a capture; afterwards no page may have complained or asked for anything but itself."""
    pages: list[tuple[Page, str]] = []

    def opened(document: Document, width: int = 1280, *, dark: bool = False) -> Page:
        path = tmp_path / f"report-{len(pages)}.html"
        path.write_text(html(document), encoding="utf-8")
        page = browser.page(width, dark=dark)
        pages.append((page, path.as_uri()))
        page.open(path)
        return page

    yield opened
    for page, address in pages:
        assert page.complaints() == []
        assert page.requests() == [address]
        page.close()


@pytest.fixture(scope="module")
def report(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Page:
    """The report of the made capture, for tests that only read it or ask its functions one by one."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(html(made_capture()), encoding="utf-8")
    page = browser.page()
    page.open(path)
    return page
