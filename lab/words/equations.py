"""What the pictures show as equations, each symbol with its live value under it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

SYMBOLS = {
    "ce": (r"", r"\mathrm{CE}"),
    "kd": (r"\alpha", r"\mathrm{KD}"),
    "hint": (r"\beta", r"\mathrm{Hint}"),
    "crd": (r"\gamma", r"\mathrm{CRD}"),
    "gckt": (r"\lambda_1", r"\mathrm{GCKT}"),
    "lckt": (r"\lambda_2", r"\mathrm{LCKT}"),
}
GAP = r"\mathbb{E}_{\text{pairs}}\,g-\mathbb{E}_{\text{all}}\,g"
WORDS = {
    "ce": "CE: the student's own labels.",
    "kd": "KD: the teacher's softened answers.",
    "hint": "Hint: the teacher's features, point by point.",
    "crd": "CRD: tell matching pairs from others, as published.",
    "gckt": "GCKT, the dual form: a critic g tells matching pairs from others, and the student "
    "helps it, so that dependence grows.",
    "lckt": "LCKT, the primal form: the cost of carrying a batch's teacher features onto the "
    "student's falls.",
}


def live(value: float | None, pattern: str = "{:.3f}") -> str:
    """Return a number as it stands under a symbol; a dash where it is not known."""
    if value is None or not np.isfinite(value):
        return r"\text{–}"
    if value != 0 and not 1e-3 <= abs(value) < 1e4:
        mantissa, exponent = f"{value:.1e}".split("e")
        return rf"{mantissa}\cdot 10^{{{int(exponent)}}}"
    return pattern.format(value)


def under(symbol: str, value: str) -> str:
    """Return a symbol with its value under a brace."""
    return rf"\underbrace{{{symbol}}}_{{{value}}}"


class Line(NamedTuple):
    """An equation in LaTeX, and in words what its symbols are."""

    latex: str
    words: str


def objective(terms: Mapping[str, Mapping[str, Any]], values: Mapping[str, float]) -> Line:
    """Return the objective of an arm, with values under the symbols.

    Args:
        terms: the arm's terms with their settings; `weight` is the factor.
        values: the arm's scalars, the loss of a term under the term's name.

    >>> print(objective({"ce": {"weight": 1.0}}, {"ce": 0.5, "total": 0.5}).latex)
    \\underbrace{\\mathcal{L}}_{0.500} = \\underbrace{\\mathrm{CE}}_{0.500}
    """
    parts = []
    for term, settings in terms.items():
        factor, name = SYMBOLS.get(term, (r"w", rf"\mathrm{{{term.replace('_', '-').upper()}}}"))
        weight = float(settings.get("weight", 1.0))
        loss = under(name, live(values.get(term)))
        plain = not factor and weight == 1
        parts.append(loss if plain else rf"{under(factor or 'w', f'{weight:g}')}\,{loss}")
    total = under(r"\mathcal{L}", live(values.get("total")))
    words = " ".join(WORDS.get(term, f"{term.upper()}.") for term in terms)
    return Line(rf"{total} = {' + '.join(parts)}", f"The objective of this arm. {words}")


def dependency(values: Mapping[str, float]) -> Line:
    """Return the dual form on the probe batch: certified bound and exact dependency."""
    if "certified_iw" not in values:
        return Line(
            under("I_W", live(values.get("exact_iw"))),
            "The exact Wasserstein dependency of student and teacher on the probe batch. This arm "
            "has no critic that would bound it from below.",
        )
    ratio = rf"{under(GAP, live(values.get('raw_iw')))} \Big/ "
    ratio += under("K", live(values.get("slope"), "{:.1f}"))
    return Line(
        rf"{ratio} = {live(values.get('certified_iw'))} \;\le\; "
        rf"{under('I_W', live(values.get('exact_iw')))}",
        "The dual form on the probe batch: the critic's difference of means, over K, its steepest "
        "slope on these pairs, is at most the exact Wasserstein dependency I_W.",
    )


def transport(values: Mapping[str, float], entropy: float) -> Line:
    """Return the primal form on the probe batch; `entropy` is H of the plan drawn."""
    cost = under(r"\langle P, C\rangle", live(values.get("plan_cost")))
    strength = under(r"\varepsilon", live(values.get("epsilon"), "{:g}"))
    return Line(
        rf"P^* = \arg\min_P\; {cost} - {strength}\,{under('H(P)', live(entropy, '{:.2f}'))}",
        "The primal form on the probe batch: the plan P* that carries teacher samples onto "
        "student samples at the least cost C = 1 − cos, blurred by the entropy H.",
    )


def distance(values: Mapping[str, float], samples: int) -> Line:
    """Return the mean distance of the two sides' features, in full dimension."""
    mean = rf"\frac{{1}}{{{samples}}}\sum_i \big\lVert \hat z^T_i - \hat z^S_i \big\rVert"
    return Line(
        rf"{mean} = {live(values.get('feature_distance'))}",
        "The mean distance of a sample's two unit vectors, as teacher and student see it, in full "
        "dimension: 0 where they are equal, 1.41 where they have nothing to do with one another.",
    )


CURVES = {
    "test_accuracy": r"\frac{100}{n}\sum_i \mathbb{1}\big[\hat y^S_i = y_i\big]",
    "total": r"\mathcal{L} = \sum_t \lambda_t\,\mathcal{L}_t",
    "same_class_mass": r"\sum_{y_i = y_j} P_{ij}",
    "diagonal_mass": r"\sum_i P_{ii}",
    "true_partner_mass": r"\frac{n}{|B|}\sum_{j \in B} P_{j\pi(j)}",
    "wrong_partner_mass": r"\frac{n}{|B|}\sum_{j \in B} P_{jj}",
    "variance_ratio": r"\frac{\mathbb{E}\lVert \hat z^S - \mu^S_y\rVert^2}"
    r"{\mathbb{E}\lVert \hat z^T - \mu^T_y\rVert^2}",
    "plan_cost": r"\langle P, C\rangle",
    "exact_iw": r"I_W = W_1\big(p(h_T, h_S),\; p(h_T)\,p(h_S)\big)",
    "certified_iw": rf"\tfrac{{1}}{{K}}\big({GAP}\big)",
    "raw_iw": GAP,
    "feature_distance": r"\frac{1}{m}\sum_i \lVert \hat z^T_i - \hat z^S_i \rVert",
    "neighbour_overlap": r"\frac{1}{m}\sum_i \tfrac{1}{k}\,\lvert N^T_k(i) \cap N^S_k(i) \rvert",
    "cka": r"\frac{\lVert H_S^\top H_T\rVert_F^2}"
    r"{\lVert H_S^\top H_S\rVert_F\,\lVert H_T^\top H_T\rVert_F}",
}


def curve(name: str, value: float) -> str:
    """Return the definition of a metric with its value; a loss term is its own symbol."""
    symbol = SYMBOLS.get(name, ("", rf"\mathcal{{L}}_{{\text{{{name.replace('_', ' ')}}}}}"))[1]
    return rf"{CURVES.get(name, symbol)} = {live(value)}"
