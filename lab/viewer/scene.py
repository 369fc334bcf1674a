"""A scene: what the view shows, as a small JSON object, and as the parts of an address.

    {"sides": [["digits-7", "wcord"]], "step": 149, "panels": ["plan", "scores", "map"],
     "selected": [3, 17], "loss": "total", "measure": "same_class_mass", "present": null}

`sides` are the (run, arm) pairs, one on the live page, two to compare, several on the tour; `step`
is null where the newest is followed; `present` names a panel on the whole screen. A panel of one
side among several is written `plan@1`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

MOST_SELECTED = 100
COCKPIT = ("plan", "scores", "map", "card", "accuracy", "losses", "measures")
Scene = dict[str, Any]


def scene(sides: Sequence[tuple[str, str]], panels: Sequence[str] = COCKPIT, **more: Any) -> Scene:
    """Return a scene of some sides, completed.

    >>> scene([("demo", "wcord")], ["plan"], step=50)["step"]
    50
    """
    return {
        "sides": [list(side) for side in sides],
        "panels": list(panels),
        "step": None,
        "selected": [],
        "loss": "total",
        "measure": "same_class_mass",
        "present": None,
    } | more


def move(scene: Scene, **change: Any) -> None:
    """Change a scene from the side of the page; views that show it follow."""
    scene |= change
    scene["moves"] = scene.get("moves", 0) + 1


def from_address(address: Mapping[str, str]) -> Scene:
    """Return those parts of a scene that an address names; nonsense in it is passed over."""
    found: Scene = {}
    step = address.get("step", "")
    if step.isdecimal() and step.isascii() and len(step) < 10:
        found["step"] = int(step)
    samples = re.findall(r"(?<![^,])[0-9]{1,9}(?![^,])", address.get("samples", ""))
    if samples:
        found["selected"] = list(dict.fromkeys(map(int, samples)))[:MOST_SELECTED]
    for key in ("loss", "measure", "present"):
        if value := address.get(key, ""):
            found[key] = value
    return found


def to_address(scene: Mapping[str, Any]) -> dict[str, str]:
    """Return the parts of an address that lead back to the time and the selection of a scene.

    >>> to_address({"step": 50, "selected": [3, 17], "present": None})
    {'step': '50', 'samples': '3,17'}
    """
    found = {
        "step": "" if scene.get("step") is None else str(int(scene["step"])),
        "samples": ",".join(str(int(k)) for k in scene.get("selected", [])[:MOST_SELECTED]),
        "present": str(scene.get("present") or ""),
        "loss": str(scene.get("loss") or "").replace("total", ""),
        "measure": str(scene.get("measure") or "").replace("same_class_mass", ""),
    }
    return {key: value for key, value in found.items() if value}
