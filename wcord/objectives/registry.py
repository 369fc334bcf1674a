"""The loss terms by their names in the settings: a new term is one file and one line here."""

from __future__ import annotations

from wcord.objectives.attention_transfer import AT
from wcord.objectives.binary_cross_entropy import BCE
from wcord.objectives.crd import CRD
from wcord.objectives.cross_entropy import CrossEntropy
from wcord.objectives.dist import DIST
from wcord.objectives.dkd import DKD
from wcord.objectives.gckt import GCKT
from wcord.objectives.hint import Hint
from wcord.objectives.itrd import ITRD
from wcord.objectives.kd import KD
from wcord.objectives.lckt import LCKT
from wcord.objectives.mean_squared_error import MSE
from wcord.objectives.relations import PKT, RKD, SP
from wcord.objectives.term import Term
from wcord.objectives.vid import VID
from wcord.objectives.wkd import WKDFeature, WKDLogit

# in the order of evaluation: gckt and crd come before lckt, which uses their embeddings
TERMS: dict[str, type[Term]] = {
    "ce": CrossEntropy,
    "kd": KD,
    "hint": Hint,
    "crd": CRD,
    "gckt": GCKT,
    "lckt": LCKT,
    "dkd": DKD,
    "dist": DIST,
    "wkd_l": WKDLogit,
    "wkd_f": WKDFeature,
    "itrd": ITRD,
    "vid": VID,
    "sp": SP,
    "rkd": RKD,
    "pkt": PKT,
    "at": AT,
    "mse": MSE,
    "bce": BCE,
}
