"""Knowledge distillation (KD) on logits, for equal label sets."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from wcord.models.output import Output
from wcord.objectives.term import Batch, Term, TermSettings


class KDSettings(TermSettings):
    """Settings of `kd`; the defaults are RepDistiller's, with cross-entropy of weight 0.1.

    With `standardise`, weight 9 and T = 2 are those of the released command for CIFAR-100.
    """

    weight: float = Field(
        0.9,
        ge=0,
        description="factor of this term in the total",
        json_schema_extra={"suited": {"standardise": {"false": 0.9, "true": 9.0}}},
    )
    temperature: float = Field(
        4.0,
        gt=0,
        description="T, softens both sides",
        json_schema_extra={"suited": {"standardise": {"false": 4.0, "true": 2.0}}},
    )
    standardise: bool = Field(False, description="compare the z-scores of each sample's logits")


class KD(Term):
    """Kullback-Leibler divergence of softened predictions.

        L = T^2 / n  sum over i of KL(softmax(t_i / T) | softmax(s_i / T))

    t, s (n, classes) are the logits. T^2 keeps the size of the gradient as T grows. T has no unit;
    L is in nats.

    With `standardise`, t_i and s_i are first replaced by their z-scores (x - mean) / deviation over
    the classes, so that L does not change if the logits of a sample are shifted or multiplied by a
    positive number: the student need not reach the range of the teacher's logits. The factor T^2
    stays. The released command for CIFAR-100 has T = 2 and weight 9.

    Source: Hinton, Vinyals and Dean (2015), "Distilling the knowledge in a neural network",
    sec. 2; Sun et al. (2024), "Logit standardization in knowledge distillation", and the released
    code, for `standardise`.
    """

    Settings = KDSettings
    name: ClassVar[str] = "kd"
    needs_logits: ClassVar[bool] = True
    needs_features: ClassVar[bool] = False
    needs_classes: ClassVar[bool] = True

    def forward(
        self, batch: Batch, teacher: Output, student: Output, shared: dict[str, Any]
    ) -> Tensor:
        temperature = self.settings.temperature
        t, s = teacher.logits, student.logits  # (n, classes)
        if self.settings.standardise:
            t, s = z_scores(t), z_scores(s)
        log_p_t = F.log_softmax(t / temperature, dim=-1)  # (n, classes)
        log_p_s = F.log_softmax(s / temperature, dim=-1)  # (n, classes)
        loss = F.kl_div(log_p_s, log_p_t, reduction="batchmean", log_target=True)
        return loss * temperature**2


def z_scores(logits: Tensor) -> Tensor:
    """Standardise each row of logits (n, classes), classes >= 2, to mean 0 and deviation 1.

        z_c = (x_c - mean(x)) / (std(x) + 1e-7)
        std^2 = sum of (x_c - mean(x))^2 / (classes - 1)

    The divisor classes - 1 and 1e-7 are those of the released code. The gradient grows as 1 / std.
    A row of equal logits (as from a classifier of zeros) has z = 0 and no gradient; in the released
    code it has 1e7 times the gradient of z, too much for any optimizer.
    """
    mean, std = logits.mean(-1, keepdim=True), logits.std(-1, keepdim=True)  # (n, 1)
    least, largest = logits.aminmax(dim=-1, keepdim=True)  # std of equal logits is 0 up to rounding
    return ((logits - mean) / (std + 1e-7)).masked_fill(least == largest, 0)
