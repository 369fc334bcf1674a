"""Networks by name, and features and feature maps of any classifier.

`build` makes a network of a name in `MODELS`. `Network` adds features and feature maps to any
classifier, and returns them with the logits as an `Output`.
"""

from wcord.models.network import Network
from wcord.models.output import Output
from wcord.models.registry import FAMILIES, MODELS, build, check_model, parameter_count

__all__ = ["FAMILIES", "MODELS", "Network", "Output", "build", "check_model", "parameter_count"]
