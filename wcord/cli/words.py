"""The words of a command line: settings as options, lists of seeds, values to vary."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import yaml


def split_settings(
    words: Sequence[str], options: Mapping[str, bool]
) -> tuple[list[str], list[str]]:
    """Separate the options of a command from settings such as --epochs 3, in any order.

    Args:
        words: that follow the command.
        options: the command's own options, and whether a value follows each.

    >>> split_settings(["--epochs", "3", "digits-half", "--quiet"], {"--quiet": False})
    (['digits-half', '--quiet'], ['--epochs', '3'])
    """
    own: list[str] = []
    settings: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, _ = word.partition("=")
        is_setting = word.startswith("--") and name not in options
        (settings if is_setting else own).append(word)
        takes_value = is_setting or options.get(name, False)
        if takes_value and not equals and rest and not rest[0].startswith("--"):
            (settings if is_setting else own).append(rest.pop(0))
    return own, settings


def setting_names(words: Sequence[str]) -> list[str]:
    """Return the names of the settings in words such as --epochs 3.

    >>> setting_names(["--epochs", "3", "--seed=1"])
    ['epochs', 'seed']
    """
    return [word[2:].partition("=")[0] for word in words if word.startswith("--")]


def dotted(words: Sequence[str]) -> dict[str, Any]:
    """Parse options such as --epochs 3 into changes of settings; values are read as YAML.

    >>> dotted(["--arms.wcord.gckt.weight", "-1.5", "--student.view=[luminance]"])
    {'arms.wcord.gckt.weight': -1.5, 'student.view': ['luminance']}
    """
    changes: dict[str, Any] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            raise ValueError(f"unexpected {word!r}: settings are given as --name value")
        name, equals, text = word[2:].partition("=")
        if not equals and (not rest or rest[0].startswith("--")):
            raise ValueError(f"--{name} needs a value")
        if not equals:
            text = rest.pop(0)
        if name in changes:
            raise ValueError(f"--{name} is given twice")
        changes[name] = _value(name, text)
    return changes


def _value(name: str, text: str) -> Any:
    if not text.strip():
        raise ValueError(f"--{name} needs a value; null and '\"\"' (an empty text) are values")
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date such as 2024-13-01
        raise ValueError(f"--{name}: {text!r} is not YAML") from error
    # "npz:" is a table and 2024-01-01 a date in YAML, but a user means a text
    is_text = isinstance(value, dict) and not text.lstrip().startswith("{")
    return text if is_text or isinstance(value, datetime.date) else value


def seeds_of(text: str) -> int | list[int]:
    """Parse the option --seeds: the number of seeds, or a list of seeds.

    >>> seeds_of("10"), seeds_of("20,21")
    (10, [20, 21])
    """
    try:
        seeds = [int(word) for word in text.split(",")]
    except ValueError:
        raise ValueError(f"--seeds: a number (10) or a list (20,21,22), not {text!r}") from None
    if len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise ValueError(f"--seeds: {text} has a seed twice or a negative seed")
    return seeds if "," in text else seeds[0]


def values_of(text: str) -> tuple[str, list[Any]]:
    """Parse the option --over into a setting and its values.

    >>> values_of("arms.wcord.lckt.plan=sinkhorn,identity")
    ('arms.wcord.lckt.plan', ['sinkhorn', 'identity'])
    >>> values_of("student.view=[[left], [right]]")
    ('student.view', [['left'], ['right']])
    """
    setting, equals, listed = text.partition("=")
    if not equals or not listed.strip():
        raise ValueError(f"--over {text}: write a setting and its values, SETTING=a,b,c")
    try:
        values = yaml.safe_load(listed if listed.startswith("[") else f"[{listed}]")
    except yaml.YAMLError as error:
        raise ValueError(f"--over {setting}: {listed!r} is no list of YAML values") from error
    if not isinstance(values, list):
        raise ValueError(f"--over {setting}: {listed!r} is no list of values")
    return setting.strip(), values
