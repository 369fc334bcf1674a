"""The loss terms, one file per family: `TERMS` by name, `Objective` for their weighted sum.

`term.Term` is the base class of a term; `registry` is the place to add one.
"""

from wcord.objectives.objective import Objective
from wcord.objectives.registry import TERMS

__all__ = ["TERMS", "Objective"]
