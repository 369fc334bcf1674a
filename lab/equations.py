"""The objective of an arm as equations, each symbol with its live value under it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
    "gckt": "GCKT: the dual form; a critic tells matching pairs from others and both sides help "
    "it: dependence grows.",
    "lckt": "LCKT: the primal form; the cost of carrying the batch's teacher features onto the "
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


def objective(terms: Mapping[str, Mapping[str, Any]], values: Mapping[str, float]) -> list[str]:
    """Return the lines of an arm's objective in LaTeX, with values under the symbols.

    Args:
        terms: the arm's terms with their settings; `weight` is the factor.
        values: the arm's scalars, the loss of a term under the term's name.

    >>> print(objective({"ce": {"weight": 1.0}}, {"ce": 0.5, "total": 0.5})[0])
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
    lines = [rf"{total} = {' + '.join(parts)}"]
    if "gckt" in terms:
        lines.append(_global(values))
    if "lckt" in terms:
        lines.append(_local(terms["lckt"], values))
    return lines


def _global(values: Mapping[str, float]) -> str:
    bound = under(
        r"\tfrac{1}{K}\big(\mathbb{E}_{\text{pairs}}\,g-\mathbb{E}_{\text{all}}\,g\big)",
        live(values.get("certified_iw")),
    )
    return rf"{bound} \;\le\; {under('I_W', live(values.get('exact_iw')))}"


def _local(settings: Mapping[str, Any], values: Mapping[str, float]) -> str:
    epsilon = values.get("epsilon", settings.get("epsilon"))
    cost = under(r"\langle P^*, C\rangle", live(values.get("plan_cost")))
    strength = under(r"\varepsilon", live(epsilon, "{:g}"))
    return rf"P^* = \arg\min_P\, \langle P, C\rangle - {strength}\,H(P), \quad {cost}"


def in_words(terms: Mapping[str, Any]) -> str:
    """Return one short sentence a term."""
    return " ".join(WORDS.get(term, f"{term.upper()}.") for term in terms)
