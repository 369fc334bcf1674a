"""A served app and a browser, for tests of the page as it is shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from browser.server import Served, serving


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve the app on a free port with an empty folder of runs."""
    folder = tmp_path_factory.mktemp("served")
    with serving(folder / "runs", folder / "server.log") as server:
        yield server


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
