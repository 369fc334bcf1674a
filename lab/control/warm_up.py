"""Loading torch beside the pages, which can show a run without it but not start or solve one."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib.util import resolve_name

import numpy as np

from . import start_form

ATTEMPTS = 5  # to import beside a page; then pages import what they need themselves
HEAD_START = 2.0  # seconds for the first picture, which torch's import would hold up


def begin() -> None:
    """Begin to load what starting a run needs, once a server."""
    _loading(_load_start_form, "wcord.analysis.estimate")


def solvers_loaded() -> bool:
    """Return whether what solves for the playground is loaded; the first call begins to."""
    thread = _loading(_load_solvers, resolve_name("..reading.cloud_critic", __package__))
    return thread is None or not thread.is_alive()


@cache
def _loading(load: Callable[[], None], module: str) -> threading.Thread | None:
    """Return a thread that loads, begun once a server; None where the module is there already."""
    if module in sys.modules:
        return None
    thread = threading.Thread(target=_load_and_freeze, args=(load,), daemon=True)
    thread.start()
    return thread


def _load_and_freeze(load: Callable[[], None]) -> None:
    for _ in range(ATTEMPTS):
        try:
            load()
            break
        except ImportError:  # a page was importing the same modules in another order
            time.sleep(1)
    # After every tick Streamlit searches all objects for garbage; torch's many would take 0.3 s.
    gc.collect()
    gc.freeze()


def _load_start_form() -> None:
    """Import torch, and have the preset timed that is offered first."""
    time.sleep(HEAD_START)
    import scipy.stats  # noqa: F401  # it looks at torch, which must not be half imported then

    from wcord import presets

    experiment = start_form.preset(presets()[0])
    with suppress(ValueError):  # the form reports it
        start_form.cost(experiment.replace(start_form.watched(experiment)), 0.0)


def _load_solvers() -> None:
    """Import torch and POT, and use both once: the first use takes seconds."""
    from ..reading.cloud_critic import critic_of
    from ..reading.clouds import exact_dual
    from ..viewer.cloud_scene import CONSTRAINTS

    points = np.eye(2)
    exact_dual(points)
    critic_of(points, points + 1, CONSTRAINTS[0]).step().fit()
