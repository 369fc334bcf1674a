"""The playground's scene: two clouds and how they are solved, as JSON and as an address.

    {"space": "plane", "points": 24, "seed": 0,
     "source": {"shape": "one blob", "right": 0, "up": 0, "size": 1, "turn": 0},
     "target": {"points": [[0.8, 0.4], [1.2, -0.3]]},
     "cost": "squared distance", "solver": "sinkhorn", "epsilon": 0.1, "iterations": 100,
     "constraint": "spectral_groupsort",
     "batch": {"run": "", "arm": "", "step": null, "cost": "1 − cosine", "epsilon": null}}

A cloud is a shape that is moved, or the points that were drawn. A batch has a cost and an ε of its
own; where its ε is null, the run's counts. In an address a cloud reads `ring_0.8_0.4_1_0` or
`drawn_0.8_0.4_1.2_-0.3`; what is as at first is left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..reading.shapes import SHAPES, SIDE

Scene = dict[str, Any]

SPACES = ("plane", "line", "batch")
CLOUDS = ("source", "target")
COSTS = ("squared distance", "distance", "1 − cosine")
SOLVERS = ("sinkhorn", "ipot", "exact")
CONSTRAINTS = (
    "spectral_groupsort",
    "spectral_relu",
    "orthogonal",
    "gradient_penalty",
    "clipping",
    "linear",
)
EPSILONS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
LIMITS = (1e-4, 100.0)  # of an ε that is not among these
ITERATIONS = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)
FEWEST, MOST = 2, 64  # points of a shape; a cloud that is drawn has at least 1
LAST_SEED = 9999
FURTHEST = 2 * SIDE  # a coordinate of a point that was drawn
DIGITS = 3  # of such a coordinate, after the point
DRAWN = "drawn"
OF_SOLVING = ("points", "seed", "cost", "solver", "epsilon", "iterations", "constraint")
NAMES = ("space", *CLOUDS, *OF_SOLVING, "run", "arm", "step")  # the parts of an address


class Move(NamedTuple):
    """One way to move a cloud: its limits, its step, and the value that changes nothing."""

    low: float
    high: float
    step: float
    neutral: float


MOVES = {
    "right": Move(-2.5, 2.5, 0.05, 0.0),
    "up": Move(-2.5, 2.5, 0.05, 0.0),
    "size": Move(0.2, 2.0, 0.05, 1.0),
    "turn": Move(-180.0, 180.0, 5.0, 0.0),
}
STILL = {name: move.neutral for name, move in MOVES.items()}


def scene() -> Scene:
    """Return the scene that the page begins with."""
    return {
        "space": "plane",
        "source": {"shape": "one blob", **STILL},
        "target": {"shape": "ring", **STILL, "right": 0.8, "up": 0.4},
        "points": 24,
        "seed": 0,
        "cost": COSTS[0],
        "solver": SOLVERS[0],
        "epsilon": 0.1,
        "iterations": 100,
        "constraint": CONSTRAINTS[0],
        "batch": {"run": "", "arm": "", "step": None, "cost": COSTS[2], "epsilon": None},
    }


def completed(given: Mapping[str, Any]) -> Scene:
    """Return a whole scene from any JSON: nonsense in it is passed over.

    >>> completed({"epsilon": float("nan"), "points": 7, "source": {"points": []}})["points"]
    7
    """
    first = scene()
    batch = given.get("batch")
    batch = batch if isinstance(batch, Mapping) else {}
    epsilon = _number(batch.get("epsilon"), *LIMITS, -1.0)
    step = _number(batch.get("step"), 0, 10**9, -1)
    return {
        "space": _choice(given.get("space"), SPACES),
        **{cloud: _cloud(given.get(cloud), first[cloud]) for cloud in CLOUDS},
        "points": int(_number(given.get("points"), FEWEST, MOST, first["points"])),
        "seed": int(_number(given.get("seed"), 0, LAST_SEED, first["seed"])),
        "cost": _choice(given.get("cost"), COSTS),
        "solver": _choice(given.get("solver"), SOLVERS),
        "epsilon": _number(given.get("epsilon"), *LIMITS, first["epsilon"]),
        "iterations": int(_number(given.get("iterations"), 1, ITERATIONS[-1], first["iterations"])),
        "constraint": _choice(given.get("constraint"), CONSTRAINTS),
        "batch": {
            **{key: str(batch.get(key) or "")[:500] for key in ("run", "arm")},
            "step": None if step < 0 else int(step),
            "cost": _choice(batch.get("cost"), COSTS, first["batch"]["cost"]),
            "epsilon": None if epsilon < 0 else epsilon,
        },
    }


def _choice(value: Any, known: Sequence[str], first: str | None = None) -> str:
    return value if isinstance(value, str) and value in known else first or known[0]


def _number(value: Any, low: float, high: float, first: float) -> float:
    """Return a number of JSON or of an address where it lies within the limits, else `first`."""
    try:
        number = float(value) if isinstance(value, (int, float, str)) else math.nan
    except (ValueError, OverflowError):
        return first
    return number if low <= number <= high else first


def _cloud(value: Any, first: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return dict(first)
    points = value.get("points")
    if isinstance(points, Sequence) and not isinstance(points, str):
        found = [point for given in points[:MOST] if (point := _point(given))]
        return {"points": found} if found else dict(first)
    shape = value.get("shape")
    if not isinstance(shape, str) or shape not in SHAPES:
        return dict(first)
    moves = {k: _number(value.get(k), m.low, m.high, m.neutral) for k, m in MOVES.items()}
    return {"shape": shape, **moves}


def _point(given: Any) -> list[float] | None:
    if not isinstance(given, Sequence) or len(given) != 2:
        return None
    x, y = (_number(value, -FURTHEST, FURTHEST, math.nan) for value in given)
    return [round(x, DIGITS), round(y, DIGITS)] if math.isfinite(x + y) else None


# ---------------------------------------------------------------------------------- the address


def from_address(address: Mapping[str, str]) -> Scene:
    """Return the scene that an address stands for; nonsense in it is passed over.

    >>> from_address({"source": "drawn_1_0.5_x_2", "epsilon": "0.5"})["source"]
    {'points': [[1.0, 0.5]]}
    """
    given: Scene = {key: value for key, value in address.items() if key in NAMES}
    given["space"] = address.get("space") or ("batch" if address.get("run") else "")
    for cloud in CLOUDS:
        if text := address.get(cloud):
            given[cloud] = _cloud_of(text)
    given["batch"] = {key: address.get(key) for key in ("run", "arm", "step")}
    if given["space"] == "batch":
        for key in ("cost", "epsilon"):
            given["batch"][key] = given.pop(key, None)
    return completed(given)


def _cloud_of(text: str) -> dict[str, Any]:
    name, *numbers = text.split("_")
    if name == DRAWN:
        return {"points": list(zip(numbers[::2], numbers[1::2], strict=False))}
    return {"shape": name} | dict(zip(MOVES, numbers, strict=False))


def to_address(scene: Mapping[str, Any]) -> dict[str, str]:
    """Return the parts of an address that lead back to a whole scene.

    >>> to_address(completed({"space": "line", "epsilon": 0.5, "source": {"points": [[1, 0.5]]}}))
    {'space': 'line', 'source': 'drawn_1_0.5', 'epsilon': '0.5'}
    """
    first, of_batch = completed({}), scene["space"] == "batch"
    solved, usual = (scene["batch"], first["batch"]) if of_batch else (scene, first)
    found = {"space": scene["space"] if scene["space"] != first["space"] else ""}
    for cloud in CLOUDS:
        found[cloud] = _text_of(scene[cloud]) if scene[cloud] != first[cloud] else ""
    for key in OF_SOLVING:
        own, at_first = (s[key] for s in ((solved, usual) if key in usual else (scene, first)))
        found[key] = "" if own == at_first else own if isinstance(own, str) else f"{own:g}"
    if of_batch:
        step = scene["batch"]["step"]
        found |= {"run": scene["batch"]["run"], "arm": scene["batch"]["arm"]}
        found["step"] = "" if step is None else str(step)
    return {key: value for key, value in found.items() if value}


def _text_of(cloud: Mapping[str, Any]) -> str:
    if "points" in cloud:
        return "_".join([DRAWN, *(f"{value:g}" for point in cloud["points"] for value in point)])
    moves = [f"{cloud[name]:g}" for name in MOVES]
    still = all(cloud[name] == neutral for name, neutral in STILL.items())
    return str(cloud["shape"]) if still else "_".join([cloud["shape"], *moves])


def plain() -> dict[str, Any]:
    """Return what can be chosen as JSON, for the view."""
    return {
        "shapes": list(SHAPES),
        "costs": COSTS,
        "solvers": SOLVERS,
        "constraints": CONSTRAINTS,
        "epsilons": EPSILONS,
        "iterations": ITERATIONS,
        "moves": {name: move._asdict() for name, move in MOVES.items()},
        "fewest": FEWEST,
        "most": MOST,
        "last_seed": LAST_SEED,
        "side": SIDE,
        "digits": DIGITS,
    }
