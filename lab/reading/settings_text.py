"""Settings as somebody typed them: checked with the line named, and as a command line.

Pure functions; a page shows what they return.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

import yaml

from wcord.settings.settings_file import as_yaml

if TYPE_CHECKING:
    from wcord.settings.experiment import Experiment

LONGEST = 200_000  # characters of a settings file


def read(text: str) -> Experiment:
    """Return the experiment of a settings file's text; `extends: PRESET` is understood.

    Raises:
        ValueError: the first thing that is wrong, in one line that begins with its place.
    """
    from wcord.settings.experiment import parse
    from wcord.settings.loading import load
    from wcord.settings.messages import SettingsError

    if len(text) > LONGEST:
        raise ValueError(f"settings of {len(text)} characters are too long: {LONGEST} at most")
    try:
        tree = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ValueError(f"{place}{error.problem or error.context}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ValueError(f"this is no YAML: {' '.join(str(error).split()):.160}") from None
    if not isinstance(tree, dict):
        raise ValueError("line 1: a table of settings was expected, such as epochs: 40")
    base = tree.pop("extends", None)
    try:
        return parse(tree) if base is None else load(str(base)).replace(tree)
    except SettingsError as error:
        line = line_of(text, str(error))
        raise ValueError(f"line {line}: {error}" if line else str(error)) from None
    except (TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"these are no settings: {' '.join(str(error).split()):.160}") from None


def line_of(text: str, message: str) -> int | None:
    """Return the line (from 1) of the setting that a message of the validator is about.

    It is the setting most of whose dotted name occurs in the message, its last part at least.

    >>> line_of("epochs: 3\\narms:\\n  a: {ce: -1}", "arms.a.ce.weight: greater than 0")
    3
    """
    words = set(re.findall(r"[^\s:;,.'\"]+", message))
    best, found = 0, None
    for path, line in _places(yaml.compose(text)):
        parts = [part for name in path for part in name.split(".")]
        if parts[-1] in words and (known := sum(part in words for part in parts)) > best:
            best, found = known, line
    return found


def _places(node: Any, above: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], int]]:
    if not isinstance(node, yaml.MappingNode) or len(above) > 8:
        return []
    found = []
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode):
            path = (*above, str(key.value))
            found += [(path, key.start_mark.line + 1), *_places(value, path)]
    return found


def changes(base: Experiment, chosen: Experiment) -> dict[str, Any]:
    """Return the dotted changes that turn one experiment into another, as few as there are.

    `base.replace(changes(base, chosen)) == chosen`.
    """
    one, other = base.plain(), chosen.plain()
    arms, wanted_arms = one.pop("arms"), other.pop("arms")
    found = _changes(one, other)
    if any("." in arm for arm in [*arms, *wanted_arms]) or not set(arms) & set(wanted_arms):
        return found if arms == wanted_arms else found | {"arms": wanted_arms}
    order = [arm for arm in arms if arm in wanted_arms]
    if [*order, *(arm for arm in wanted_arms if arm not in arms)] != list(wanted_arms):
        return found | {"arms": wanted_arms}  # arms come in another order
    for arm in [*arms, *wanted_arms]:
        if arm not in wanted_arms:
            found[f"arms.{arm}"] = None
        elif arm not in arms:
            found[f"arms.{arm}"] = wanted_arms[arm]
        else:
            found |= _arm_changes(f"arms.{arm}", arms[arm], wanted_arms[arm])
    return found


def _arm_changes(name: str, one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    if not set(one) <= set(other) or list(other)[: len(one)] != list(one):
        return {name: other}
    found = {f"{name}.{term}": other[term] for term in other if term not in one}
    for term in one:
        found |= _changes(one[term], other[term], f"{name}.{term}.")
    return found


def _changes(one: dict[str, Any], other: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in other.items():
        before = one.get(key)
        if isinstance(value, dict) and isinstance(before, dict) and set(value) >= set(before):
            found |= _changes(before, value, f"{prefix}{key}.")
        elif value != before:
            found[prefix + key] = value
    return found


def command(preset: str, chosen: Experiment) -> str:
    """Return the command line that trains an experiment from a preset, here and now.

    >>> from wcord import load
    >>> command("digits-half", load("digits-half").replace({"epochs": 3, "arms.kd": None}))
    'wcord train digits-half --epochs 3 --arms.kd null'
    """
    from wcord.settings.loading import load

    words = ["wcord", "train", preset]
    for name, value in changes(load(preset), chosen).items():
        text = as_yaml(value, default_flow_style=True, width=10**9)
        text = text.removesuffix("\n").removesuffix("\n...")
        # a value that looks like an option must be joined to its name
        words += [f"--{name}={text}"] if text.startswith("--") else [f"--{name}", text]
    return shlex.join(words)
