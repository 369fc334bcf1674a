"""The dual form on finite samples: linear programmes, certified bounds, critics of two clouds.

    W1(mu, nu) = max   E_mu[f] + E_nu[g]      over f_i + g_j <= d(x_i, y_j)      (linear programme)
               = sup   E_mu[g] - E_nu[g]      over 1-Lipschitz g                 (a critic)

Nothing here takes part in training: it is what a trained critic is measured against.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from wcord.transport.exact_solver import exact, network_simplex
from wcord.transport.validation import require_cost, require_floats, require_potential

# ------------------------------------------------------------------------- linear programmes


@dataclass(frozen=True)
class Potentials:
    """A solution of the dual linear programme.

    f (..., n) and g (..., m), in units of cost, f_i + g_j <= C_ij; value (...) = <a,f> + <b,g>.
    """

    f: Tensor
    g: Tensor
    value: Tensor


def kantorovich(
    cost: Tensor, source: Tensor | None = None, target: Tensor | None = None
) -> Potentials:
    """Solve the dual linear programme of optimal transport.

        max over f, g of <a, f> + <b, g>   with   f_i + g_j <= C_ij for all i, j

    Args:
        cost: C (..., n, m), float32 or float64.
        source, target: masses a (n,) and b (m,) or batches of them; uniform where None.

    Returns:
        `Potentials`, in which g is the c-transform of f (made tight where POT leaves room, so
        that the constraint holds to rounding). By strong duality its value is that of `exact`.

    Raises:
        ValueError, RuntimeError: as `wcord.transport.exact`.

    Source: Kantorovich (1942); Villani (2009), "Optimal transport", theorem 5.10.

    >>> kantorovich(torch.tensor([[1.0, 3.0]])).value  # half of the mass to each side
    tensor(2.)
    """
    require_cost(cost)
    primal = exact(cost.detach(), source=source, target=target)
    f = c_transform(primal.potentials[1], cost.detach().mT)
    g = c_transform(f, cost.detach())
    n, m = cost.shape[-2:]
    a = torch.full_like(f, 1 / n) if source is None else source.to(f)
    b = torch.full_like(g, 1 / m) if target is None else target.to(g)
    return Potentials(f, g, (a * f).sum(-1) + (b * g).sum(-1))


def c_transform(potential: Tensor, cost: Tensor) -> Tensor:
    """Return the best partner of a potential: the largest g with f_i + g_j <= C_ij.

        f^c(y_j) = min over i of C_ij - f_i

    The columns need not be the points that f was found with: for C = d(x_i, y), -f^c is the
    McShane extension of f to any y, 1-Lipschitz in d.

    Args:
        potential: f (..., n), in units of cost; -inf where a point is to be left out.
        cost: C (..., n, m). Use `cost.mT` to transform a g back.

    Returns:
        f^c (..., m), in units of cost.

    Raises:
        ValueError: no float tensors, or shapes that do not fit together.

    Source: Santambrogio (2015), "Optimal transport for applied mathematicians", definition 1.10.

    >>> c_transform(torch.tensor([0.0, 1.0]), torch.tensor([[0.0, 2.0], [2.0, 0.0]]))
    tensor([ 0., -1.])
    """
    require_potential(potential, cost)
    return (cost - potential[..., :, None]).amin(-2)


# ------------------------------------------------------------------ dependence of two features


@dataclass(frozen=True)
class Dependency:
    """The exact Wasserstein dependency of a probe batch; `float()` of it is `value`.

    value: I_W, in units of the features. most: min(E|s - s'|, E|t - t'|), which I_W never
    exceeds. plan (n, n, n): mass from pair (t_i, s_i) to pair (t_k, s_l) at [i, k, l].
    joint (n,) and product (n, n): the dual potentials f, g at these pairs.
    """

    value: float
    most: float
    plan: Tensor
    joint: Tensor
    product: Tensor

    def __float__(self) -> float:
        return self.value


def dependency(z_t: Tensor, z_s: Tensor) -> Dependency:
    """Return how far a batch of pairs is from independence, exactly.

        I_W = W1( 1/n sum_i delta(t_i, s_i),  1/n^2 sum_kl delta(t_k, s_l) )
        d((t, s), (t', s')) = |t - t'| + |s - s'|

    An n x n^2 linear programme: about 10 ms at n = 64. It is the dependency of the *sample* and
    proves nothing about the population: independent features show 1.28 to 1.35 on 64 samples.
    A critic's certificate is evidence of dependence only where the critic was trained on other
    samples. Bounds on mutual information hold for the population's I_W, not for this one.

    Args:
        z_t: teacher features (n, d_t), in the ground space (centred, of unit length).
        z_s: student features (n, d_s) of the same samples.

    Returns:
        `Dependency`, on the CPU in float64.

    Raises:
        ValueError: no float tensors of the same number of samples, or NaN in them.
        RuntimeError: the network simplex stopped before the optimum.

    Source: Ozair et al. (2019), "Wasserstein dependency measure for representation learning",
    equation 4; POT's network simplex.

    >>> t = torch.tensor([[0.0], [1.0]])
    >>> float(dependency(t, t))  # half of the pairs of the product have one side to move by 1
    0.5
    """
    across_t, across_s = _distances(z_t, z_s)
    n = len(across_t)
    cost = _pair_distances(across_t, across_s)
    plan, f, g = network_simplex(np.full(n, 1 / n), np.full(n * n, 1 / n**2), cost)
    return Dependency(
        value=float((plan * cost).sum()),
        most=float(min(across_t.mean(), across_s.mean())),
        plan=torch.from_numpy(plan).view(n, n, n),
        joint=torch.from_numpy(f),
        product=torch.from_numpy(g).view(n, n),
    )


def certified_bound(scores: Tensor, z_t: Tensor, z_s: Tensor) -> Certificate:
    """Return the lower bound of a sample's I_W that a critic's scores certify.

        raw   = 1/n sum_i g(t_i, s_i) - 1/n^2 sum_kl g(t_k, s_l)
        slope = max over i, k, l of |g(t_i, s_i) - g(t_k, s_l)| / d((t_i, s_i), (t_k, s_l))
        bound = max(raw, 0) / slope  <=  I_W

    Proof. Let P be an optimal plan from the joint to the product sample. Its marginals give
    raw = sum P_i,kl (g(t_i, s_i) - g(t_k, s_l)). P only joins a point of the joint with one of
    the product, so that each difference is at most slope * d, and raw <= slope * sum P d =
    slope * I_W. Only slopes between the two supports enter; the largest gradient norm seen at
    some points bounds nothing. Where two pairs are one point (d = 0) but have two scores that
    differ by more than rounding, g is no function of the features: slope is infinite and the
    bound 0.

    It bounds the dependency of these samples, which is above 0 for independent features too: a
    critic fitted to them certifies much of it. A bound is evidence of dependence only where the
    critic was trained on other samples.

    Args:
        scores: g (n, n), rows teacher, columns student, in any unit and of any critic.
        z_t: teacher features (n, d_t) in the space of d.
        z_s: student features (n, d_s).

    Returns:
        `Certificate`; compare `bound` with `dependency(z_t, z_s)`.

    Raises:
        ValueError: no float tensors, shapes that do not fit together, NaN.

    >>> t = torch.tensor([[0.0], [1.0]])
    >>> proof = certified_bound(t @ t.T, t, t)
    >>> proof.raw, proof.slope, round(proof.bound, 9)
    (0.25, 1.0, 0.25)
    """
    cost = _pair_distances(*_distances(z_t, z_s))
    n = len(cost)
    require_floats("scores", scores, f"({n}, {n})", 2)
    if scores.shape != (n, n):
        raise ValueError(
            f"scores must be ({n}, {n}) to fit the features, got {tuple(scores.shape)}"
        )
    g = scores.detach().double().cpu().numpy()
    return certify(g.diagonal(), g.ravel(), cost)


def _distances(z_t: Tensor, z_s: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return |t_i - t_k| and |s_i - s_l|, both (n, n), float64."""
    for name, features in (("teacher features", z_t), ("student features", z_s)):
        require_floats(name, features, "(n, d)", 0)
    if z_t.ndim != 2 or z_s.ndim != 2 or len(z_t) != len(z_s):
        raise ValueError(
            "teacher and student features must be (n, d) of the same n samples, got "
            f"{tuple(z_t.shape)} and {tuple(z_s.shape)}"
        )
    if not (bool(z_t.isfinite().all()) and bool(z_s.isfinite().all())):
        raise ValueError("features hold NaN or infinite entries: the network has diverged")
    return euclidean(z_t, z_t).numpy(), euclidean(z_s, z_s).numpy()


def _pair_distances(across_t: np.ndarray, across_s: np.ndarray) -> np.ndarray:
    """Return d((t_i, s_i), (t_k, s_l)) at [i, k n + l], (n, n^2)."""
    return (across_t[:, :, None] + across_s[:, None, :]).reshape(len(across_t), -1)


NOISE = 1e-5  # of the range of scores: what two scores of one point may differ by, in float32


ROUNDING = 1e-12  # of the range of scores: taken off the difference of means before it is a bound


@dataclass(frozen=True)
class Certificate:
    """What a critic proves about the W1 of two samples.

    raw: difference of its means; slope: its largest slope between the two supports;
    bound: max(raw, 0) / slope, rounded down and never above the exact W1 of the samples. raw is in
    units of the critic, bound in units of distance.
    """

    raw: float
    slope: float
    bound: float


def certify(at_x: np.ndarray, at_y: np.ndarray, distances: np.ndarray) -> Certificate:
    """Return the bound that scores prove, whatever made them and in whatever unit.

        raw   = E_x[g] - E_y[g]
        slope = max over i, j of |g(x_i) - g(y_j)| / d(x_i, y_j)
        bound = max(raw, 0) / slope <= W1(x, y)

    Proof. For any plan P between the two, raw = sum P_ij (g(x_i) - g(y_j)) <= slope * sum P_ij
    d(x_i, y_j); take the best P. Slopes elsewhere do not matter, and a gradient norm would
    prove nothing.

    Where d = 0 the two are one point, and g must have one value there. Scores that differ by
    rounding are replaced by one of them, so that g is a function again and the proof holds
    for it. Scores that differ by more prove nothing: slope is infinite and the bound 0. The
    sizes of rounding are relative to the range of the scores.

    Args:
        at_x: g(x_i) (n,), float64.
        at_y: g(y_j) (m,), float64.
        distances: d(x_i, y_j) (n, m), a metric, exactly 0 for equal points.

    Raises:
        ValueError: scores that are NaN or infinite.
    """
    if not (np.isfinite(at_x).all() and np.isfinite(at_y).all()):
        raise ValueError("scores hold NaN or infinite entries: the critic has diverged")
    at_x, at_y = at_x - at_x[0], at_y - at_x[0]  # a constant would take digits from the means
    scores = np.concatenate((at_x, at_y))
    span = float(np.ptp(scores))
    same = distances == 0
    if (np.abs(at_x[:, None] - at_y)[same] > NOISE * span).any():
        return Certificate(float(at_x.mean() - at_y.mean()), math.inf, 0.0)
    at_x, at_y = _one_score_a_point(at_x, at_y, same)
    raw = float(at_x.mean() - at_y.mean())
    steps = np.abs(at_x[:, None] - at_y)
    slopes = np.where(steps > 0, math.inf, 0.0)  # where d is 0; the others are overwritten
    with np.errstate(over="ignore"):
        slope = float(np.divide(steps, distances, out=slopes, where=~same).max())
    bound = max(raw - ROUNDING * span, 0.0) / slope if slope > 0 else 0.0
    return Certificate(raw, slope, bound)


def _one_score_a_point(
    at_x: np.ndarray, at_y: np.ndarray, same: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores with that of the first x at its place for every x and y of one point."""
    first = same.argmax(0)  # (m,), the first x at y's place, if any
    at_y = np.where(same.any(0), at_x[first], at_y)
    return np.where(same.any(1), at_y[same.argmax(1)], at_x), at_y


def euclidean(x: Tensor, y: Tensor) -> Tensor:
    """|x_i - y_j| in float64 on the CPU, from differences: exactly 0 for equal points."""
    x, y = x.detach().double().cpu(), y.detach().double().cpu()
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
