"""What every notebook begins with: a place for its runs, quick mode, and figures with captions.

from wcord.lab.course.notebook_setup import begin, pick, show
begin()
"""

from __future__ import annotations

import atexit
import os
import tempfile
from typing import Any, TypeVar

import torch
from matplotlib.figure import Figure

from ..figures.small_svg import svg

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
    """A figure as SVG, and what is to be seen in it, for those who do not see it."""

    def __init__(self, figure: Figure, words: str) -> None:
        self.content, self.words = svg(figure), words

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"image/svg+xml": self.content, "text/plain": self.words}


class Caption:
    """The line under a figure: its number, and what is to be seen."""

    def __init__(self, number: str, words: str) -> None:
        self.number, self.words = number, words

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        plain = f"Figure {self.number}. {self.words}"
        return {"text/markdown": f"**Figure {self.number}.** {self.words}", "text/plain": plain}


def show(number: str, figure: Figure, words: str) -> None:
    """Display a figure over its caption.

    Args:
        number: by which the text refers to it, such as "2.3".
        figure: as the functions of `lab.figures` return it.
        words: one to three sentences that say what is to be seen.
    """
    from IPython.display import display

    display(Picture(figure, words), Caption(number, words))
