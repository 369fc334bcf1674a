"""The terms as modules for a training loop of your own: `WCoRDLoss` and one class for each term.

    loss = wcord.WCoRDLoss(teacher_dim=512, student_dim=128, samples=len(dataset))
    loss.prime(loader, teacher=wcord.features(teacher), student=wcord.features(student))
    optimizer = SGD([*student.parameters(), *loss.parameters()], lr)
    total = cross_entropy(logits, labels) + loss(teacher_features, student_features, index=index)

`feature_loss` is the module that all of them are, `named` gives each term its class, `first_pass`
reads the features for `prime`; three modules check how a loss is used: `misuse`,
`index_check` and `optimizer_check`.
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
