"""Loading torch beside the pages, which can show a run without it but not start one."""

from __future__ import annotations

import gc
import sys
import threading
import time
from contextlib import suppress
from functools import cache

from lab.control import start_form

HEAD_START = 2.0  # seconds for the first picture, which torch's import would hold up


def begin() -> None:
    """Begin to load, once a server."""
    _loading()


@cache
def _loading() -> threading.Thread | None:
    """Start to load, once a server; None where all is there already."""
    if "wcord.analysis.estimate" in sys.modules:
        return None
    thread = threading.Thread(target=_load, daemon=True)
    thread.start()
    return thread


def _load() -> None:
    """Import torch, and have the preset timed that is offered first."""
    time.sleep(HEAD_START)
    import scipy.stats  # noqa: F401  # it looks at torch, which must not be half imported then

    from wcord import presets

    experiment = start_form.preset(presets()[0])
    with suppress(ValueError):  # the panel will say it
        start_form.cost(experiment.replace(start_form.watched(experiment)), 0.0)
    # After every tick Streamlit searches all objects for garbage; torch's many would take 0.3 s.
    gc.collect()
    gc.freeze()
