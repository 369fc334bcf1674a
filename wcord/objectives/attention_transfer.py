"""Attention transfer (AT): where feature maps are active, stage by stage."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from wcord.models.output import Output
from wcord.objectives.term import Batch, Term, TermSettings


class ATSettings(TermSettings):
    """Settings of `at`; the weight is the paper's beta."""

    weight: float = Field(1000.0, ge=0, description="factor of this term in the total")


class AT(Term):
    """Mean squared difference of attention maps.

        L = 1/2 sum over stages of
            mean over samples and positions of (q_S - q_T)^2
        q = Q / ||Q||_2,   Q = sum over channels of A_c^2, flattened

    Stages are paired from the deepest on. Where heights or widths differ, the larger map is
    reduced by average pooling. The 1/2 is the paper's; the authors' code and RepDistiller leave it
    out, so that their weight of 1000 is 2000 here.

    A stage is the last map of each size. On the CIFAR networks these are RepDistiller's stages (of
    WRN before the last normalisation and ReLU, of MobileNetV2 and ShuffleNetV2 before the last
    convolution), with two exceptions: VGG's first stage and a ShuffleNet's first convolution are
    added, and of VGG's two stages of 4 x 4 only the last is used.

    Source: Zagoruyko and Komodakis (2017), "Paying more attention to attention", eq. 2, with beta
    of 10^3 divided by the number of elements of the attention map and the batch.
    """

    Settings = ATSettings
    name: ClassVar[str] = "at"
    needs_maps: ClassVar[bool] = True

    def forward(
        self, batch: Batch, teacher: Output, student: Output, shared: dict[str, Any]
    ) -> Tensor:
        deepest_first = zip(reversed(teacher.maps), reversed(student.maps), strict=False)
        losses = [_distance(a_t, a_s) for a_t, a_s in deepest_first]
        return torch.stack(losses).sum() / 2


def _distance(a_t: Tensor, a_s: Tensor) -> Tensor:
    """Return the mean of (q_S - q_T)^2 of one stage's maps (n, channels, height, width)."""
    size = min(a_t.shape[2], a_s.shape[2]), min(a_t.shape[3], a_s.shape[3])
    q_t, q_s = (
        F.normalize(F.adaptive_avg_pool2d(a, size).square().sum(1).flatten(1), dim=1, eps=1e-6)
        for a in (a_t, a_s)
    )  # (n, height * width)
    return (q_t - q_s).square().mean()
