"""The loss terms, one file a family; `registry.TERMS` names them, `objective.Objective` adds them.

`term.Term` says what a term is: its settings, what it is given, and what it returns.
"""

from wcord.objectives.objective import Objective
from wcord.objectives.registry import TERMS

__all__ = ["TERMS", "Objective"]
