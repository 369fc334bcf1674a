"""Networks by name (`registry`), and features and feature maps of any classifier (`network`).

`output.Output` holds the outputs of a network, `user_modules.wrap_user_module` checks and wraps a
user's module, `weights.load_weights` reads weight files.
"""

from wcord.models.network import Network
from wcord.models.output import Output
from wcord.models.registry import FAMILIES, MODELS, build, check_model, parameter_count

__all__ = ["FAMILIES", "MODELS", "Network", "Output", "build", "check_model", "parameter_count"]
