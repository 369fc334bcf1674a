"""Shares of a transport plan's mass at true and at wrong partners."""

from __future__ import annotations

import torch
from torch import Tensor


def partner_masses(plan: Tensor, partner: Tensor) -> tuple[Tensor, Tensor]:
    """Return the shares of a broken row's mass on its true partner and on its wrong partner.

        true  = n / |B| sum over j in B of P[j, partner[j]]
        wrong = n / |B| sum over j in B of P[j, j]
        B     = {j: partner[j] != j}

    The student's row j is trained with the teacher's output of sample partner[j]. So for the
    teacher's row j the true partner is the student's row partner[j], and the wrong partner is the
    student's row j. A uniform plan gives 1/n to each.

    A plan that does not use the pairs has its rows in the order of the teacher's rows. Its `true`
    is then the diagonal mass of the plan of right pairs, over the samples of B.

    Args:
        plan: P (n, n), teacher by student, each row of mass 1/n.
        partner: (n,) int64, a permutation (`wcord.compute.random_draws.WrongPairs`).

    Returns:
        Two scalars in 0 ... 1; NaN where no row is broken.
    """
    broken = partner != torch.arange(len(partner), device=partner.device)
    share = len(partner) / broken.sum()
    true = plan.gather(1, partner[:, None])[:, 0]
    masses = (torch.where(broken, mass, 0).sum() * share for mass in (true, plan.diagonal()))
    true_mass, wrong_mass = masses
    return true_mass, wrong_mass
