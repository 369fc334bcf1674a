"""The objective of an arm as equations, each symbol with its live value under it."""

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


def objective(terms: Mapping[str, Mapping[str, Any]], values: Mapping[str, float]) -> list[Line]:
    """Return the equations of an arm, with values under the symbols.

    Args:
        terms: the arm's terms with their settings; `weight` is the factor.
        values: the arm's scalars, the loss of a term under the term's name.

    >>> print(objective({"ce": {"weight": 1.0}}, {"ce": 0.5, "total": 0.5})[0].latex)
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
    lines = [Line(rf"{total} = {' + '.join(parts)}", f"The objective of this arm. {words}")]
    if "gckt" in terms:
        lines.append(_global(values))
    if "lckt" in terms:
        lines.append(_local(terms["lckt"], values))
    return lines


def _global(values: Mapping[str, float]) -> Line:
    bound = under(
        r"\tfrac{1}{K}\big(\mathbb{E}_{\text{pairs}}\,g-\mathbb{E}_{\text{all}}\,g\big)",
        live(values.get("certified_iw")),
    )
    return Line(
        rf"{bound} \;\le\; {under('I_W', live(values.get('exact_iw')))}",
        "The dual form on the probe batch: the critic's difference of means, over K, its steepest "
        "slope on these pairs, is at most the exact Wasserstein dependency I_W.",
    )


def _local(settings: Mapping[str, Any], values: Mapping[str, float]) -> Line:
    epsilon = values.get("epsilon", settings.get("epsilon"))
    cost = under(r"\langle P, C\rangle", live(values.get("plan_cost")))
    strength = under(r"\varepsilon", live(epsilon, "{:g}"))
    return Line(
        rf"P^* = \arg\min_P\; {cost} - {strength}\,H(P)",
        "The primal form on the probe batch: the plan P* that carries teacher samples onto "
        "student samples at the least cost C = 1 − cos, blurred by the entropy H.",
    )
