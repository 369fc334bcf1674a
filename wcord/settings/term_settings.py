"""The settings of terms, from a weight, a table or an instance, with one message for each error."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from numbers import Real
from typing import Any

from pydantic import ValidationError

from wcord.objectives import TERMS
from wcord.objectives.term import TermSettings
from wcord.settings.changes import plain_value
from wcord.settings.messages import SettingsError, first_error, nearest


def parse_term(term: str, value: Any, where: str = "") -> TermSettings:
    """Return the settings of one term.

    Args:
        term: its name in `TERMS`.
        value: its weight, a table of settings, an instance of its `Settings`, or None (defaults).
        where: the place, for messages, such as "arms.wcord."

    Raises:
        SettingsError: an unknown term or setting, or a value out of range; one line.
    """
    if term not in TERMS:
        raise SettingsError(f"{where}unknown term {term!r}; {nearest(str(term), TERMS)}")
    model = TERMS[term].Settings
    if isinstance(value, TermSettings) and not isinstance(value, model):
        raise SettingsError(f"{where}{term} needs {model.__name__}, not {type(value).__name__}")
    value = plain_value(value)
    if isinstance(value, str):
        with suppress(ValueError):
            value = float(value)  # YAML reads 1e-3 as a text
    if isinstance(value, Real) and not isinstance(value, bool):  # numpy's numbers included
        value = {"weight": float(value)}
    value = {} if value is None else value
    if not isinstance(value, Mapping):
        raise SettingsError(f"{where}{term} is a weight or a table of settings, not {value!r:.60}")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise SettingsError(first_error(error, model, f"{where}{term}.")) from error


def parse_terms(terms: Any, where: str = "") -> dict[str, TermSettings]:
    """Return the settings of several terms by name (see `parse_term`).

    Raises:
        SettingsError: no table, or an empty one; the errors of `parse_term`.
    """
    if not isinstance(terms, Mapping) or not terms:
        raise SettingsError(f"{where}terms are a table such as {{'gckt': 5, 'lckt': 0.05}}")
    return {str(term): parse_term(str(term), value, where) for term, value in terms.items()}
