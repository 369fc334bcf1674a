"""Where a run computes: the device, and how many threads of a CPU."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from wcord.compute import ranks
from wcord.settings.experiment import Experiment
from wcord.settings.messages import SettingsError

SMALL = 3 * 16 * 16  # images of at most this many numbers train fastest on one thread
MOST_THREADS = 16  # of networks as small as these: more of them wait for each other


def choose_device(asked: str) -> torch.device:
    """Return the device asked for; "auto" is CUDA, else MPS, else the CPU.

    Raises:
        SettingsError: there is no such device here.
    """
    place = ranks.local_rank()
    if asked == "cuda" and place is not None:
        asked = f"cuda:{place}"
    if asked == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda" if place is None else f"cuda:{place}")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(asked)
        torch.zeros(1, device=device).item()  # such as meta can hold nothing
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise SettingsError(f"device {asked!r} cannot be used here: {reason}") from error
    return device


def threads_of(experiment: Experiment) -> int:
    """Return how many CPU threads a run of these settings takes on this machine.

    As asked, but no more than there are cores; else one for the digits, else torch's own choice,
    which goes by physical cores and heeds OMP_NUM_THREADS.
    """
    if experiment.threads:
        return min(experiment.threads, os.cpu_count() or 1)
    if experiment.data.source == "digits":
        return 1
    return min(torch.get_num_threads(), MOST_THREADS)


@contextmanager
def chosen_threads(experiment: Experiment) -> Iterator[None]:
    """Set the number of CPU threads while a run lasts (see `threads_of`)."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads_of(experiment))
    try:
        yield
    finally:
        torch.set_num_threads(before)
