"""A critic of two clouds that learns while one watches, and what is seen of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wcord.transport import CloudCritic

from .clouds import ExactDistance, line_of

Array = NDArray[Any]

LONGEST = 2000  # steps of a critic
SLICE = 10  # steps between two looks at the clock
BUDGET = 0.12  # seconds of training in one go
CELLS = 48  # of the landscape, across and up


def critic_of(source: Array, target: Array, constraint: str) -> CloudCritic:
    """Return a critic of clouds (n, d) and (m, d) that has not learnt anything yet."""
    return CloudCritic(
        torch.from_numpy(source).double(), torch.from_numpy(target).double(), constraint
    )


def learn(critic: CloudCritic, budget: float = BUDGET) -> None:
    """Take steps for about `budget` seconds, ten at a time, and evaluate the critic once."""
    end = time.monotonic() + budget
    while critic.steps < LONGEST and time.monotonic() < end:
        critic.step(min(SLICE, LONGEST - critic.steps))
    critic.fit()


@dataclass(frozen=True)
class OnTheLine:
    """A critic over a line beside the best one: places (k,), both heights (k,), centred.

    guides (3, 3): x and y where a guide touches the critic, and its slope, ±1.
    """

    across: Array
    learnt: Array
    best: Array
    guides: Array


def on_the_line(critic: CloudCritic, best: ExactDistance) -> OnTheLine:
    """Return a critic of two clouds of numbers as a function."""
    across = line_of(critic.x.numpy(), critic.y.numpy())
    learnt = critic.scores(torch.from_numpy(across)).numpy()
    ideal = best.critic(across)
    learnt, ideal = learnt - learnt.mean(), ideal - ideal.mean()
    return OnTheLine(across[:, 0], learnt, ideal, slope_guides(across[:, 0], learnt, ideal))


def slope_guides(across: Array, learnt: Array, best: Array) -> Array:
    """Return guides (3, 3), rows (x, y, slope), that touch a critic with the best one's slope."""
    slopes = np.sign(np.gradient(best, across))
    chosen = [int(place * (len(across) - 1)) for place in (0.25, 0.5, 0.75)]
    return np.stack([across[chosen], learnt[chosen], slopes[chosen]], axis=1)


def landscape(critic: CloudCritic, reach: float) -> Array:
    """Return a critic's height (48, 48) over the plane from −reach to reach, lowest y first."""
    line = np.linspace(-reach, reach, CELLS)
    across, up = np.meshgrid(line, line)
    points = torch.from_numpy(np.stack([across.ravel(), up.ravel()], 1))
    return critic.scores(points).numpy().reshape(CELLS, CELLS)
