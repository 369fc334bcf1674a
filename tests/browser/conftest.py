"""A served app and a browser, for tests of the page as it is shown."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from browser.server import Served, serving

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium() -> str | None:
    """Return the path of the browser: $CHROMIUM, else the system's, else None."""
    for name in (os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"):
        if name and (found := shutil.which(name)):
            return found
    return None


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve the app on a free port with an empty folder of runs."""
    folder = tmp_path_factory.mktemp("served")
    with serving(folder / "runs", folder / "server.log") as server:
        yield server


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Start the browser, or skip where there is none."""
    path = chromium()
    if path is None:
        pytest.skip("no chromium here: install it, or name one in $CHROMIUM")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def strangers() -> list[str]:
    """Addresses outside of this machine that a page requests: there must be none."""
    return []


@pytest.fixture
def page(browser: Any, strangers: list[str]) -> Iterator[Any]:
    """Open an empty page of a projector's size; its requests to other machines are noted."""
    page = browser.new_page(viewport={"width": 1600, "height": 1180}, device_scale_factor=2)
    page.set_default_timeout(120_000)

    def note(request: Any) -> None:
        if not request.url.startswith(("http://localhost:", "data:", "blob:")):
            strangers.append(request.url)

    page.on("request", note)
    yield page
    page.close()
