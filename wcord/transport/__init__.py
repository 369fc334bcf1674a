"""Optimal transport: plans between two sets of points, and the dual form that bounds their cost.

costs               cosine and Euclidean cost between every two points
entropic_solvers    `sinkhorn`, `sinkhorn_divergence`, `ipot`
exact_solver        `exact`, POT's network simplex
plan                `Transport`, the result of every solver, and its gradient
scaling             the updates of Sinkhorn and IPOT; `fused_sinkhorn`: all in one CUDA launch
dual                `kantorovich`, `dependency`, and the bound that a critic certifies
cloud_critic        critics of two point clouds, one for each constraint; `example_clouds`
validation          checks of arguments
"""

from wcord.transport.cloud_critic import (
    CONSTRAINTS,
    CloudCritic,
    CriticFit,
    GroupSort,
    fit_critic,
)
from wcord.transport.costs import cosine_cost, euclidean, squared_euclidean_cost
from wcord.transport.dual import (
    Certificate,
    Dependency,
    Potentials,
    c_transform,
    certified_bound,
    certify,
    dependency,
    kantorovich,
)
from wcord.transport.entropic_solvers import Divergence, ipot, sinkhorn, sinkhorn_divergence
from wcord.transport.exact_solver import exact
from wcord.transport.example_clouds import CLOUDS, clouds
from wcord.transport.plan import Transport

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
