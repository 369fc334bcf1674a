"""Knowledge distillation (KD) on logits, for equal label sets."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from wcord.models.output import Output
from wcord.objectives.term import Batch, Term, TermSettings


class KDSettings(TermSettings):
    """Settings of `kd`; the defaults are RepDistiller's, with cross-entropy of weight 0.1."""

    weight: float = Field(0.9, ge=0, description="factor of this term in the total")
    temperature: float = Field(4.0, gt=0, description="T, softens both sides")


class KD(Term):
    """Kullback-Leibler divergence of softened predictions.

        L = T^2 / n  sum over i of KL(softmax(t_i / T) | softmax(s_i / T))

    T^2 keeps the size of the gradient as T grows. T has no unit; L is in nats.

    Source: Hinton, Vinyals and Dean (2015), "Distilling the knowledge in a neural network",
    sec. 2.
    """

    Settings = KDSettings
    name: ClassVar[str] = "kd"
    needs_logits: ClassVar[bool] = True

    def forward(
        self, batch: Batch, teacher: Output, student: Output, shared: dict[str, Any]
    ) -> Tensor:
        temperature = self.settings.temperature
        log_p_t = F.log_softmax(teacher.logits / temperature, dim=-1)  # (n, classes)
        log_p_s = F.log_softmax(student.logits / temperature, dim=-1)  # (n, classes)
        loss = F.kl_div(log_p_s, log_p_t, reduction="batchmean", log_target=True)
        return loss * temperature**2
