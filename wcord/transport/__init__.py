"""Optimal transport: plans between two sets of points, and the dual form that bounds their cost.

- Costs between every two points: `cosine_cost`, `squared_euclidean_cost`, `euclidean`.
- Plans: `sinkhorn`, `sinkhorn_divergence` and `ipot` are entropic, `exact` is a network simplex.
  Their results are a `Transport`, or a `Divergence` of three.
- Dual form: `kantorovich`, `dependency`, and the lower bounds that the scores of a critic prove,
  `certify` and `certified_bound`.
- Critics of two point clouds: `CloudCritic`, `fit_critic`; `clouds` are examples.
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
