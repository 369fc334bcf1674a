"""The equations beside the pictures: LaTeX with places for live values, and the same as MathML.

A place is `@name:form@`, such as `@plan_cost:3f@`: the view writes the value of that name there,
as often as it changes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from html import escape
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

SYMBOLS = {
    "ce": ("", r"\mathrm{CE}"),
    "mse": ("", r"\mathrm{MSE}"),
    "bce": ("", r"\mathrm{BCE}"),
    "kd": (r"\alpha", r"\mathrm{KD}"),
    "hint": (r"\beta", r"\mathrm{Hint}"),
    "crd": (r"\gamma", r"\mathrm{CRD}"),
    "gckt": (r"\lambda_1", r"\mathrm{GCKT}"),
    "lckt": (r"\lambda_2", r"\mathrm{LCKT}"),
}
EXPECTED_GAP = r"\mathbb{E}_{\text{matching}}\,\varphi-\mathbb{E}_{\text{all}}\,\varphi"
TERMS = {
    "ce": "CE: the student's own labels.",
    "mse": "MSE: the student's own regression targets.",
    "bce": "BCE: the student's own labels, several a sample.",
    "kd": "KD: the teacher's softened answers.",
    "hint": "Hint: the teacher's features, sample by sample.",
    "crd": "CRD: tell matching pairs from others, as published.",
    "gckt": "GCKT, the dual form: a critic φ tells matching pairs from others, and the student "
    "helps it, so that dependence grows.",
    "lckt": "LCKT, the primal form: the cost of carrying a batch's teacher features onto the "
    "student's falls.",
}


class Equation(NamedTuple):
    """An equation in LaTeX with places for values, and in words what its symbols are."""

    latex: str
    words: str

    @property
    def mathml(self) -> str:
        """The equation as MathML; a place is `<mn data-value="NAME" data-form="FORM">`."""
        return mathml(self.latex)


def place(name: str, form: str = "3f") -> str:
    """Return a place for the value of a metric, shown with `form` digits.

    Letters of a name that LaTeX or HTML would read as their own are written as %XX.
    """
    return rf"\text{{@{quote(name, safe='').replace('~', '%7E')}:{form}@}}"


def under(symbol: str, value: str) -> str:
    """Return a symbol with its value under a brace."""
    return rf"\underbrace{{{symbol}}}_{{{value}}}"


@lru_cache(maxsize=512)
def mathml(latex: str) -> str:
    """Return LaTeX as MathML in which places for values are marked.

    >>> "data-value=\\"ce\\" data-form=\\"3f\\"" in mathml(place("ce"))
    True
    """
    from latex2mathml.converter import convert

    return re.sub(
        r"<mtext>@([^:<]*):(\w+)@</mtext>",
        lambda found: f'<mn data-value="{escape(unquote(found[1]))}" data-form="{found[2]}">–</mn>',
        convert(latex),
    )


def objective(terms: Mapping[str, Mapping[str, Any]]) -> Equation:
    """Return the objective of an arm with places under its symbols.

    Args:
        terms: the arm's terms with their settings; `weight` is the factor.

    >>> print(objective({"ce": {"weight": 1.0}}).latex)
    \\underbrace{\\mathcal{L}}_{\\text{@total:3f@}} = \\underbrace{\\mathrm{CE}}_{\\text{@ce:3f@}}
    """
    parts = []
    for term, settings in terms.items():
        named = re.sub(r"[^A-Za-z0-9-]", "", term.replace("_", "-")).upper()
        factor, name = SYMBOLS.get(term, ("w", rf"\mathrm{{{named}}}"))
        weight = float(settings.get("weight", 1.0))
        loss = under(name, place(term))
        plain = not factor and weight == 1
        parts.append(loss if plain else rf"{under(factor or 'w', f'{weight:g}')}\,{loss}")
    words = " ".join(TERMS.get(term, f"{term.upper()}.") for term in terms)
    total = under(r"\mathcal{L}", place("total"))
    return Equation(f"{total} = {' + '.join(parts)}", f"The objective of this arm. {words}")


def dependency(*, critic: bool) -> Equation:
    """Return the dual form on the probe batch: what the critic proves, and exact dependency."""
    if not critic:
        return Equation(
            under("I_W", place("exact_iw")),
            "The exact Wasserstein dependency of student and teacher on the probe batch. This arm "
            "has no critic that would bound it from below.",
        )
    gap, slope = under(EXPECTED_GAP, place("raw_iw")), under("L", place("slope", "1f"))
    return Equation(
        rf"{gap} \;/\; {slope} = {place('certified_iw')} \;\le\; {under('I_W', place('exact_iw'))}",
        "The dual form on the probe batch: the critic's difference of means, divided by L, its "
        "steepest slope on these pairs, is at most the exact Wasserstein dependency I_W.",
    )


def transport() -> Equation:
    """Return the primal form on the probe batch; `entropy` is H of the plan drawn."""
    cost = under(r"\langle P, C\rangle", place("plan_cost"))
    strength = under(r"\varepsilon", place("epsilon", "g"))
    return Equation(
        rf"P^* = \underset{{P}}{{\mathrm{{arg\,min}}}}\; {cost} - "
        rf"{strength}\,{under('H(P)', place('entropy', '2f'))}",
        "The primal form on the probe batch: the plan P* that carries teacher samples onto "
        "student samples at the least cost C = 1 − cos, blurred by the entropy H.",
    )


def distance() -> Equation:
    """Return the mean distance of the two sides' features, in full dimension."""
    mean = r"\frac{1}{n}\sum_i \| \hat z_{T,i} - \hat z_{S,i} \|"
    return Equation(
        rf"{mean} = {place('feature_distance')}",
        "The mean distance of a sample's two unit vectors, as teacher and student see it, in full "
        "dimension: 0 where they are equal, 1.41 where they have nothing in common.",
    )


def curve(name: str, latex: str, form: str) -> Equation:
    """Return the definition of a metric with a place for its value; a loss is its own symbol."""
    named = re.sub(r"[^A-Za-z0-9 ]", "", name.replace("_", " "))
    symbol = SYMBOLS.get(name, ("", rf"\mathcal{{L}}_{{\text{{{named}}}}}"))[1]
    return Equation(rf"{latex or symbol} = {place(name, form)}", "")
