"""What every notebook begins with: a place for its runs, quick mode, and figures with words.

from wcord.lab.course.notebook_setup import begin, pick, show
begin()
"""

from __future__ import annotations

import atexit
import base64
import os
import tempfile
from typing import Any, TypeVar

import torch
from matplotlib.figure import Figure

from ..figures.small_png import png

T = TypeVar("T")

QUICK = os.environ.get("WCORD_QUICK", "0") not in ("", "0")


def begin(threads: int = 1) -> None:
    """Make a notebook's numbers repeatable and its runs tidy.

    One thread, because pictures this small are faster so and the numbers are then the same on
    every machine with the same libraries. Runs go where `WCORD_RUNS` says; where it says nothing,
    into a folder that is removed when the kernel ends.

    Args:
        threads: CPU threads of torch.
    """
    torch.set_num_threads(threads)
    if not os.environ.get("WCORD_RUNS"):
        folder = tempfile.TemporaryDirectory(prefix="wcord-runs-", ignore_cleanup_errors=True)
        atexit.register(folder.cleanup)
        os.environ["WCORD_RUNS"] = folder.name
    if QUICK:
        print("Quick mode: fewer epochs and seeds than the text speaks of.")


def pick(full: T, quick: T) -> T:
    """Return `full`, or `quick` where the environment variable WCORD_QUICK is set."""
    return quick if QUICK else full


class Picture:
    """A figure and what it says in words, for those who do not see it."""

    def __init__(self, figure: Figure, words: str) -> None:
        self.content, self.words = png(figure), words

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, Any]]:
        encoded = base64.b64encode(self.content).decode()
        data = {"image/png": encoded, "text/plain": self.words}
        return data, {"image/png": {"alt": self.words}}


def show(figure: Figure, words: str) -> None:
    """Display a figure with its alternative text.

    Args:
        figure: as the functions of `lab.figures` return it.
        words: one or two sentences that say what is to be seen.
    """
    from IPython.display import display

    display(Picture(figure, words))
