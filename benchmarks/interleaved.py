"""Timing of several actions in turns, so that each round's ratio is of neighbours in time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

MIN_ROUNDS = 3  # measured even when the time limit has passed


def time_interleaved(
    actions: Mapping[str, Callable[[], Any]],
    rounds: int,
    *,
    repeats: int = 1,
    clock: Callable[[], float] = time.perf_counter,
    synchronize: Callable[[], Any] = lambda: None,
    limit: float = float("inf"),
) -> dict[str, list[float]]:
    """Return seconds per call of every action, one value per round.

    Every action is called once to warm up. Each round starts with another action, so that a slow
    moment of the machine does not always hit the same one.

    Args:
        actions: what is timed, by name.
        rounds: number of rounds, at most.
        repeats: calls of an action in its turn.
        clock: seconds; `time.thread_time` leaves out other processes.
        synchronize: waits for the device, before the clock is read.
        limit: seconds after which no further round starts.
    """
    for action in actions.values():
        action()
    synchronize()
    names = list(actions)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    start = time.perf_counter()
    for turn in range(rounds):
        if turn >= MIN_ROUNDS and time.perf_counter() - start > limit:
            break
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            began = clock()
            for _ in range(repeats):
                actions[name]()
            synchronize()
            seconds[name].append((clock() - began) / repeats)
    return seconds
