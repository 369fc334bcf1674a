"""What the view shows in a browser: pixels of its canvases, words, the address."""

from __future__ import annotations

import base64
import io
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import lab
from lab import palette
from lab.reading.arrange import sorted_plan
from wcord.runs import Run

PATIENCE = 3  # a test waits that much longer than a calm machine needs
DEMO = Path(lab.__file__).parent / "demo" / "digits-compression"
DEMO_NAME = "demo%3A+digits-compression"


def until(said: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """Wait until something is true, and return it."""
    end = time.monotonic() + PATIENCE * seconds
    while time.monotonic() < end:
        if found := said():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {PATIENCE * seconds:g} s: {what}")


def address(page: Any) -> str:
    """Return the address as the browser shows it now."""
    return str(page.evaluate("location.href"))


def panel(page: Any, name: str) -> Any:
    """Return a panel of the view, such as "plan" or "plan@1"."""
    return page.locator(f'[data-panel="{name}"]')


def canvas(page: Any, name: str) -> Any:
    """Return the canvas of a panel."""
    return panel(page, name).locator(".picture canvas")


def ready(page: Any, name: str = "plan") -> None:
    """Wait until a panel shows numbers."""
    panel(page, name).locator(".facts dd, .hint").first.wait_for()
    until(
        lambda: (
            "–" not in panel(page, name).locator(".facts").inner_text().splitlines()[-1:]
            and canvas(page, name).evaluate("c => Boolean(c.memory && c.memory.frame)")
        ),
        f"{name} is drawn",
    )


def pixels(page: Any, name: str) -> np.ndarray:
    """Return the pixels (h, w, 3) of a panel's canvas on the page's paper."""
    content = canvas(page, name).evaluate("c => c.toDataURL('image/png')")
    drawn = Image.open(io.BytesIO(base64.b64decode(content.split(",")[1]))).convert("RGBA")
    whole = Image.new("RGBA", drawn.size, palette.LIGHT.paper)
    return np.asarray(Image.alpha_composite(whole, drawn).convert("RGB"), dtype=float)


def shades(page: Any, name: str = "plan") -> np.ndarray:
    """Read a plan (n, n) of shades in [0, 1] off its pixels: the ramp, turned around."""
    square = canvas(page, name).evaluate("c => c.memory.square")
    seen, n = pixels(page, name), square["n"]
    scale = seen.shape[1] / canvas(page, name).evaluate("c => c.clientWidth")
    middles = (np.arange(n) + 0.5) * square["cell"]
    across = ((square["x"] + middles) * scale).astype(int)
    down = ((square["y"] + middles) * scale).astype(int)
    stops = [[int(c[k : k + 2], 16) for k in (1, 3, 5)] for c in palette.LIGHT.ramp]
    places = np.linspace(0, 1, 256)
    ramp = np.stack(
        [np.interp(places, np.linspace(0, 1, len(stops)), [s[k] for s in stops]) for k in range(3)],
        axis=1,
    )
    cells = seen[np.ix_(down, across)]  # (n, n, 3)
    return places[((cells[:, :, None, :] - ramp) ** 2).sum(-1).argmin(-1)]


def assert_shows(page: Any, run: Run, step: int, arm: str, name: str = "plan") -> None:
    """Compare the plan's pixels with the stored plan, cell by cell."""
    snapshot = run.snapshot(step)
    plan = snapshot.arm(arm).plan
    expected = np.sqrt(sorted_plan(plan, snapshot.labels[: len(plan)]).clip(0, 1))

    def agrees() -> bool:
        read = shades(page, name)
        if read.shape != expected.shape:
            return False
        close = np.abs(read - expected) < 0.06
        # no row and no column may be missing; lines between classes hide a few cells
        return bool(min(close.mean(0).min(), close.mean(1).min()) > 0.9)

    until(agrees, f"{name} shows the plan of {arm} at step {step}", seconds=10)


def number(text: str) -> float:
    """Return a number as the view writes it."""
    text = text.replace("−", "-")
    raised = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
    if "·10" in text:
        digits, _, power = text.partition("·10")
        return float(digits) * 10.0 ** int(power.translate(raised))
    return float(text)


def equation_values(page: Any, name: str) -> dict[str, float]:
    """Return the live values of a panel's equation, by metric."""
    places = panel(page, name).locator("math [data-value]")
    return {
        str(key): number(text)
        for key, text in places.evaluate_all(
            "all => all.map(p => [p.dataset.value, p.textContent])"
        )
    }


def state(page: Any) -> str:
    """Return what the view says of the run."""
    return str(page.locator(".toolbar .state").inner_text())


def step_of(page: Any) -> int:
    """Return the step that the view says the run is at."""
    found = re.search(r"step (\d+)", state(page))
    return int(found[1]) if found else -1


def step_shown(page: Any) -> int:
    """Return the step that the view shows."""
    found = re.search(r"step (\d+)", page.locator(".timeline .where").inner_text())
    return int(found[1]) if found else -1


def press(page: Any, name: str) -> None:
    """Press a button by its exact name."""
    page.get_by_role("button", name=name, exact=True).click()
