"""Label sets: from the classes of a data set to the classes that a network predicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class LabelMap:
    """A table from the classes of a data set to those of a network: new label = table[old label].

    The label −1 (none) stays −1. Labels (n, K) that are no classes are not changed.

    >>> LabelMap.parse({"modulo": 2}, ("0", "1", "2")).names
    ('0 mod 2', '1 mod 2')
    """

    table: tuple[int, ...]
    names: tuple[str, ...]

    def __call__(self, labels: Tensor) -> Tensor:
        """Map labels (n,) int64 of the data set to labels of the network."""
        if labels.ndim == 2:
            return labels
        mapped = torch.tensor(self.table, device=labels.device)[labels.clamp_min(0)]
        return torch.where(labels < 0, labels, mapped)

    @property
    def classes(self) -> int:
        """Number of classes of the network."""
        return len(self.names)

    @staticmethod
    def parse(settings: Any, classes: Sequence[str], targets: str = "classes") -> LabelMap:
        """Read the setting `labels` for a data set with these classes.

        Args:
            settings: None (all classes, unchanged), {"modulo": 5} (position mod 5),
                {"groups": [[...], [...]]} or {"groups": {"name": [...], ...}} (classes by name or
                position, each exactly once), or a list with the new label of every class.
            classes: names of the classes of the data set.
            targets: kind of the labels; only classes can be mapped.

        Raises:
            ValueError: a class is unknown, missing or named twice, or there are fewer than two
                labels.
        """
        if settings is None:
            return LabelMap(tuple(range(len(classes))), tuple(classes))
        if targets != "classes":
            raise ValueError(
                f"labels maps classes, but the data have {targets} labels: set it to null"
            )
        if isinstance(settings, Mapping) and len(settings) == 1:
            kind, argument = next(iter(settings.items()))
            if kind in RULES:
                return _checked(*RULES[kind](argument, classes), classes)
        if isinstance(settings, Sequence) and not isinstance(settings, str):
            return _checked(*_listed(settings, classes), classes)
        raise ValueError(
            f"labels {settings!r} is not understood: use null, {{modulo: 5}}, {{groups: [[...], "
            "[...]]}} or a list with the new label of every class"
        )


def _checked(table: list[int], names: list[str], classes: Sequence[str]) -> LabelMap:
    if len(names) < 2:
        raise ValueError("a label map must leave at least two classes")
    if len(table) != len(classes):
        raise ValueError(f"labels lists {len(table)} classes, but the data set has {len(classes)}")
    if set(table) != set(range(len(names))):
        raise ValueError(f"labels must use every number from 0 to {len(names) - 1} at least once")
    return LabelMap(tuple(table), tuple(names))


def _listed(entries: Sequence[Any], classes: Sequence[str]) -> tuple[list[int], list[str]]:
    if not entries or not all(type(e) is int and e >= 0 for e in entries):
        raise ValueError("labels as a list holds the new label (0, 1, ...) of every class")
    return list(entries), [str(label) for label in range(max(entries) + 1)]


def _modulo(divisor: Any, classes: Sequence[str]) -> tuple[list[int], list[str]]:
    if type(divisor) is not int or not 2 <= divisor <= len(classes):
        raise ValueError(f"labels.modulo must be a whole number from 2 to {len(classes)}")
    return [c % divisor for c in range(len(classes))], [
        f"{r} mod {divisor}" for r in range(divisor)
    ]


def _groups(groups: Any, classes: Sequence[str]) -> tuple[list[int], list[str]]:
    members = list(groups.values()) if isinstance(groups, Mapping) else groups
    if not isinstance(members, Sequence) or not all(isinstance(m, list | tuple) for m in members):
        raise ValueError("labels.groups must be a list of lists of classes, or a table of them")
    positions = {name: number for number, name in enumerate(classes)} | {
        number: number for number in range(len(classes))
    }
    table: dict[int, int] = {}
    for label, group in enumerate(members):
        for entry in group:
            if type(entry) not in (str, int) or entry not in positions:
                raise ValueError(f"labels.groups names {entry!r}, which is no class of the data")
            if positions[entry] in table:
                raise ValueError(f"labels.groups names the class {entry!r} twice")
            table[positions[entry]] = label
    missing = [name for number, name in enumerate(classes) if number not in table]
    if missing:
        raise ValueError(f"labels.groups does not cover the class {missing[0]!r}")
    if not all(members):
        raise ValueError("labels.groups holds an empty group")
    names = (
        [str(name) for name in groups]
        if isinstance(groups, Mapping)
        else ["+".join(str(classes[positions[e]]) for e in group) for group in members]
    )
    return [table[number] for number in range(len(classes))], names


RULES = {"modulo": _modulo, "groups": _groups}
