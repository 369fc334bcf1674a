"""The laboratory's pure part: an arm of a run, changed, as a new run paired with the old one.

The new run has the old one's seed, data, teacher and batches and one arm. An arm's numbers do
not depend on what trains beside it, and draws do not depend on its name, so the new arm differs
from the old one by what was changed and by nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from wcord.runs import Run

if TYPE_CHECKING:
    from wcord.settings.experiment import Experiment


class Knob(NamedTuple):
    """One thing to turn: the setting of a term, how it is called, and what it does.

    kind says which control it gets; `least` and `most` bound a number, the settings' own
    validator has the last word.
    """

    term: str
    setting: str
    label: str
    words: str
    kind: Literal["weight", "positive", "choice"]
    least: float = 0.0
    most: float = 1.0

    @property
    def key(self) -> str:
        """The dotted name inside of an arm."""
        return f"{self.term}.{self.setting}"


KNOBS = (
    Knob("gckt", "weight", "λ1, weight of GCKT", "How much the global term (dual form, "
         "dependence of teacher and student) counts.", "weight", 0.0, 10.0),
    Knob("lckt", "weight", "λ2, weight of LCKT", "How much the local term (primal form, cost "
         "inside the batch) counts; 0 leaves it out.", "weight", 0.0, 2.0),
    Knob("lckt", "epsilon", "ε, entropy of the plan", "Small: sharp plans, slow to converge. "
         "Large: blurred plans that shrink the classes.", "positive", 0.005, 1.0),
    Knob("lckt", "plan", "Plan", "How LCKT matches samples: by transport, by the known pairing "
         "(identity), or by a control that knows nothing (uniform, shuffled).", "choice"),
    Knob("gckt", "form", "Form of GCKT", "What is made of the critic's scores.", "choice"),
    Knob("gckt", "critic", "Critic", "Bilinear (dot), or a small network on the pair (joint).",
         "choice"),
    Knob("gckt", "temperature", "τ, temperature", "Divides the scores under nce and infonce; "
         "without effect under wasserstein.", "positive", 0.01, 1.0),
    Knob("gckt", "negatives", "Negatives", "Any other sample, or one of another class only (which "
         "uses labels).", "choice"),
)  # fmt: skip


VALUES = {
    "wasserstein": "wasserstein: difference of means",
    "nce": "nce: matching pair or not, pair by pair",
    "infonce": "infonce: which of many is the match",
    "dot": "dot: product of two projections",
    "joint": "joint: a network on the pair",
    "any": "any other sample",
    "other_class": "samples of another class",
    "sinkhorn": "sinkhorn: entropic transport",
    "ipot": "ipot: proximal steps",
    "exact": "exact transport",
    "identity": "identity: the given pairs",
    "uniform": "uniform: all with all (control)",
    "shuffled": "shuffled: random pairs (control)",
}


def options(knob: Knob) -> list[str]:
    """Return what a knob of choices can be set to, as the term's settings list it."""
    from typing import get_args

    from wcord.objectives import TERMS

    annotation = TERMS[knob.term].Settings.model_fields[knob.setting].annotation
    return [str(value) for value in get_args(annotation)]


def settings_of(experiment: Experiment, arm: str) -> dict[str, Any]:
    """Return what every knob stands at for an arm; a term the arm lacks has weight 0.

    Raises:
        ValueError: no such arm.
    """
    from wcord.objectives import TERMS

    if arm not in experiment.arms:
        raise ValueError(f"no arm {arm!r}; there are {', '.join(experiment.arms)}")
    found = {}
    for knob in KNOBS:
        own = experiment.arms[arm].get(knob.term)
        fallback = TERMS[knob.term].Settings()
        value = getattr(own or fallback, knob.setting)
        found[knob.key] = 0.0 if own is None and knob.setting == "weight" else value
    return found


def changed(experiment: Experiment, arm: str, turned: Mapping[str, Any]) -> dict[str, Any]:
    """Return the knobs that were turned away from where the arm has them.

    Knobs of a term that the arm lacks and that was given no weight change nothing.
    """
    stood = settings_of(experiment, arm)
    there = {term for term in ("gckt", "lckt") if turned.get(f"{term}.weight", 0) > 0}
    there |= set(experiment.arms[arm])
    return {
        key: value
        for key, value in turned.items()
        if value != stood[key] and key.partition(".")[0] in there
    }


def variant(experiment: Experiment, arm: str, turned: Mapping[str, Any]) -> Experiment:
    """Return the experiment of one new arm, paired with `arm` of the old experiment.

    Args:
        experiment: of the run that is looked at.
        arm: the arm to begin from.
        turned: knobs by their key ("gckt.weight", "lckt.epsilon", …) and what they are set to.

    Raises:
        ValueError: nothing was turned, or as the settings' validator says, in one line.
    """
    new = changed(experiment, arm, turned)
    if not new:
        raise ValueError(
            "change a weight, a form or a critic first: the button then trains the new arm"
        )
    terms = {term: asked.model_dump(mode="json") for term, asked in experiment.arms[arm].items()}
    for key, value in new.items():
        term, setting = key.split(".")
        terms.setdefault(term, {})[setting] = value
    return experiment.replace({"arms": {name_of(arm, new): terms}})


def name_of(arm: str, new: Mapping[str, Any]) -> str:
    """Return a name for a changed arm that says what was changed; at most 64 characters.

    >>> name_of("wcord", {"gckt.weight": 1.0, "lckt.plan": "identity"})
    'wcord gckt.weight=1, lckt.plan=identity'
    """
    words = [f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}"
             for key, value in new.items()]  # fmt: skip
    name = f"{arm} {', '.join(words)}"
    return name if len(name) <= 64 else name[:63].rstrip(" ,.=") + "…"


def start(run: Run, arm: str, turned: Mapping[str, Any]) -> tuple[Run, str]:
    """Launch the changed arm as a new run; return the run and the arm's name at once.

    Raises:
        ValueError: as `variant`.
    """
    from wcord import launch

    experiment = variant(run.settings, arm, turned)
    new = launch(experiment)
    new.note(f"From {run.name}, arm {arm}, paired with it: same seed, data, teacher and batches.")
    return new, next(iter(experiment.arms))
