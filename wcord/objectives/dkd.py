"""Decoupled knowledge distillation (DKD)."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from wcord.models.output import Output
from wcord.objectives.term import Batch, Term, TermSettings


class DKDSettings(TermSettings):
    """Settings of `dkd`; the defaults are the released ones for ResNet32x4 to 8x4, CIFAR-100.

    For other pairs the released beta is 2 (ResNet56 and 110), 6 (VGG13, and WRN to WRN) or 8.
    """

    weight: float = Field(1.0, ge=0, description="factor of this term in the total")
    target: float = Field(1.0, ge=0, description="alpha, factor of the target class's part")
    others: float = Field(8.0, ge=0, description="beta, factor of the other classes' part")
    temperature: float = Field(4.0, gt=0, description="T, softens both sides")


class DKD(Term):
    """The target class and the other classes, distilled separately.

        L = T^2 (alpha KL(b_T | b_S) + beta KL(q_T | q_S)),   mean over samples

    b = (p_t, 1 - p_t) are the probabilities of the target class t and of all others. q are those
    of the other classes, given that the class is not t. All are from softmax(logits / T). The
    target is the label if it may be used, else the teacher's prediction. In the released code, and
    not here, the weight rises linearly over the first 20 epochs.

    Source: Zhao et al. (2022), "Decoupled knowledge distillation" (TCKD and NCKD), and the
    released code (mdistiller) for the settings.
    """

    Settings = DKDSettings
    name: ClassVar[str] = "dkd"
    needs_logits: ClassVar[bool] = True
    needs_features: ClassVar[bool] = False
    needs_classes: ClassVar[bool] = True

    def forward(
        self, batch: Batch, teacher: Output, student: Output, shared: dict[str, Any]
    ) -> Tensor:
        temperature = self.settings.temperature
        (binary_t, others_t), (binary_s, others_s) = (
            split_target(output.logits / temperature, batch.group) for output in (teacher, student)
        )
        target = F.kl_div(binary_s, binary_t, reduction="batchmean", log_target=True)
        others = F.kl_div(others_s, others_t, reduction="batchmean", log_target=True)
        return temperature**2 * (self.settings.target * target + self.settings.others * others)


def without_target(x: Tensor, target: Tensor) -> Tensor:
    """Return x (n, classes) without column target[i] of each row i, (n, classes - 1)."""
    columns = torch.arange(x.shape[1] - 1, device=x.device)
    return x.gather(1, columns + (columns >= target[:, None]))


def split_target(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return log b (n, 2) and log q (n, classes - 1) of the softmax of logits (n, classes)."""
    target_logit, others = logits.gather(1, target[:, None]), without_target(logits, target)
    binary = torch.cat([target_logit, others.logsumexp(1, keepdim=True)], 1)  # (n, 2)
    return binary.log_softmax(1), others.log_softmax(1)
