"""Networks by name (`registry`), and any classifier as features, logits and maps (`network`).

`output.Output` is what a network returns, `user_modules.adopted` takes a user's module into an
experiment, `weights.load_weights` reads weight files.
"""

from wcord.models.network import Network
from wcord.models.output import Output
from wcord.models.registry import FAMILIES, MODELS, build, check_model, parameter_count

__all__ = ["FAMILIES", "MODELS", "Network", "Output", "build", "check_model", "parameter_count"]
