"""The words of the playground: its panels, its numbers, and how a critic is kept 1-Lipschitz."""

from __future__ import annotations

from typing import Any, NamedTuple

from .equations import mathml, place, under


class Board(NamedTuple):
    """One panel: its title, how it is read, and its equation in LaTeX by solver ("" for all)."""

    title: str
    help: str
    equations: dict[str, str]


class Number(NamedTuple):
    """One number: what it is called, what it means, and how many digits are shown."""

    label: str
    meaning: str
    form: str = "4f"


COST = under(r"\langle P,C\rangle", place("value", "4f"))
EPSILON, BETA = (under(symbol, place("epsilon", "g")) for symbol in (r"\varepsilon", r"\beta"))
ENTROPY = under("H(P)", place("entropy", "2f"))
SCALED = r"P_{ij}=\exp\!\left(\frac{f_i+g_j-C_{ij}}{\varepsilon}\right)"
GAP, STEEPEST = (
    under(r"\mathbb{E}\varphi-\mathbb{E}\varphi", place("raw")),
    under("L", place("slope", "2f")),
)
LARGEST_GAP = (
    r"\max_\varphi\;\mathbb{E}_{\text{source}}\,\varphi-\mathbb{E}_{\text{target}}\,\varphi"
)
DUAL = rf"\langle a,f\rangle+\langle b,g\rangle={place('objective', '4f')}"

PRIMAL = {
    "sinkhorn": rf"\min_P\;{COST}-{EPSILON}\,{ENTROPY}",
    "ipot": rf"P_{{k+1}}=\underset{{P}}{{\mathrm{{arg\,min}}}}\;{COST}"
    rf"+{BETA}\,\mathrm{{KL}}(P\,|\,P_k)",
    "exact": rf"\min_P\;{COST}",
}

BOARDS = {
    "clouds": Board(
        "Clouds and plan",
        "Lines are the heaviest entries of the plan; thick means that most of a source point's "
        "mass goes there. Drag a point to move it, click on the plane to add one, click on a point "
        "to remove it. With Shift a whole cloud is dragged. By keyboard: ← → go through the points "
        "of a cloud, ↑ ↓ change to the other cloud, Shift and an arrow move the point, Delete "
        "removes it, Enter adds one beside it.",
        PRIMAL,
    ),
    "batch": Board(
        "Teacher and student",
        "Teacher samples left, student samples right, at their first two principal components. "
        "The plan is solved in full dimension. A line has the colour of its teacher sample's "
        "class, and is dashed where it ends in another class. Click a point to see its lines "
        "alone.",
        PRIMAL,
    ),
    "plan": Board(
        "Plan P",
        "Rows are source points, columns target points. The stronger a cell, the more of a "
        "source point's mass goes there; each row is divided by its sum. On a line both sides "
        "are sorted from left to right.",
        {
            "sinkhorn": SCALED,
            "ipot": SCALED + r",\;\varepsilon=\beta/R",
            "exact": r"P_{ij}>0\;\Rightarrow\;f_i+g_j=C_{ij}",
        },
    ),
    "potentials line": Board(
        "Potentials f and g",
        "Prices of taking mass up at x and of putting it down at y, in units of cost, over the "
        "line. Dashed: a solution of the exact dual. f has mean 0, and g has the objective as its "
        "mean; the exact one has the exact cost.",
        {"": DUAL},
    ),
    "potentials plane": Board(
        "Potentials f and g",
        "Each point is one price: the exact one to the right, the one of the solver upwards. "
        "Points on the diagonal agree. As ε falls the entropic potentials approach a solution of "
        "the exact dual; where that has several solutions, they pick one. f has mean 0, and g has "
        "the objective as its mean; the exact one has the exact cost.",
        {"": DUAL},
    ),
    "critic line": Board(
        "Critic on the line",
        "The best critic rises and falls with slope ±1 wherever mass must cross. The dashed guides "
        "touch the critic and have slope exactly ±1. Both curves are centred.",
        {"": LARGEST_GAP},
    ),
    "critic plane": Board(
        "Critic over the plane",
        "The colour is the height of the critic φ, from its lowest to its highest value: high on "
        "the source, low on the target.",
        {"": LARGEST_GAP},
    ),
    "progress": Board(
        "Distance it has found",
        "The raw value is no bound: a critic that is too steep passes the exact distance. Divided "
        "by its steepest slope between the clouds it is certified, and never passes it; where "
        "that is below 0, the bound is 0.",
        {
            "": rf"\max(0,\;{GAP}\,/\,{STEEPEST})={place('bound')}\;\le\;"
            + under("W_1", place("distance"))
        },
    ),
}

NUMBERS = {
    "value": Number("cost ⟨P, C⟩", "What it costs to move the mass by this plan."),
    "exact": Number("exact cost", "The least possible cost of all plans with the right marginals."),
    "bias": Number(
        "bias",
        "The plan's cost less the exact one. It grows with ε. Below 0 the plan does not have the "
        "right marginals yet.",
        "+4f",
    ),
    "error": Number(
        "marginal error",
        "How much mass sits at the wrong source point (L1). It falls with iterations.",
        "1e",
    ),
    "objective": Number(
        "objective",
        "⟨P, C⟩ − ε·H(P), which Sinkhorn makes small, computed from the potentials as "
        "⟨a, f⟩ + ⟨b, g⟩. Its gradient in C is the plan. For the exact solver it is the cost.",
    ),
}

CRITIC_NUMBERS = {
    "distance": Number(
        "exact W1", "The exact distance of the clouds, by linear programming.", "3f"
    ),
    "bound": Number(
        "certified ≥", "The raw value divided by the steepest slope: never above W1.", "3f"
    ),
    "raw": Number("raw value", "The critic's mean on the source less that on the target.", "3f"),
    "slope": Number("slope", "The steepest slope of the critic between the two clouds.", "2f"),
}

CONSTRAINT_NAMES = {
    "spectral_groupsort": "spectral norm + GroupSort",
    "spectral_relu": "spectral norm + ReLU",
    "orthogonal": "orthogonal + GroupSort",
    "gradient_penalty": "gradient penalty",
    "clipping": "weight clipping",
    "linear": "linear",
}


def plain() -> dict[str, Any]:
    """Return all words as JSON, equations as MathML, for the view."""
    return {
        "boards": {
            name: {
                "title": board.title,
                "help": board.help,
                "equations": {solver: mathml(latex) for solver, latex in board.equations.items()},
            }
            for name, board in BOARDS.items()
        },
        "numbers": {name: number._asdict() for name, number in NUMBERS.items()},
        "critic_numbers": {name: number._asdict() for name, number in CRITIC_NUMBERS.items()},
        "constraint_names": CONSTRAINT_NAMES,
    }
