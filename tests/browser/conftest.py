"""A real browser for the tests that need one."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, async_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MISSING = "there is no Chromium; install it (apt-get install chromium) or name one: AURA_TEST_BROWSER=/path/to/one"
SECONDS = 20


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--browser") and not _browser():
        raise pytest.UsageError(MISSING)


def _browser() -> str:
    named = os.environ.get("AURA_TEST_BROWSER")
    found = [shutil.which(name) for name in ([named] if named else BROWSERS)]
    return next(filter(None, found), "")


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    """A tab of the browser that the machine has; it keeps nothing."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=_browser())
        context = await browser.new_context(viewport={"width": 1400, "height": 1000})
        context.set_default_timeout(SECONDS * 1000)
        yield await context.new_page()
        await browser.close()
