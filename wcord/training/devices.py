"""The device of a run, and its number of CPU threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from wcord.compute import ranks
from wcord.errors import first_line
from wcord.settings.experiment import Experiment
from wcord.settings.messages import SettingsError

SMALL = 3 * 16 * 16  # most values of an image that counts as small
MAX_THREADS = 16  # unless set: more threads do not speed up networks on small images


def choose_device(name: str) -> torch.device:
    """Return the device of the setting `device`; "auto" is CUDA, else MPS, else the CPU.

    Each rank of a machine has its own CUDA device.

    Raises:
        SettingsError: this machine has no such device.
    """
    local_rank = ranks.local_rank()
    cuda = "cuda" if local_rank is None else f"cuda:{local_rank}"
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device(cuda)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(cuda if name == "cuda" else name)
        torch.zeros(1, device=device).item()  # fails on a device without values, such as meta
    except (RuntimeError, AssertionError) as error:
        reason = first_line(error)
        raise SettingsError(f"device {name!r} cannot be used here: {reason}") from error
    return device


def threads_of(experiment: Experiment) -> int:
    """Return the number of CPU threads of a run on this machine.

    The number is the setting `threads`, at most the number of cores. If the setting is 0, the
    number is 1 for the digits, else torch's default (the physical cores, or OMP_NUM_THREADS), at
    most `MAX_THREADS`.
    """
    if experiment.threads:
        return min(experiment.threads, os.cpu_count() or 1)
    if experiment.data.source == "digits":
        return 1
    return min(torch.get_num_threads(), MAX_THREADS)


@contextmanager
def chosen_threads(experiment: Experiment) -> Iterator[None]:
    """Use `threads_of` CPU threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads_of(experiment))
    try:
        yield
    finally:
        torch.set_num_threads(before)
