"""The view in JupyterLab itself: drawn, moved by keys, a row selected and read in the kernel."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from browser.shown import until
from browser.test_page import PIXELS

import lab
from lab.reading.watch import Watch

pytestmark = pytest.mark.browser

DEMO = Path(lab.__file__).parent / "demo" / "digits-compression"
CELLS = (
    'from wcord import lab\n\nview = lab.view("digits-compression")\nview',
    'print("selected", view.selected, "step", view.step, "arm", view.arm)',
    'view.step = 149\nview.arm = "kd"',
)
QUIET = '{"fetchNews": "false", "checkForUpdates": false}'


@pytest.fixture(scope="module")
def lab_url(tmp_path_factory: pytest.TempPathFactory, browser: Any) -> Iterator[str]:
    """Serve JupyterLab with one notebook, and return the address of that notebook."""
    pytest.importorskip("jupyterlab")
    folder = tmp_path_factory.mktemp("jupyter")
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    spec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": spec})
    (folder / "work").mkdir()
    nbformat.write(notebook, folder / "work" / "view.ipynb")
    settings = folder / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text(QUIET)
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex(16)
    options = [f"--port={port}", "--ip=localhost", "--no-browser", "--allow-root"]
    options += [f"--ServerApp.root_dir={folder / 'work'}", f"--IdentityProvider.token={token}"]
    options += ["--LabApp.extension_manager=readonly"]
    places = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }
    environment = os.environ | {name: str(folder / place) for name, place in places.items()}
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options],
            env=environment | {"OMP_NUM_THREADS": "1"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        url = f"http://localhost:{port}"
        until(lambda: answers(f"{url}/api/status?token={token}"), "JupyterLab is served", 40)
        yield f"{url}/lab/tree/view.ipynb?token={token}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(40)


def answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=2).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def notebook(browser: Any, lab_url: str) -> Iterator[Any]:
    """The open notebook, its kernel ready and the cell with the view run."""
    page = browser.new_page(viewport={"width": 1366, "height": 900})
    page.set_default_timeout(90_000)
    strangers: list[str] = []
    own = (lab_url.partition("/lab/")[0], "data:", "blob:")
    page.on("request", lambda r: None if r.url.startswith(own) else strangers.append(r.url))
    page.goto(lab_url)
    page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for()
    until(lambda: run_cell(page, 1) and "NameError" in output(page, 1), "the kernel answers", 60)
    run_cell(page, 0)
    canvas = page.locator(".panel.plan .picture canvas")
    until(lambda: canvas.count() and canvas.get_attribute("aria-label"), "the plan is drawn", 60)
    yield page
    assert strangers == []
    page.close()


def run_cell(page: Any, place: int) -> bool:
    """Run a cell, and wait for its end."""
    cell = page.locator(".jp-CodeCell").nth(place)
    before = cell.locator(".jp-InputPrompt").first.inner_text()
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    page.keyboard.press("Escape")

    def ended() -> bool:
        now = str(cell.locator(".jp-InputPrompt").first.inner_text())
        return now != before and "*" not in now

    try:
        until(ended, "the cell has run", 10)
    except AssertionError:  # a kernel that has just begun may lose a request
        return False
    return True


def output(page: Any, place: int) -> str:
    found = page.locator(".jp-CodeCell").nth(place).locator(".jp-OutputArea-output")
    return str(found.first.inner_text()) if found.count() else ""


def where(page: Any) -> str:
    return str(page.locator(".timeline .where").inner_text())


def read(page: Any, wanted: str) -> bool:
    """Return whether the kernel prints something of the view."""
    run_cell(page, 1)
    return wanted in output(page, 1)


def test_it_is_drawn_steered_by_keys_and_read_in_the_kernel(notebook: Any) -> None:
    page, steps = notebook, Watch(DEMO).run.steps
    pixels = page.locator(".panel.plan .picture canvas").evaluate(PIXELS)
    colours = np.array(pixels["data"], np.uint8).reshape(-1, 4)
    assert len(np.unique(colours, axis=0)) > 30  # of the plan's ramp
    assert pixels["width"] / pixels["ratio"] > 380  # wide enough for its equation

    # keys move through time, and none of them is a command of the notebook
    page.locator(".timeline canvas").focus()
    page.keyboard.press("ArrowLeft")
    until(lambda: where(page).startswith(f"step {steps[-2]} "), "one step back", 10)
    for key in ("x", "b", "d", "d", "Enter"):
        page.keyboard.press(key)
    assert page.locator(".jp-CodeCell").count() == len(CELLS)
    until(lambda: read(page, f"selected [] step {steps[-2]} arm wcord"), "the step is read", 30)

    # a row is selected, and read in the kernel
    canvas = page.locator(".panel.plan .picture canvas")
    box = canvas.bounding_box()
    canvas.click(position={"x": box["width"] / 2, "y": box["height"] / 3})
    sentence = page.locator(".panel.card .sentence")
    until(lambda: sentence.inner_text().startswith("Sample "), "the card of the sample", 10)
    sample = sentence.inner_text().split()[1]
    until(lambda: read(page, f"selected [{sample}] step {steps[-2]}"), "the sample is read", 60)

    # and the kernel moves the view
    run_cell(page, 2)
    until(lambda: where(page).startswith("step 149 "), "the view follows the trait", 20)
    until(lambda: "kd" in page.locator(".panel.plan h3").inner_text(), "and its arm", 10)


def test_one_panel_takes_the_whole_screen(notebook: Any) -> None:
    page = notebook
    page.locator(".panel.map").get_by_role("button", name="Show on the whole screen").click()
    staged = page.locator(".panel.map .picture canvas")
    until(lambda: staged.bounding_box()["height"] > 450, "the map is large", 10)
    box = page.locator(".view").bounding_box()
    assert (box["x"], box["y"], box["width"], box["height"]) == (0, 0, 1366, 900)
    page.keyboard.press("Escape")
    until(lambda: page.locator(".view").bounding_box()["width"] < 1366, "back in its cell", 10)


def test_the_styles_leave_each_other_alone(notebook: Any) -> None:
    """The view's style sheet stays in its shadow root."""
    kinds = notebook.evaluate(
        "[...document.styleSheets].filter(s => { try { return [...s.cssRules].some("
        "r => r.selectorText?.startsWith('.view')) } catch { return false } }).length"
    )
    assert kinds == 0
    width = notebook.locator(".jp-OutputArea-output:has(.view)").bounding_box()["width"]
    assert notebook.locator(".view").bounding_box()["width"] <= width
