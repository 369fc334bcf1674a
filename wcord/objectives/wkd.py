"""Wasserstein distance on predictions and on feature maps."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from wcord import transport
from wcord.models.output import Output
from wcord.objectives.dkd import without
from wcord.objectives.term import Batch, Passes, Shapes, Term, TermSettings


class WKDLogitSettings(TermSettings):
    """Settings of `wkd_l`; the defaults are the released ones for ResNet32x4 to 8x4, CIFAR-100."""

    weight: float = Field(1.0, ge=0, description="factor of this term in the total")
    others: float = Field(600.0, ge=0, description="lambda, factor of the transport of the others")
    temperature: float = Field(8.0, gt=0, description="T, softens the other classes")
    sharpness: float = Field(1.0, gt=0, description="kappa of the cost between classes")
    epsilon: float = Field(0.05, ge=1e-3, description="entropic regularisation, units of cost")
    iterations: int = Field(10, ge=1, description="of Sinkhorn")
    examples: int = Field(500, ge=2, description="most samples of a class that its kernel uses")


class WKDLogit(Term):
    """Move the teacher's predicted masses onto the student's, cheaply between like classes.

        L = -1/n sum_i p_T,i(t) log p_S,i(t)  +  lambda 1/n sum_i <P_i, C_i>
        C_cd = 1 - exp(-kappa (1 - CKA(K_c, K_d)))

    t is the target class (the label where it may be seen, else the teacher's prediction), p the
    softmax of all classes at temperature 1, P_i the entropic plan between the other classes'
    probabilities softmax(logits / T) of teacher and student, C_i the cost without t. CKA is that
    of linear kernels: K_c (b, b) holds the centred inner products of the teacher's features of b
    training samples of class c, in their order in the training set, measured once in `prime`. As
    published, the k-th sample of one class is so paired with the k-th of another, for which there
    is no reason in the data; b is the size of the smallest class, at most `examples`.

    In the released code, and not here: a class's kernel has a row for every place of the last
    map of every sample (32,000 rows on CIFAR-100), and from epoch 150 on the weight `others`
    falls to 0 by half a cosine. Cross-entropy of weight 1 stands beside the term there.

    Differentiation: envelope. The student's masses get the plan's potentials, the gradient of
    the regularised objective (Danskin). The released code differentiates <P, C> through the
    iterations.

    Source: Lv, Yang and Li (2024), "Wasserstein distance rivals Kullback-Leibler divergence for
    knowledge distillation" (WKD-L), and the released code (configs/cifar100/wkd_l).
    """

    Settings = WKDLogitSettings
    name: ClassVar[str] = "wkd_l"
    needs_logits: ClassVar[bool] = True
    cost: Tensor

    def __init__(self, settings: WKDLogitSettings, shapes: Shapes, seed: int) -> None:
        super().__init__(settings, shapes, seed)
        self.register_buffer("cost", 1 - torch.eye(shapes.teacher_classes))

    @torch.no_grad()
    def fill_banks(self, passes: Passes) -> None:
        """Measure the cost between classes from the teacher's features."""
        primers = list(passes())
        index = torch.cat([p.index for p in primers])
        order = index.argsort()
        group = torch.cat([p.group for p in primers])[order]
        features = torch.cat([p.teacher.features for p in primers])[order]
        classes = len(self.cost)
        fewest = int(torch.bincount(group, minlength=classes).min())
        if fewest < 2:
            raise ValueError(
                "wkd_l compares classes by their samples and needs two of every class at least: "
                "remove wkd_l or give it more data"
            )
        few = min(fewest, self.settings.examples)
        kernels = torch.stack([_kernel(features[group == c][:few]) for c in range(classes)])
        likeness = kernels @ kernels.T  # (classes, classes): CKA
        cost = 1 - torch.exp(-self.settings.sharpness * (1 - likeness.clamp(0, 1)))
        self.cost.copy_(cost.fill_diagonal_(0))

    def forward(
        self, batch: Batch, teacher: Output, student: Output, shared: dict[str, Any]
    ) -> Tensor:
        target = batch.group[:, None]  # (n, 1)
        seen = teacher.logits.softmax(1).gather(1, target)
        loss = -(seen * student.logits.log_softmax(1).gather(1, target)).mean()
        p_t, p_s = (
            without(o.logits / self.settings.temperature, batch.group).softmax(1)
            for o in (teacher, student)
        )  # (n, classes - 1)
        value = self._transport(self._cost_of_others(batch.group), p_t, p_s)
        self.logs["transport"] = value.detach()
        return loss + self.settings.others * value

    def _cost_of_others(self, group: Tensor) -> Tensor:
        """Return C_i of every sample, (n, classes - 1, classes - 1)."""
        columns = without(
            torch.arange(len(self.cost), device=group.device).expand(len(group), -1), group
        )
        return self.cost[columns[:, :, None], columns[:, None, :]]

    def _transport(self, cost: Tensor, p_t: Tensor, p_s: Tensor) -> Tensor:
        """Return the mean of <P, C>, with the gradient of the regularised objective in p_s."""
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
            slope = solved.potentials[1].nan_to_num(neginf=0.0)  # (n, classes - 1)
        moving = (slope * (p_s - fixed)).sum(1)  # 0, with gradient `slope`
        return (solved.value + moving).mean()


def _kernel(features: Tensor) -> Tensor:
    """Return the centred linear kernel of features (b, d), flattened and of unit length."""
    centred = features - features.mean(0)
    return F.normalize((centred @ centred.T).flatten(), dim=0)


class WKDFeatureSettings(TermSettings):
    """Settings of `wkd_f`; the defaults are the released ones for ResNet32x4 to 8x4, CIFAR-100."""

    weight: float = Field(0.08, ge=0, description="factor of this term in the total")
    means: float = Field(4.0, ge=0, description="gamma, factor of the means over the deviations")


class WKDFeature(Term):
    """Squared Wasserstein distance of Gaussians fitted to the feature maps.

        L = mean over samples of  gamma ||mu_T - mu_S||^2 + ||sigma_T - sigma_S||^2

    mu is the mean of each channel over the places of the deepest map, sigma^2 its unbiased
    variance + 1e-5. The student's map is first brought to the teacher's channels by a 1 x 1
    convolution, batch normalisation and ReLU. With gamma = 1 and diagonal covariances it is W2^2
    itself. The deepest map is the last stage's output, as in the released code: WRN's before the
    last normalisation and ReLU, MobileNetV2's and ShuffleNetV2's before the last convolution.

    In the released code, and not here: from epoch 150 on the weight falls to 0 by half a cosine;
    where map sizes differ, the student's is first resized by a strided or transposed convolution;
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
    """Return mean and standard deviation (n, channels) over the places of (n, channels, h, w)."""
    places = maps.flatten(2)
    return places.mean(2), (places.var(2) + 1e-5).sqrt()
