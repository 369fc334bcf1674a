"""Where a run computes: the device, and how many threads of a CPU."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from wcord import parallel
from wcord.experiment import Experiment, SettingsError

SMALL = 3 * 16 * 16  # images of at most this many numbers train fastest on one thread


def choose_device(asked: str) -> torch.device:
    """Return the device asked for; "auto" is CUDA, else MPS, else the CPU.

    Raises:
        SettingsError: there is no such device here.
    """
    place = parallel.local_rank()
    if asked == "cuda" and place is not None:
        asked = f"cuda:{place}"
    if asked == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda" if place is None else f"cuda:{place}")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(asked)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise SettingsError(f"device {asked!r} cannot be used here: {reason}") from error
    return device


def threads_of(experiment: Experiment) -> int:
    """Return how many CPU threads a run of these settings takes on this machine."""
    few = 1 if experiment.data.source == "digits" else min(os.cpu_count() or 1, 16)
    return experiment.threads or few


@contextmanager
def chosen_threads(experiment: Experiment) -> Iterator[None]:
    """Set the number of CPU threads while a run lasts: as asked, else one for the digits."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads_of(experiment))
    try:
        yield
    finally:
        torch.set_num_threads(before)
