"""Wasserstein knowledge distillation (WKD): on predictions (logits) and on feature maps."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from wcord import transport
from wcord.models.output import Output
from wcord.objectives.dkd import without_target
from wcord.objectives.term import Batch, FirstPass, Shapes, Term, TermSettings


class WKDLogitSettings(TermSettings):
    """Settings of `wkd_l`; the defaults are the released ones for ResNet32x4 to 8x4, CIFAR-100."""

    weight: float = Field(1.0, ge=0, description="factor of this term in the total")
    others: float = Field(600.0, ge=0, description="lambda, factor of the transport of the others")
    temperature: float = Field(8.0, gt=0, description="T, softens the other classes")
    sharpness: float = Field(1.0, gt=0, description="kappa of the cost between classes")
    epsilon: float = Field(0.05, ge=1e-3, description="entropic regularisation, units of cost")
    iterations: int = Field(10, ge=1, description="iterations of Sinkhorn")
    examples: int = Field(500, ge=2, description="largest number of samples in a class's kernel")


class WKDLogit(Term):
    """Transport from the teacher's to the student's predictions; cheap between similar classes.

        L = -1/n sum_i p_T,i(t) log p_S,i(t)  +  lambda 1/n sum_i ⟨P_i, C_i⟩
        C_cd = 1 - exp(-kappa (1 - CKA(K_c, K_d)))

    t is the target class (the label if it may be used, else the teacher's prediction), p the
    softmax of all classes at temperature 1, P_i the entropic plan between the probabilities
    softmax(logits / T) of the other classes of teacher and student, and C_i the cost without t.

    CKA is that of linear kernels: K_c (b, b) holds the centred inner products of the teacher's
    features of b training samples of class c, in the order of the training set, computed once in
    `fill_banks`; b is the size of the smallest class, at most `examples`. So the k-th sample of one
    class is paired with the k-th of another: this is as published, although the data contain no
    such pairs.

    In the released code, and not here: the kernel of a class has a row for every position of the
    last map of every sample (32,000 rows on CIFAR-100), and from epoch 150 on the weight `others`
    falls to 0 along half a cosine. The released code adds cross-entropy of weight 1.

    Differentiation: envelope. The gradient with respect to the student's probabilities is the dual
    potential, that is the gradient of the regularised objective (Danskin). The released code
    differentiates ⟨P, C⟩ through the iterations.

    Source: Lv, Yang and Li (2024), "Wasserstein distance rivals Kullback-Leibler divergence for
    knowledge distillation" (WKD-L), and the released code (configs/cifar100/wkd_l).
    """

    Settings = WKDLogitSettings
    name: ClassVar[str] = "wkd_l"
    needs_logits: ClassVar[bool] = True
    needs_classes: ClassVar[bool] = True
    cost: Tensor

    def __init__(self, settings: WKDLogitSettings, shapes: Shapes, seed: int) -> None:
        super().__init__(settings, shapes, seed)
        self.register_buffer("cost", 1 - torch.eye(shapes.teacher_classes))

    @torch.no_grad()
    def fill_banks(self, first_pass: FirstPass) -> None:
        """Compute the cost between classes from the teacher's features."""
        batches = list(first_pass())
        order = torch.cat([batch.index for batch in batches]).argsort()
        group = torch.cat([batch.group for batch in batches])[order]
        features = torch.cat([batch.teacher.features for batch in batches])[order]
        classes = len(self.cost)
        fewest = int(torch.bincount(group, minlength=classes).min())
        if fewest < 2:
            raise ValueError(
                "wkd_l compares classes by their samples and needs at least two of every class: "
                "remove wkd_l or give it more data"
            )
        size = min(fewest, self.settings.examples)
        kernels = torch.stack([_kernel(features[group == c][:size]) for c in range(classes)])
        cka = kernels @ kernels.T  # (classes, classes)
        cost = 1 - torch.exp(-self.settings.sharpness * (1 - cka.clamp(0, 1)))
        self.cost.copy_(cost.fill_diagonal_(0))

    def forward(
        self, batch: Batch, teacher: Output, student: Output, shared: dict[str, Any]
    ) -> Tensor:
        target = batch.group[:, None]  # (n, 1)
        target_t = teacher.logits.softmax(1).gather(1, target)
        loss = -(target_t * student.logits.log_softmax(1).gather(1, target)).mean()
        p_t, p_s = (
            without_target(output.logits / self.settings.temperature, batch.group).softmax(1)
            for output in (teacher, student)
        )  # (n, classes - 1)
        value = self._transport(self._cost_of_others(batch.group), p_t, p_s)
        self.logs["transport"] = value.detach()
        return loss + self.settings.others * value

    def _cost_of_others(self, group: Tensor) -> Tensor:
        """Return C_i of every sample, (n, classes - 1, classes - 1)."""
        classes = torch.arange(len(self.cost), device=group.device)
        columns = without_target(classes.expand(len(group), -1), group)  # (n, classes - 1)
        return self.cost[columns[:, :, None], columns[:, None, :]]

    def _transport(self, cost: Tensor, p_t: Tensor, p_s: Tensor) -> Tensor:
        """Return the mean of ⟨P, C⟩, with the gradient of the regularised objective in p_s."""
        fixed = p_s.detach()
        with torch.no_grad():
            solved = transport.sinkhorn(
                cost,
                self.settings.epsilon,
                source=p_t,
                target=fixed,
                iterations=self.settings.iterations,
                validate=False,
            )
            potential = solved.potentials[1].nan_to_num(neginf=0.0)  # (n, classes - 1)
        zero = (potential * (p_s - fixed)).sum(1)  # its gradient in p_s is `potential`
        return (solved.value + zero).mean()


def _kernel(features: Tensor) -> Tensor:
    """Return the centred linear kernel of features (b, d), flattened and of unit length."""
    centred = features - features.mean(0)
    return F.normalize((centred @ centred.T).flatten(), dim=0)


class WKDFeatureSettings(TermSettings):
    """Settings of `wkd_f`; the defaults are the released ones for ResNet32x4 to 8x4, CIFAR-100."""

    weight: float = Field(0.08, ge=0, description="factor of this term in the total")
    means: float = Field(4.0, ge=0, description="gamma, factor of the means over the deviations")


class WKDFeature(Term):
    """Squared Wasserstein distance between Gaussians fitted to the feature maps.

        L = mean over samples of
            gamma ||mu_T - mu_S||^2 + ||sigma_T - sigma_S||^2

    mu is the mean of each channel over the positions of the deepest map, sigma^2 its unbiased
    variance + 1e-5. A 1 x 1 convolution, batch normalisation and ReLU first give the student's map
    the teacher's number of channels. With gamma = 1 this is W2^2 of Gaussians with diagonal
    covariances. The deepest map is the last stage's output, as in the released code: WRN's before
    the last normalisation and ReLU, MobileNetV2's and ShuffleNetV2's before the last convolution.

    In the released code, and not here: from epoch 150 on the weight falls to 0 along half a cosine;
    where map sizes differ, a strided or transposed convolution first resizes the student's map;
    for WRN-40-2 to ShuffleNetV1 each of 4 x 4 parts of the map has its own Gaussian.

    Source: Lv, Yang and Li (2024), "Wasserstein distance rivals Kullback-Leibler divergence for
    knowledge distillation" (WKD-F), and the released code (configs/cifar100/wkd_f).
    """

    Settings = WKDFeatureSettings
    name: ClassVar[str] = "wkd_f"
    needs_maps: ClassVar[bool] = True

    def __init__(self, settings: WKDFeatureSettings, shapes: Shapes, seed: int) -> None:
        super().__init__(settings, shapes, seed)
        channels = shapes.teacher_maps[-1][0]
        self.project = nn.Sequential(
            nn.Conv2d(shapes.student_maps[-1][0], channels, 1, bias=False),
            nn.BatchNorm2d(channels, track_running_stats=False),
            nn.ReLU(),
        )

    def forward(
        self, batch: Batch, teacher: Output, student: Output, shared: dict[str, Any]
    ) -> Tensor:
        mean_t, deviation_t = _gaussian(teacher.maps[-1])
        mean_s, deviation_s = _gaussian(self.project(student.maps[-1]))
        means = (mean_t - mean_s).square().sum(1)  # (n,)
        deviations = (deviation_t - deviation_s).square().sum(1)  # (n,)
        return (self.settings.means * means + deviations).mean()


def _gaussian(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and deviation (n, channels) over the positions of maps (n, channels, h, w)."""
    values = maps.flatten(2)
    return values.mean(2), (values.var(2) + 1e-5).sqrt()
