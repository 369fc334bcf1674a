"""The loss terms: `TERMS` has them by name, `Objective` is their weighted sum.

`wcord.objectives.term.Term` is the base class. A new term is one class in a file of this folder
and one line in `TERMS`.
"""

from wcord.objectives.objective import Objective
from wcord.objectives.registry import TERMS

__all__ = ["TERMS", "Objective"]
