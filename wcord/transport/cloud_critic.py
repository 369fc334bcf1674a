"""Critics of two point clouds, one for each way to keep a network 1-Lipschitz.

    W1(x, y) = sup over 1-Lipschitz phi of E_x[phi] - E_y[phi]

The lab's playground and the second notebook compare them; training uses `wcord.critic`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wcord.compute.seeds import generator, seed_of
from wcord.critic import NonExpansive, group_sort
from wcord.transport.costs import euclidean
from wcord.transport.dual import Certificate, certify
from wcord.transport.validation import require_count, require_floats, require_positive

CONSTRAINTS = (
    "linear",
    "clipping",
    "gradient_penalty",
    "spectral_relu",
    "spectral_groupsort",
    "orthogonal",
)
CLIP = 0.15  # largest absolute weight under "clipping"
PENALTY = 10.0  # factor of (|slope| - 1)^2 under "gradient_penalty"


class GroupSort(nn.Module):
    """Sort the units of each group: 1-Lipschitz, and unlike ReLU it keeps the norm of gradients.

        y = sort of (x_1 ... x_k) within each group

    Args:
        size: k, units in a group; k must divide the last dimension. k = 2 is MaxMin.

    Source: Anil, Lucas and Grosse (2019), "Sorting out Lipschitz function approximation".

    >>> GroupSort()(torch.tensor([3.0, 1.0, 0.0, 2.0]))
    tensor([1., 3., 0., 2.])
    """

    def __init__(self, size: int = 2) -> None:
        super().__init__()
        require_count("size", size)
        if size < 2:
            raise ValueError(f"size must be at least 2, got {size}")
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """Return x (..., units), sorted within groups."""
        if x.shape[-1] % self.size:
            raise ValueError(f"{x.shape[-1]} units do not divide into groups of {self.size}")
        if self.size == 2:
            return group_sort(x)
        return x.unflatten(-1, (-1, self.size)).sort(-1).values.flatten(-2)


class SpectralLinear(nn.Module):
    """x -> W x / ||W||_2 + c, with the norm by power iteration in training, exact otherwise.

    Source: Miyato et al. (2018), "Spectral normalization for generative adversarial networks".
    """

    def __init__(self, columns: int, rows: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.orthogonal_(torch.empty(rows, columns)))
        self.bias = nn.Parameter(torch.zeros(rows))
        self.left: Tensor
        self.register_buffer("left", F.normalize(torch.randn(rows), dim=0))

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., rows)."""
        if not self.training:
            norm = torch.linalg.matrix_norm(self.weight, 2)
        else:
            with torch.no_grad():
                for _ in range(2):
                    right = F.normalize(self.weight.T @ self.left, dim=0)
                    left = F.normalize(self.weight @ right, dim=0)
                    self.left.copy_(left)
            norm = left @ (self.weight @ right)
        return F.linear(x, self.weight / norm, self.bias)


class _UnitBallLinear(nn.Linear):
    """x -> ⟨w, x⟩ with |w| <= 1: the best w points from one mean to the other."""

    def __init__(self, columns: int) -> None:
        super().__init__(columns, 1, bias=False)
        nn.init.zeros_(self.weight)

    @torch.no_grad()
    def project(self) -> None:
        """Scale w to norm 1 if it is longer."""
        self.weight.div_(self.weight.norm().clamp_min(1))


def _optimizer(constraint: str, network: nn.Module, rate: float) -> torch.optim.Optimizer:
    """Return Adam; for the linear critic SGD, whose steps follow the difference of the means."""
    if constraint == "linear":
        return torch.optim.SGD(network.parameters(), 100 * rate)
    return torch.optim.Adam(network.parameters(), rate, betas=(0.5, 0.9))


def _network(constraint: str, dim: int, width: int) -> nn.Module:
    """Return a critic of points (n, dim): ⟨w, x⟩ if linear, else a network with 2 hidden layers."""
    if constraint == "linear":
        return _UnitBallLinear(dim)
    layer: Callable[[int, int], nn.Module] = nn.Linear
    if constraint in ("spectral_relu", "spectral_groupsort"):
        layer = SpectralLinear
    elif constraint == "orthogonal":
        layer = _biased_non_expansive
    sort = constraint in ("spectral_groupsort", "orthogonal")
    return nn.Sequential(
        layer(dim, width),
        GroupSort() if sort else nn.ReLU(),
        layer(width, width),
        GroupSort() if sort else nn.ReLU(),
        layer(width, 1),
    )


def _biased_non_expansive(columns: int, rows: int) -> nn.Module:
    return NonExpansive(columns, rows, bias=True)


@dataclass(frozen=True)
class CriticFit:
    """The evaluation of a critic of two clouds.

    Attributes:
        steps: number of training steps so far.
        scores_x: (n,), phi at the points of x.
        scores_y: (m,), phi at the points of y.
        raw: E_x[phi] - E_y[phi], the critic's estimate of W1.
        slope: largest slope of phi between a point of x and a point of y.
        bound: max(raw, 0) / slope, never above the exact W1.
        history: (step, `Certificate`) of every evaluation so far.
    """

    steps: int
    scores_x: Tensor
    scores_y: Tensor
    raw: float
    slope: float
    bound: float
    history: tuple[tuple[int, Certificate], ...]


class CloudCritic:
    """A small critic of two clouds, trained by any number of steps at a time.

        maximise over phi   E_x[phi] - E_y[phi],   phi kept 1-Lipschitz by `constraint`

    - "linear": ⟨w, x⟩, |w| <= 1. Depends on the difference of the means only.
    - "clipping": ReLU network, weights within +-0.15: some Lipschitz bound, but not 1.
    - "gradient_penalty": ReLU network, 10 E(|grad phi| - 1)^2 between the clouds: slopes near 1,
      above and below; raw may be negative for the first hundreds of steps.
    - "spectral_relu": ReLU network, ||W||_2 = 1: slopes at most 1, mostly far less.
    - "spectral_groupsort": the same with `GroupSort`, which keeps the norm of gradients.
    - "orthogonal": `GroupSort`, and all singular values of W near 1 (`NonExpansive`).

    Every step uses all points, in float64. The result depends on clouds, constraint, seed and
    number of steps, and not on how many steps one call of `step` makes.

    Args:
        x: cloud (n, d).
        y: cloud (m, d).
        constraint: one of `CONSTRAINTS`.
        seed: seed of the weights and of the random points of the penalty.
        width: hidden units.
        rate: learning rate of Adam; the linear critic uses 100 times it.

    Raises:
        ValueError: clouds of other shapes or with NaN, an unknown constraint.

    Source: Arjovsky et al. (2017) for clipping, Gulrajani et al. (2017) for the penalty, Miyato
    et al. (2018) for spectral normalisation, Anil et al. (2019) for sorting and orthogonality.

    >>> x = torch.linspace(0, 1, 20)[:, None]
    >>> fit = CloudCritic(x + 2, x, "linear").step(10).fit()
    >>> round(fit.raw, 6), round(fit.slope, 6)
    (2.0, 1.0)
    """

    def __init__(
        self,
        x: Tensor,
        y: Tensor,
        constraint: str = "spectral_groupsort",
        *,
        seed: int = 0,
        width: int = 64,
        rate: float = 3e-3,
    ) -> None:
        if constraint not in CONSTRAINTS:
            raise ValueError(
                f"constraint must be one of {', '.join(CONSTRAINTS)}; not {constraint!r}"
            )
        require_count("width", width)
        require_positive("rate", rate)
        for name, cloud in (("x", x), ("y", y)):
            require_floats(name, cloud, "a cloud (n, d)", 2)
        if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
            raise ValueError(
                f"clouds must be (n, d) and (m, d), got {tuple(x.shape)} and {tuple(y.shape)}"
            )
        self.x, self.y = x.detach().double().cpu(), y.detach().double().cpu()
        if not (bool(self.x.isfinite().all()) and bool(self.y.isfinite().all())):
            raise ValueError("clouds hold NaN or infinite coordinates")
        self.constraint, self.seed, self.steps = constraint, seed, 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(seed, "cloud-critic"))
            self.network = _network(constraint, x.shape[1], width).double()
        self.optimizer = _optimizer(constraint, self.network, rate)
        self.history: list[tuple[int, Certificate]] = []
        self._points = torch.cat([self.x, self.y])
        self._distances = euclidean(self.x, self.y).numpy()

    def step(self, count: int = 1) -> CloudCritic:
        """Train for `count` steps and return the critic itself."""
        require_count("count", count)
        self.network.train()
        for _ in range(count):
            scores = self.network(self._points).squeeze(-1)  # (n + m,)
            loss = scores[len(self.x) :].mean() - scores[: len(self.x)].mean()
            if self.constraint == "gradient_penalty":
                loss = loss + PENALTY * self._penalty()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self._project()
            self.steps += 1
        return self

    def scores(self, points: Tensor) -> Tensor:
        """Return phi (k,) at any points (k, d)."""
        self.network.eval()
        with torch.no_grad():
            return self.network(points.double().cpu()).squeeze(-1)

    def fit(self) -> CriticFit:
        """Evaluate the critic and add the result to `history`."""
        scores = self.scores(self._points)
        scores_x, scores_y = scores[: len(self.x)], scores[len(self.x) :]
        certificate = certify(scores_x.numpy(), scores_y.numpy(), self._distances)
        if not self.history or self.history[-1][0] != self.steps:
            self.history.append((self.steps, certificate))
        return CriticFit(
            self.steps,
            scores_x,
            scores_y,
            certificate.raw,
            certificate.slope,
            certificate.bound,
            tuple(self.history),
        )

    def _penalty(self) -> Tensor:
        """Return E (|grad phi| - 1)^2 at random points between the clouds."""
        rng = generator(self.seed, "cloud-penalty", self.steps)
        count = max(len(self.x), len(self.y))
        x = self.x[torch.randint(len(self.x), (count,), generator=rng)]
        y = self.y[torch.randint(len(self.y), (count,), generator=rng)]
        weight = torch.rand(count, 1, generator=rng, dtype=torch.float64)
        between = torch.lerp(x, y, weight).requires_grad_(True)
        (gradient,) = torch.autograd.grad(self.network(between).sum(), between, create_graph=True)
        return (gradient.norm(dim=1) - 1).square().mean()

    @torch.no_grad()
    def _project(self) -> None:
        """Project the weights onto the set that "linear" or "clipping" allows."""
        if isinstance(self.network, _UnitBallLinear):
            self.network.project()
        elif self.constraint == "clipping":
            for weight in self.network.parameters():
                weight.clamp_(-CLIP, CLIP)


def fit_critic(
    x: Tensor,
    y: Tensor,
    constraint: str = "spectral_groupsort",
    *,
    steps: int = 1000,
    seed: int = 0,
    every: int = 50,
    callback: Callable[[CriticFit], None] | None = None,
    width: int = 64,
    rate: float = 3e-3,
) -> CriticFit:
    """Train a `CloudCritic` and return its last evaluation.

        raw   = E_x[phi] - E_y[phi]   over phi that `constraint` allows
        bound = max(raw, 0) / slope <= W1

    Args:
        x: cloud (n, d).
        y: cloud (m, d).
        constraint: one of `CONSTRAINTS` (see `CloudCritic`).
        steps: number of training steps.
        seed: seed of the weights and of the random points of the penalty.
        every: steps between two evaluations.
        callback: called with the `CriticFit` of every evaluation.
        width: hidden units.
        rate: learning rate of Adam; the linear critic uses 100 times it.

    Returns:
        `CriticFit` after the last step.

    Raises:
        ValueError: as `CloudCritic`; steps or every below 1.
    """
    require_count("steps", steps)
    require_count("every", every)
    critic = CloudCritic(x, y, constraint, seed=seed, width=width, rate=rate)
    while critic.steps < steps:
        fit = critic.step(min(every, steps - critic.steps)).fit()
        if callback is not None:
            callback(fit)
    return fit
