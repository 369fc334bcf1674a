"""Optimal transport: plans between two sets of points (primal form), and what bounds their cost.

`entropic_solvers` and `exact_solver` return a `Transport`, a plan with the evidence for it. `dual`
has the linear programmes of the dual form and the certificate of a critic's bound, `point_clouds`
critics of two clouds of points. The solvers' hot path is `scaling`, on CUDA `fused_sinkhorn`.
"""

from wcord.transport.costs import cosine_cost, squared_euclidean_cost
from wcord.transport.dual import (
    Certificate,
    Dependency,
    Potentials,
    c_transform,
    certified_bound,
    certify,
    dependency,
    euclidean,
    kantorovich,
)
from wcord.transport.entropic_solvers import Divergence, ipot, sinkhorn, sinkhorn_divergence
from wcord.transport.exact_solver import exact
from wcord.transport.plan import Transport
from wcord.transport.point_clouds import (
    CLOUDS,
    CONSTRAINTS,
    CloudCritic,
    CriticFit,
    GroupSort,
    clouds,
    fit_critic,
)

__all__ = [
    "CLOUDS",
    "CONSTRAINTS",
    "Certificate",
    "CloudCritic",
    "CriticFit",
    "Dependency",
    "Divergence",
    "GroupSort",
    "Potentials",
    "Transport",
    "c_transform",
    "certified_bound",
    "certify",
    "clouds",
    "cosine_cost",
    "dependency",
    "euclidean",
    "exact",
    "fit_critic",
    "ipot",
    "kantorovich",
    "sinkhorn",
    "sinkhorn_divergence",
    "squared_euclidean_cost",
]
