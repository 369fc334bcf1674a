"""Mean squared error of regression targets."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from wcord.models.output import Output
from wcord.objectives.term import Batch, Term, TermSettings


class MSESettings(TermSettings):
    """Settings of `mse`."""


class MSE(Term):
    """Mean squared error between a student's outputs and the targets, for regression.

        L = 1/(|A| K) sum over i in A of ||s_i - y_i||^2
        A = samples whose targets may be used

    s_i and y_i have K numbers, in the units of the targets. Give targets of order 1: the gradient
    grows with their size, and a network begins near 0.

    Source: the negative log-likelihood of a Gaussian of fixed variance; Bishop (2006), "Pattern
    recognition and machine learning", eq. 5.14, without the factor 1/2.
    """

    Settings = MSESettings
    name: ClassVar[str] = "mse"
    needs_teacher: ClassVar[bool] = False
    targets: ClassVar[str | None] = "regression"

    def forward(
        self, batch: Batch, teacher: Output, student: Output, shared: dict[str, Any]
    ) -> Tensor:
        errors = (student.logits - batch.label).square().mean(1)  # (n,)
        return batch.mean_of_labelled(errors)
