"""Entropic transport, forward and backward, on one device, against POT and geomloss.

    python -m benchmarks.gpu_transport            the GPU where there is one, else the CPU

The problem and the solvers are those of `benchmarks.transport`, on any device: a given cost matrix
(float32, n x n, uniform masses), epsilon 0.05, 100 updates, the gradient of the transport cost by
the envelope theorem. The time of a GPU ends when the device has finished. geomloss averages each
potential with its update, updates both sides at once, and lowers epsilon step by step. So its plan
after equally many updates differs from ours, and the table shows the row error of every plan.
"""

from __future__ import annotations

import argparse
import importlib
import json
import warnings
from functools import partial
from typing import Any

import numpy as np
import ot
import torch
from torch import Tensor

from benchmarks.gpu_profile import synchronize
from benchmarks.interleaved import time_interleaved
from benchmarks.transport import EPSILON, ITERATIONS, SOLVERS, Solver, problem, solve
from wcord.transport.scaling import kernel_form

SIZES = (64, 128, 256, 512, 1024, 2048)
REPEATS = 5  # calls of one solver in its turn
OURS = "wcord"
AGREE = 1e-4  # sum of |plan - ours| below which plans are called equal


def kernel_scheme(cost: Tensor) -> Tensor:
    """Our solver without the fused kernel, as on a CPU and above 256 x 256."""
    size = len(cost)
    mass = cost.new_full((size,), 1 / size)
    with torch.no_grad():
        plan = kernel_form(cost.detach(), EPSILON, mass, mass, ITERATIONS, None, zeros=False).plan
    (plan * cost).sum().backward()
    return plan


def geomloss_solve(geomloss: Any, cost: Tensor) -> Tensor:
    """geomloss's log domain solver for a given cost, then the gradient of <P, C>."""
    with torch.no_grad():
        plan = geomloss.solve(cost.detach(), reg=EPSILON, max_iter=ITERATIONS).plan
    (plan * cost).sum().backward()
    return plan


def solvers(device: torch.device) -> tuple[dict[str, tuple[Solver, str]], dict[str, str]]:
    """Return name -> (solver, description of its updates), and name -> why it is left out."""
    alternating = f"{ITERATIONS} of rows, then columns"
    available = {name: (solver, alternating) for name, solver in SOLVERS.items()}
    if device.type == "cuda":
        available["wcord, kernel form"] = kernel_scheme, alternating
    name = "geomloss.ot.solve, epsilon scaling"
    try:
        geomloss = importlib.import_module("geomloss.ot")
    except ImportError as error:
        return available, {name: f"geomloss is missing: {error}"}
    available[name] = (
        partial(geomloss_solve, geomloss),
        f"{ITERATIONS} averaged of both sides at once",
    )
    return available, {}


def _evidence(solver: Solver, cost: Tensor, ours: Tensor | None) -> dict[str, Any]:
    """Return the plan of one call, its row error, and the differences of plan and gradient."""
    leaf = cost.clone().requires_grad_(True)
    plan = solver(leaf).detach()
    assert leaf.grad is not None
    rows = float((plan.sum(1) - 1 / len(cost)).abs().sum())
    difference = 0.0 if ours is None else float((plan - ours).abs().sum())
    return {
        "plan": plan,
        "row_error": rows,
        "apart": difference,
        "gradient_apart": float((leaf.grad - plan).abs().sum()),
        "agrees": difference < AGREE,
    }


def _seconds(
    available: dict[str, tuple[Solver, str]], cost: Tensor, rounds: int, seconds: float
) -> dict[str, np.ndarray]:
    """Return seconds per call, one value per round for every solver."""
    leaf = cost.clone().requires_grad_(True)
    times = time_interleaved(
        {name: partial(solve, solver, leaf) for name, (solver, _) in available.items()},
        rounds,
        repeats=REPEATS,
        synchronize=partial(synchronize, cost.device),
        limit=seconds,
    )
    return {name: np.array(values) for name, values in times.items()}


def measure(
    device: str | torch.device,
    sizes: tuple[int, ...] = SIZES,
    rounds: int = 40,
    seconds: float = 20.0,
) -> list[dict[str, Any]]:
    """Time every solver at every size.

    Args:
        device: device of cost and solvers.
        sizes: n of the n x n costs.
        rounds: rounds of every size, at most.
        seconds: no new round of a size starts after this, except the first three.

    Returns:
        One row per size and solver. ms: per call, median over rounds; ratio, ratio_low,
        ratio_high: median and quartiles over rounds of its time over ours, above 1 where ours is
        faster; apart: sum |plan - ours|; agrees: whether that is below AGREE (only solvers with
        the same updates can agree); gradient_apart: sum |gradient - own plan|; row_error: sum
        |P 1 - 1/n|; updates; rounds; device and versions. The row of a solver that is left out has
        the reason in `left_out`, and no numbers.
    """
    device = torch.device(device)
    available, missing = solvers(device)
    device_name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    rows: list[dict[str, Any]] = [
        {"solver": name, "left_out": why} for name, why in missing.items()
    ]
    for size in sizes:
        cost = problem(size).to(device)
        evidence: dict[str, dict[str, Any]] = {}
        for name, (solver, _) in list(available.items()):
            ours = evidence[OURS]["plan"] if evidence else None
            try:
                evidence[name] = _evidence(solver, cost, ours)
            except RuntimeError as error:  # the library does not support this device
                rows.append({"solver": name, "left_out": str(error).splitlines()[0]})
                del available[name]
        times = _seconds(available, cost, rounds, seconds)
        for name, (_, updates) in available.items():
            low, middle, high = np.percentile(times[name] / times[OURS], [25, 50, 75])
            rows.append(
                {
                    "size": size,
                    "solver": name,
                    "updates": updates,
                    "ms": float(np.median(times[name])) * 1e3,
                    "ratio": float(middle),
                    "ratio_low": float(low),
                    "ratio_high": float(high),
                    **{key: value for key, value in evidence[name].items() if key != "plan"},
                    "rounds": len(times[name]),
                    "device": device_name,
                    "versions": f"torch {torch.__version__}, POT {ot.__version__}",
                }
            )
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as text."""
    lines = [
        f"{'n':>5}  {'solver':<36}{'ms':>9}  {'ratio':<24}{'sum|dP|':>9}{'row error':>11}  updates"
    ]
    for row in rows:
        if "left_out" in row:
            lines.append(f"{'':>5}  {row['solver']:<36}{row['left_out']}")
            continue
        ratio = f"{row['ratio']:6.2f} [{row['ratio_low']:.2f}, {row['ratio_high']:.2f}]"
        lines.append(
            f"{row['size']:>5}  {row['solver']:<36}{row['ms']:>9.3f}  {ratio:<24}"
            f"{row['apart']:>9.0e}{row['row_error']:>11.0e}  {row['updates']}"
        )
    return "\n".join(lines)


def main() -> None:
    """Print the table; write the rows as JSON to the file of `--json`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=20.0, help="time limit of a size")
    parser.add_argument("--json", help="file for the rows")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", module="ot")
    rows = measure(options.device, tuple(options.sizes), options.rounds, options.seconds)
    print(
        f"Sinkhorn forward + backward without the cost matrix: epsilon {EPSILON}, float32. "
        f"{rows[-1]['device']}, {rows[-1]['versions']}. Ratio: median [quartiles] over rounds."
    )
    print(table(rows))
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
