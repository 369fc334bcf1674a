"""One class for each term on features: `FeatureLoss` with a single term, and WCoRD with two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from wcord.losses.feature_loss import FeatureLoss, TermValue
from wcord.settings.term_settings import parse_term


class WCoRDLoss(FeatureLoss):
    """Both forms of the Wasserstein distance between teacher and student features.

        L = lambda_1 GCKT + lambda_2 LCKT

    GCKT (dual form) maximises the dependence of teacher and student features by a 1-Lipschitz
    critic and a bank of negatives; LCKT (primal form) minimises the cost of an entropic transport
    plan inside the batch, on the embeddings of GCKT's critic. `FeatureLoss` describes the use; the
    settings of `gckt` and `lckt` are on the page "Every term".

    Args:
        teacher_dim: length of teacher features.
        student_dim: length of student features.
        samples: number N of training samples.
        gckt: lambda_1, or a dictionary of settings of GCKT, such as {"weight": 0.8, "form": "nce"};
            None: its defaults (weight 5, for the form "wasserstein").
        lckt: lambda_2, or a dictionary of settings of LCKT; None: its defaults (weight 0.05).
        classes: number of classes, as in `FeatureLoss`.
        seed: seed of initial weights and of all draws.
        gather: whether to compute the loss of the features of all ranks.

    Raises:
        ValueError: see `FeatureLoss`.

    Source: Chen et al. (2021), "Wasserstein contrastive representation distillation".

    A student of the digits, with features of a teacher that was trained before:

    >>> import torch, wcord
    >>> from sklearn.datasets import load_digits
    >>> from torch.nn.functional import cross_entropy
    >>> from torch.utils.data import DataLoader, TensorDataset
    >>> digits = load_digits()
    >>> images = torch.tensor(digits.data[:1000]).float() / 16
    >>> labels = torch.tensor(digits.target[:1000])
    >>> dataset = wcord.Indexed(TensorDataset(images, labels))
    >>> def network(width):
    ...     first, last = torch.nn.Linear(64, width), torch.nn.Linear(width, 10)
    ...     return torch.nn.Sequential(first, torch.nn.ReLU(), last)
    >>> _ = torch.manual_seed(0)
    >>> teacher, student = network(512).eval(), network(128)
    >>> features_of_teacher = wcord.features(teacher)
    >>> features_of_student = wcord.features(student)
    >>> loader = DataLoader(dataset, batch_size=100, shuffle=True)

    >>> loss = wcord.WCoRDLoss(teacher_dim=512, student_dim=128,
    ...                        samples=len(dataset), gckt=5.0, lckt=0.05)
    >>> loss.prime(loader, teacher=features_of_teacher,
    ...            student=features_of_student, progress=False)
    >>> parameters = [*student.parameters(), *loss.parameters()]
    >>> optimizer = torch.optim.SGD(parameters, lr=0.1)
    >>> for index, images, labels in loader:
    ...     logits, student_features = features_of_student.with_output(images)
    ...     teacher_features = features_of_teacher(images).detach()
    ...     total = cross_entropy(logits, labels)
    ...     total = total + loss(teacher_features, student_features, index=index)
    ...     optimizer.zero_grad()
    ...     total.backward()
    ...     optimizer.step()
    >>> loss.steps, sorted(loss.logs)
    (10, ['gckt', 'gckt.bound', 'gckt.difference', 'lckt', 'lckt.marginal_error'])
    """

    def __init__(
        self,
        teacher_dim: int,
        student_dim: int,
        samples: int,
        gckt: TermValue = None,
        lckt: TermValue = None,
        *,
        classes: int | None = None,
        seed: int = 0,
        gather: bool = True,
    ) -> None:
        super().__init__(
            teacher_dim,
            student_dim,
            {"gckt": gckt, "lckt": lckt},
            samples=samples,
            classes=classes,
            seed=seed,
            gather=gather,
        )


class SingleTermLoss(FeatureLoss):
    """One term on features; a call returns its weight times its loss.

        loss(teacher, student, index) = weight * L_term

    The settings of each term are on the page "Every term"; `wcord show crd` prints those of `crd`.
    They are given as a dictionary or one by one, as in `CRDLoss(512, 128, 1000, temperature=0.1)`.
    Use and methods are those of `FeatureLoss`.

    Args:
        teacher_dim: length of teacher features.
        student_dim: length of student features.
        samples: number N of training samples, where the term has a bank.
        settings: a dictionary of settings of the term, such as {"temperature": 0.1}, or an instance
            of the term's `Settings`, or the weight alone; None: the defaults.
        classes: number of classes, as in `FeatureLoss`.
        seed: seed of initial weights and of all draws.
        gather: whether to compute the loss of the features of all ranks.
        keywords: single settings of the term, such as temperature=0.1, which replace those in
            `settings`.

    Raises:
        ValueError: see `FeatureLoss`.
    """

    term: ClassVar[str]

    def __init__(
        self,
        teacher_dim: int,
        student_dim: int,
        samples: int | None = None,
        *,
        settings: TermValue = None,
        classes: int | None = None,
        seed: int = 0,
        gather: bool = True,
        **keywords: Any,
    ) -> None:
        super().__init__(
            teacher_dim,
            student_dim,
            {self.term: _merged(self.term, settings, keywords, type(self).__name__)},
            samples=samples,
            classes=classes,
            seed=seed,
            gather=gather,
        )


def _merged(term: str, settings: TermValue, keywords: Mapping[str, Any], name: str) -> TermValue:
    """Return settings with single ones replaced by keywords."""
    if not keywords:
        return settings
    try:
        before = parse_term(term, settings)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    return {**before.model_dump(exclude_unset=True), **keywords}


class GCKTLoss(SingleTermLoss):
    """The dual form alone, the term `gckt`: dependence of teacher and student features.

    `settings` and keywords are those of `gckt`, given as in `SingleTermLoss`.
    """

    term = "gckt"


class LCKTLoss(SingleTermLoss):
    """The primal form alone, the term `lckt`: transport inside the batch.

    `settings` and keywords are those of `lckt`, given as in `SingleTermLoss`.

    It needs no index, no bank and no `prime`. Used alone it does not depend on which samples are
    paired, so that it cannot teach which sample belongs where.
    """

    term = "lckt"


class CRDLoss(SingleTermLoss):
    """Contrastive representation distillation, the term `crd`; `prime` needs labels.

    `settings` and keywords are those of `crd`, given as in `SingleTermLoss`.
    """

    term = "crd"


class HintLoss(SingleTermLoss):
    """The hint of FitNets on features, the term `hint`: a linear regression.

    `settings` and keywords are those of `hint`, given as in `SingleTermLoss`.
    """

    term = "hint"


class VIDLoss(SingleTermLoss):
    """Variational information distillation, the term `vid`.

    `settings` and keywords are those of `vid`, given as in `SingleTermLoss`.
    """

    term = "vid"


class ITRDLoss(SingleTermLoss):
    """Information-theoretic representation distillation, the term `itrd`.

    `settings` and keywords are those of `itrd`, given as in `SingleTermLoss`.
    """

    term = "itrd"


class SPLoss(SingleTermLoss):
    """Similarity-preserving distillation, the term `sp`.

    `settings` and keywords are those of `sp`, given as in `SingleTermLoss`.
    """

    term = "sp"


class RKDLoss(SingleTermLoss):
    """Relational knowledge distillation, the term `rkd`.

    `settings` and keywords are those of `rkd`, given as in `SingleTermLoss`.
    """

    term = "rkd"


class PKTLoss(SingleTermLoss):
    """Probabilistic knowledge transfer, the term `pkt`.

    `settings` and keywords are those of `pkt`, given as in `SingleTermLoss`.
    """

    term = "pkt"
