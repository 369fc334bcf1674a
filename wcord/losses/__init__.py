"""The terms as modules for a training loop of your own: `WCoRDLoss` and one class for each term.

    loss = wcord.WCoRDLoss(512, 128, samples=len(dataset))
    loss.prime(loader, teacher=wcord.features(teacher),
               student=wcord.features(student))
    optimizer = SGD([*student.parameters(), *loss.parameters()], lr)
    total = cross_entropy(logits, labels)
    total = total + loss(teacher_features, student_features, index=index)

512 and 128 are the lengths of the features of teacher and student. `FeatureLoss` is the base of
all these classes and takes any terms. A use that would train something else than intended raises a
`LossError` or gives a `LossWarning`.
"""

from wcord.losses.feature_loss import FeatureLoss
from wcord.losses.misuse import LossError, LossWarning
from wcord.losses.named import (
    CRDLoss,
    GCKTLoss,
    HintLoss,
    ITRDLoss,
    LCKTLoss,
    PKTLoss,
    RKDLoss,
    SPLoss,
    VIDLoss,
    WCoRDLoss,
)

__all__ = [
    "CRDLoss",
    "FeatureLoss",
    "GCKTLoss",
    "HintLoss",
    "ITRDLoss",
    "LCKTLoss",
    "LossError",
    "LossWarning",
    "PKTLoss",
    "RKDLoss",
    "SPLoss",
    "VIDLoss",
    "WCoRDLoss",
]
