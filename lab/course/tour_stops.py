"""The stops of the guided tour: question, run, hint and explanation of each. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple

from ..words.panels import Section

if TYPE_CHECKING:
    from wcord.settings.experiment import Experiment

PHASES = ("Predict", "Watch", "Explain", "Cure")
Values = Mapping[str, float]
Picture = Literal["plan", "cosines", "map", "lines"]
NOTEBOOK = "05_lckt.ipynb"
WRONG_PAIRS = "08_when_transport_helps.ipynb"


class Stop(NamedTuple):
    """One stop: a failure of LCKT, or what is learnt from all of them, or where LCKT helps.

    question and answers are the prediction to make, `right` the answer that the run gives.
    watched, cured: arms of the preset that are shown before and after the cure is named; the
    first is the failing one. Of a single arm both pictures are shown, of several the first of
    each; curves of all and of the arms `beside`. hint says what to look for now, from the failing
    arm's values at the first step and at the step shown.
    """

    key: str
    title: str
    preset: str
    watched: tuple[str, ...]
    cured: tuple[str, ...]
    setting: str
    question: str
    answers: tuple[str, ...]
    right: int
    pictures: tuple[Picture, Picture]
    curves: tuple[str, str]
    hint: Callable[[Values, Values], str]
    explanation: str
    cure: str
    section: Section
    beside: tuple[str, ...] = ()


def value(values: Values, key: str) -> float:
    """Return a value, NaN where it was not measured."""
    return float(values.get(key, float("nan")))


def percent(values: Values, key: str) -> str:
    """Return a share in per cent, without the sign."""
    return f"{100 * value(values, key):.0f}"


def _hint_unpaired(first: Values, now: Values) -> str:
    cost = value(now, "plan_cost")
    return (
        f"The cost went from {value(first, 'plan_cost'):.2f} to **{cost:.2f}**. Look into the "
        f"squares on the plan's diagonal: **{percent(now, 'same_class_mass')} %** of the mass is "
        "inside; chance is 10 %. Does the plan get sharp, and where?"
    )


def _hint_collapse(first: Values, now: Values) -> str:
    return (
        f"The mean cosine of teacher and student, weighted by the plan, went from "
        f"{1 - value(first, 'plan_cost'):.2f} to **{1 - value(now, 'plan_cost'):.3f}**: the loss "
        f"could hardly be better. Look at the plan: **{percent(now, 'same_class_mass')} "
        "%** of the mass stays in its class; chance is 10 %."
    )


def _hint_shrunk(first: Values, now: Values) -> str:
    return (
        f"The plan keeps **{percent(now, 'same_class_mass')} %** of the mass in its class. "
        f"Now look at the map's diamonds: the variance inside the classes is "
        f"**{value(now, 'variance_ratio'):.2f}** of the teacher's; it began at "
        f"{value(first, 'variance_ratio'):.2f}."
    )


def _hint_lines(first: Values, now: Values) -> str:
    return (
        "Each line carries mass from a teacher sample (left) to a student sample (right), in the "
        f"colour of its true class; dashed lines end in another class. The left student's cost is "
        f"**{value(now, 'plan_cost'):.2f}**, and **{percent(now, 'same_class_mass')} %** "
        "of its mass stays in its class."
    )


def _hint_wrong_pairs(first: Values, now: Values) -> str:
    return (
        f"**{percent(now, 'same_class_mass')} %** of the mass of the plan between the "
        f"teacher and CRD's student stays in its class, and "
        f"**{percent(now, 'true_partner_mass')} %** of a wrong pair's mass is at the true "
        f"partner; this began at {percent(first, 'true_partner_mass')} %. Now look at the "
        "accuracies: is CRD still better than the plain student?"
    )


STOPS = (
    Stop(
        key="unpaired",
        title="Blind to the pairing",
        preset="digits-unpaired",
        watched=("unpaired",),
        cured=("unpaired", "cured"),
        setting="A student is trained by the local term alone: LCKT moves the teacher's features "
        "of a batch onto the student's as cheaply as it can, and the student makes that cheaper "
        "still. No label, no cross-entropy, the teacher's side fixed.",
        question="The cost will fall. What will become of the mass that stays in its class?",
        answers=("it rises towards 1", "it stays near chance", "it falls to 0"),
        right=1,
        pictures=("plan", "map"),
        curves=("plan_cost", "same_class_mass"),
        hint=_hint_unpaired,
        explanation=r"""
Permute the student's samples: the columns of the cost are permuted, and so may be the plan.

$$
\mathrm{LCKT}(z_T,\ z_S\circ\pi) = \mathrm{LCKT}(z_T,\ z_S)
\qquad\text{for every permutation }\pi
$$

The loss compares two **sets** of features. That teacher and student saw the *same image* is not
in it. So the student learns to lay its cloud over the teacher's, and pairs its images with the
wrong ones; cheap and sharp is not the same as right.""",
        cure="The global term GCKT on the same embeddings knows the pairs: it pays for telling "
        "congruent pairs from incongruent ones. The cost falls as before, and now the mass lies "
        "inside its squares.",
        section=Section(NOTEBOOK, "First failure: blind to the pairing"),
    ),
    Stop(
        key="collapse",
        title="Collapse",
        preset="digits-collapse",
        watched=("collapse",),
        cured=("collapse", "teacher fixed", "cured"),
        setting="Now gradients may move the teacher's projection as well as the student's. Two "
        "sides that walk towards each other should meet sooner.",
        question="They will meet: the loss goes to nearly 0. What will the plan look like then?",
        answers=("a sharp diagonal", "sharp, in wrong places", "uniform: all shades equal"),
        right=2,
        pictures=("plan", "cosines"),
        curves=("plan_cost", "same_class_mass"),
        hint=_hint_collapse,
        explanation=r"""
The cheapest pair of projections maps **everything to one point**. Then all cosines are 1 and all
costs 0, every plan is optimal, and the entropy picks the uniform one:

$$
C_{ij} = 1-\cos(z_{T,i}, z_{S,j}) = 0 \ \ \forall i,j
\quad\Rightarrow\quad P^* = \tfrac1{n^2}\mathbf 1\mathbf 1^\top
$$

A loss that falls to nothing and stays there should worry you.""",
        cure="With the teacher's side **fixed** its features stay where they are, and the cost "
        "cannot be talked down to 0. But alone LCKT is still blind, and at this ε the student "
        "shrinks to a point, which the next stop explains. With **GCKT** beside it the "
        "projections have something to keep apart, and the mass comes home.",
        section=Section(NOTEBOOK, "Second failure: collapse"),
    ),
    Stop(
        key="shrunk",
        title="Shrinking",
        preset="digits-shrunk",
        watched=("shrunk",),
        cured=("shrunk", "debiased"),
        setting="The teacher's side is fixed, and the student begins as an exact **copy of the "
        "teacher**: there is nothing left to learn. LCKT goes on training it.",
        question="The student is the right answer already. What does LCKT do to it?",
        answers=("it leaves it alone", "it shrinks every class", "it mixes the classes"),
        right=1,
        pictures=("plan", "map"),
        curves=("variance_ratio", "same_class_mass"),
        hint=_hint_shrunk,
        explanation=r"""
With entropy each teacher sample sends its mass to *several* student samples. Under such a plan
and squared distance, the best place of a student sample is the **average** of the teacher samples
that send to it (for the cosine cost on unit features, the direction of that average):

$$
s_j^* = \frac{\sum_i P_{ij}\,t_i}{\sum_i P_{ij}}
$$

So every step averages inside the class. The classes stay apart, the plan looks perfect; most of
what the teacher knew beyond the class is gone.""",
        cure=r"Subtracting half the student's cost with itself (`debias`, the Sinkhorn "
        r"divergence) makes $z_S = z_T$ the best answer again: the variance stays at 1. A smaller "
        "ε only slows the shrinking down.",
        section=Section(NOTEBOOK, "Third failure: shrinking"),
    ),
    Stop(
        key="same-cost",
        title="Same cost, different student",
        preset="digits-unpaired",
        watched=("unpaired", "cured"),
        cured=("unpaired", "cured", "gckt alone"),
        setting="Back to the first run. Both students are shown at the moment when they have come "
        "down to the **same transport cost**. One learnt from LCKT alone, the other with GCKT "
        "beside it.",
        question="By the loss they are equal. Can the lines of their plans be told apart?",
        answers=("no: equal cost, equal plan", "yes, by where the lines end"),
        right=1,
        pictures=("lines", "plan"),
        curves=("plan_cost", "same_class_mass"),
        hint=_hint_lines,
        explanation="""
The cost says how far mass travels, not **whose** mass it is. Both clouds lie over the teacher's
equally well. Only the colours, which neither loss has seen, show that the one student has paired
its images with the wrong ones.

The honest control: an arm in which LCKT has **weight 0** (`gckt alone`), its plan only looked at,
reaches the same cost with the same mass in its class. Whoever shows only the cured arm credits
LCKT with what GCKT did.""",
        cure="The same cost, lines inside their colours. And the control `gckt alone`, where "
        "nobody minimised LCKT, has the same picture: its curves lie on the cured arm's.",
        section=Section(NOTEBOOK, "Same cost, different student"),
    ),
    Stop(
        key="wrong-pairs",
        title="When transport helps",
        preset="digits-wrong-pairs",
        watched=("crd published", "identity"),
        cured=("crd published", "identity", "sinkhorn"),
        beside=("plain",),
        setting="In every batch a new random 80 % of the samples get the teacher's output of "
        "another sample of the batch. The labels are right. One student learns by CRD with its "
        "published weight, the other by GCKT and by LCKT with the plan `identity`, which is the "
        "mean cost of the given pairs, right or wrong.",
        question="With right pairs CRD is 12 points better than the plain student. How much of "
        "this is left?",
        answers=("most of it", "a fifth: the share of right pairs", "nothing"),
        right=2,
        pictures=("plan", "map"),
        curves=("test_accuracy", "true_partner_mass"),
        hint=_hint_wrong_pairs,
        explanation=r"""
Let row $j$ of the teacher's batch hold the output of sample $\pi(j)$. The cost matrix has its rows
in another order, and the plan has its rows in the same order:

$$
P^*(z_T\circ\pi,\ z_S)_{ji} = P^*(z_T,\ z_S)_{\pi(j)\,i}
\qquad\Rightarrow\qquad \mathrm{LCKT}(z_T\circ\pi,\ z_S) = \mathrm{LCKT}(z_T,\ z_S)
$$

At the first stop this was a failure: LCKT does not use the pairs. Here it is a strength: a loss
that does not use the pairs is not changed by wrong ones, if the true partner is in the batch. The
plan `identity` keeps, on average, a fifth of the cost of right pairs; its other four fifths pull
every student feature to the mean of the teacher's. GCKT is a difference of two means. It keeps, on
average, a fifth of its gradient, which is enough to bring the embeddings together.""",
        cure="Over ten seeds (table `pairing-presets`, ± half of a 95 % interval) CRD − plain is "
        "−0.58 ± 1.34, but GCKT − CRD is +4.40 ± 1.29: the global term, the dual form of "
        "transport, keeps a third of its gain. In training, the plan `sinkhorn` gives a third of a "
        "wrong pair's mass to the true partner. What it adds to accuracy is small and not certain: "
        "sinkhorn − GCKT is +1.51 ± 1.41, and sinkhorn − identity +1.16 ± 1.49. In batches of 256 "
        "samples, with 75 % wrong pairs and thirty other seeds, it is confirmed: +2.54 ± 0.73 and "
        "+1.69 ± 0.65 (table `pairing-confirm-batch`), but on no other task. KD, which needs equal "
        "label sets, is better than all of these.",
        section=Section(WRONG_PAIRS, "What each term learns from wrong pairs"),
    ),
)


def run_name(stop: Stop) -> str:
    """Return the name of the run that a stop starts, and later visits find again."""
    return f"tour-{stop.preset}"


def experiment(stop: Stop) -> Experiment:
    """Return the preset of a stop with a probe every epoch, so that there is something to see."""
    from wcord import load

    return load(stop.preset).replace({"probe.every": 1.0, "probe.losses": 4})


def place(stop: int, phase: int, step: int) -> tuple[int, int]:
    """Return where `step` phases further lead, over all stops; the ends hold.

    >>> place(0, 3, 1), place(1, 0, -1), place(0, 0, -1), place(4, 3, 1)
    ((1, 0), (0, 3), (0, 0), (4, 3))
    """
    whole = min(max(stop * len(PHASES) + phase + step, 0), len(STOPS) * len(PHASES) - 1)
    return divmod(whole, len(PHASES))
