"""Entropic transport, forward and backward, on one device, against POT and geomloss.

    python -m benchmarks.gpu_transport            the GPU where there is one, else the CPU

The problem, the solvers and the clock's turns are those of `benchmarks.transport`, on any device:
a given cost (float32, n x n, uniform masses), epsilon 0.05, 100 updates, the gradient of the
transport cost by the envelope theorem. On a GPU the clock stops when the device has finished.
geomloss halves its steps (it averages each potential with its update, and updates both at once)
and lowers epsilon to its goal on the way, so its plan after as many updates is another one: the
row error of each plan stands beside its time.
"""

from __future__ import annotations

import argparse
import importlib
import json
import time
import warnings
from functools import partial
from typing import Any

import numpy as np
import ot
import torch
from torch import Tensor

from benchmarks.transport import EPSILON, ITERATIONS, SOLVERS, Solver, problem
from wcord.transport.scaling import kernel_form

SIZES = (64, 128, 256, 512, 1024, 2048)
REPEATS = 5  # calls of one solver in one turn
OURS = "wcord"
AGREE = 1e-4  # sum of |plan - ours| up to which plans after equal updates are the same


def kernel_scheme(cost: Tensor) -> Tensor:
    """Ours without the fused kernel: what `wcord` is on a CPU and above 256 x 256."""
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
    """Return name: (solver, its updates in words), and name: why it is left out."""
    alternating = f"{ITERATIONS} of rows, then columns"
    found = {name: (solver, alternating) for name, solver in SOLVERS.items()}
    if device.type == "cuda":
        found["wcord, kernel form"] = kernel_scheme, alternating
    name = "geomloss.ot.solve, epsilon scaling"
    try:
        geomloss = importlib.import_module("geomloss.ot")
    except ImportError as error:
        return found, {name: f"geomloss is missing: {error}"}
    found[name] = partial(geomloss_solve, geomloss), f"{ITERATIONS} averaged of both sides at once"
    return found, {}


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _evidence(solver: Solver, cost: Tensor, ours: Tensor | None) -> dict[str, Any]:
    """Return what one call's plan and gradient are worth."""
    leaf = cost.clone().requires_grad_(True)
    plan = solver(leaf).detach()
    assert leaf.grad is not None
    rows = float((plan.sum(1) - 1 / len(cost)).abs().sum())
    apart = 0.0 if ours is None else float((plan - ours).abs().sum())
    return {
        "plan": plan,
        "row_error": rows,
        "apart": apart,
        "gradient_apart": float((leaf.grad - plan).abs().sum()),
        "agrees": apart < AGREE,
    }


def _seconds(
    chosen: dict[str, tuple[Solver, str]], cost: Tensor, rounds: int, seconds: float
) -> dict[str, np.ndarray]:
    """Return seconds a call, one number a round for every solver, measured in turns."""
    leaf, names = cost.clone().requires_grad_(True), list(chosen)
    for name in names:
        chosen[name][0](leaf)  # warm up
    _wait(cost.device)
    taken: dict[str, list[float]] = {name: [] for name in names}
    began = time.perf_counter()
    for turn in range(rounds):
        for place in range(len(names)):
            name = names[(turn + place) % len(names)]
            solver = chosen[name][0]
            started = time.perf_counter()
            for _ in range(REPEATS):
                leaf.grad = None
                solver(leaf)
            _wait(cost.device)
            taken[name].append((time.perf_counter() - started) / REPEATS)
        if turn >= 2 and time.perf_counter() - began > seconds:
            break
    return {name: np.array(times) for name, times in taken.items()}


def measure(
    device: str | torch.device,
    sizes: tuple[int, ...] = SIZES,
    rounds: int = 40,
    seconds: float = 20.0,
) -> list[dict[str, Any]]:
    """Time every solver at every size.

    Args:
        device: where cost and solvers are.
        sizes: n of the n x n costs.
        rounds: turns of every solver, at most.
        seconds: no new round of a size starts after this, but for the first three.

    Returns:
        One row a size and solver: ms a call (median over rounds); ratio, ratio_low, ratio_high:
        median and quartiles over rounds of its time over ours in that round, above 1 where ours
        is faster; apart: sum |plan - ours|, and whether it agrees (only solvers with the same
        updates can); gradient_apart: sum |gradient - its own plan|; row_error: sum of
        |P 1 - 1/n|; updates; rounds; device and versions. A solver that is left out has a row
        with `left_out`, why, and no numbers.
    """
    device = torch.device(device)
    chosen, missing = solvers(device)
    name_of_device = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    rows: list[dict[str, Any]] = [
        {"solver": name, "left_out": why} for name, why in missing.items()
    ]
    for size in sizes:
        cost = problem(size).to(device)
        evidence: dict[str, dict[str, Any]] = {}
        for name, (solver, _) in list(chosen.items()):
            ours = evidence[OURS]["plan"] if evidence else None
            try:
                evidence[name] = _evidence(solver, cost, ours)
            except RuntimeError as error:  # a library that cannot do it on this device
                rows.append({"solver": name, "left_out": str(error).splitlines()[0]})
                del chosen[name]
        taken = _seconds(chosen, cost, rounds, seconds)
        for name, (_, updates) in chosen.items():
            low, middle, high = np.percentile(taken[name] / taken[OURS], [25, 50, 75])
            rows.append(
                {
                    "size": size,
                    "solver": name,
                    "updates": updates,
                    "ms": float(np.median(taken[name])) * 1e3,
                    "ratio": float(middle),
                    "ratio_low": float(low),
                    "ratio_high": float(high),
                    **{key: value for key, value in evidence[name].items() if key != "plan"},
                    "rounds": len(taken[name]),
                    "device": name_of_device,
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
    """Print the table, and the rows as JSON where a file is named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=20.0, help="for each size")
    parser.add_argument("--json", help="file for the rows")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", module="ot")
    rows = measure(chosen.device, tuple(chosen.sizes), chosen.rounds, chosen.seconds)
    print(
        f"Sinkhorn forward + backward without the cost matrix: epsilon {EPSILON}, float32. "
        f"{rows[-1]['device']}, {rows[-1]['versions']}. Ratio: median [quartiles] over rounds."
    )
    print(table(rows))
    if chosen.json:
        with open(chosen.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
