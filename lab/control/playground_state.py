"""What a session of the playground keeps: its scene, the clouds it shows, a critic of them.

The view solves Sinkhorn itself. It asks for what it cannot know:

    {"kind": "shapes", "points": 24, "seed": 0}         points of all shapes
    {"kind": "batch", "run": name, "arm": arm, "step": step}
    {"kind": "clouds", "version": ..., "exact": true}   the exact answer; IPOT; a batch's cost
    {"kind": "critic", "version": ..., "learn": true}   the critic, after some more steps
    {"kind": "scene", "scene": {...}, "moves": 0}       what is shown now, for the address
"""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from lab.reading import registry, run_batch
from lab.reading.shapes import SIDE
from lab.viewer import cloud_parts, cloud_scene
from lab.viewer.cloud_scene import Scene
from lab.viewer.frames import Part
from lab.viewer.scene import scene as view_scene
from wcord.runs import list_runs

Array = NDArray[Any]
Question = Mapping[str, Any]

MOST_RUNS = 100  # to choose from here; the page of runs has them all
ROOM = 1.04  # between the outermost point and the rim of a picture


@dataclass
class Kept:
    """What one session keeps.

    scene: what the view shows. address: its parts as they were last read or written. moves: how
    often an address has changed the scene; told: how many of these the view was sent. asked: the
    newest question of each kind. version, source, target: the clouds last asked about. critic:
    with what it was made for, and the exact distance.
    """

    scene: Scene = field(default_factory=cloud_scene.scene)
    address: dict[str, str] | None = None
    moves: int = 0
    told: int = 0
    asked: dict[str, Question] = field(default_factory=dict)
    version: int | None = None
    source: Array | None = None
    target: Array | None = None
    critic: tuple[Any, Any, Any] | None = None


def kept() -> Kept:
    """Return what this session keeps, brought up to an address that was followed."""
    found: Kept = st.session_state.setdefault("playground", Kept())
    said = {key: value for key in cloud_scene.NAMES if (value := st.query_params.get(key, ""))}
    if said != found.address and (said or found.address is None):
        found.scene, found.address = cloud_scene.from_address(said), said
        found.moves += 1
    elif said != found.address:  # the page is opened by its name: it shows what it showed
        write_address(found)
    return found


def write_address(found: Kept) -> None:
    """Let the address lead back to the scene."""
    found.address = cloud_scene.to_address(found.scene)
    for key in cloud_scene.NAMES:
        if key in found.address:
            st.query_params[key] = found.address[key]
        else:
            st.query_params.pop(key, None)


def hear(found: Kept, message: Question) -> None:
    """Take one message of the view: a scene at once, a question for `answers` (a callback)."""
    if message["kind"] in ANSWERS:
        found.asked[message["kind"]] = message
    if message["kind"] == "scene" and message.get("moves") == found.moves:
        found.scene = cloud_scene.completed(message["scene"])
        write_address(found)


def for_the_view(found: Kept) -> Scene:
    """Return the scene as a view takes it."""
    return view_scene([], [], playground=True, clouds=found.scene)


def first_parts(found: Kept) -> list[Part]:
    """Return what a view needs before it can draw; nothing of this waits for torch."""
    found.told = -1
    found.asked.setdefault("shapes", {"points": found.scene["points"], "seed": found.scene["seed"]})
    if found.scene["space"] == "batch":
        found.asked.setdefault("batch", found.scene["batch"])
    return answers(found)


def answers(found: Kept) -> list[Part]:
    """Return the answers to all questions, and the scene where an address has changed it."""
    parts = []
    if found.told != found.moves:
        parts.append(Part("scene", {"scene": found.scene, "moves": found.moves}))
        found.told = found.moves
    for kind, answer in ANSWERS.items():
        question = found.asked.pop(kind, None)
        if question is None:
            continue
        try:
            parts.append(answer(found, question))
        except (ValueError, RuntimeError, OSError) as error:
            why = str(error).splitlines()[0]
            parts.append(Part(kind, {"number": question.get("number"), "trouble": why}))
    return parts


# -------------------------------------------------------------------------------- the questions


def shapes(found: Kept, question: Question) -> Part:
    """Return all shapes with a number of points."""
    wanted = cloud_scene.completed(question)
    part = cloud_parts.shapes_part(wanted["points"], wanted["seed"])
    return part._replace(about={**part.about, "number": question.get("number")})


def batch(found: Kept, question: Question) -> Part:
    """Return the batch of a run as two clouds; without a run's name that of the newest run."""
    wanted = cloud_scene.completed({"batch": question})["batch"]
    own = [run.name for run in list_runs()]
    runs = [*own[:MOST_RUNS], *registry.attached(), *registry.demo_runs()]
    name = wanted["run"] or next(iter(runs), "")
    about = {"number": question.get("number"), "runs": runs, "run": name}
    try:
        watch = registry.watch_of(registry.find(name))
        shown = run_batch.batch_of(watch, wanted["arm"], wanted["step"])
    except ValueError as error:
        return Part("batch", about | {"trouble": str(error).splitlines()[0]})
    part = cloud_parts.batch_part(shown, name, watch.arms, watch.run.steps, watch.class_names)
    return part._replace(about={**part.about, **about})


def clouds(found: Kept, question: Question) -> Part:
    """Return what is asked about two clouds: the exact answer, a plan, the cost of a batch."""
    if not loaded():
        return Part("clouds", {"number": question.get("number"), "later": True})
    from lab.reading.clouds import cost_matrix, exact_dual, solve

    wanted = cloud_scene.completed(question)
    about = {key: question.get(key) for key in ("number", "version", "solving")}
    if wanted["space"] == "batch":
        name = wanted["batch"]["run"]
        watch = registry.watch_of(registry.find(name))
        shown = run_batch.batch_of(watch, wanted["batch"]["arm"], wanted["batch"]["step"])
        drawn, features = shown.frame, (shown.teacher, shown.student)
        found.source, found.target = drawn.teacher.astype(float), drawn.student.astype(float)
        matrix = cost_matrix(*features, wanted["cost"])
    else:
        found.source, found.target = (
            points_of(question.get(cloud), cloud, flat=wanted["space"] == "line")
            for cloud in cloud_scene.CLOUDS
        )
        matrix = cost_matrix(found.source, found.target, wanted["cost"])
    found.version = question.get("version")
    dual = exact_dual(matrix) if question.get("exact") else None
    solved = None
    if question.get("solve"):
        solved = solve(matrix, wanted["solver"], wanted["epsilon"], wanted["iterations"])
    asked = matrix if question.get("matrix") else None
    return cloud_parts.answer_part(about, dual, solved, asked)


def points_of(said: Any, cloud: str, *, flat: bool) -> Array:
    """Return the points (n, 2) that a message holds, on a line (n, 1).

    Raises:
        ValueError: it holds none, too many, or something that is no number.
    """
    try:
        points = np.array(said, dtype=np.float64).reshape(-1, 2)
    except (TypeError, ValueError):
        raise ValueError(f"the {cloud} holds points that are not finite numbers") from None
    if not 1 <= len(points) <= cloud_scene.MOST:
        raise ValueError(f"the {cloud} needs 1 to {cloud_scene.MOST} points, not {len(points)}")
    if not np.isfinite(points).all():
        raise ValueError(f"the {cloud} holds points that are not finite numbers")
    return points[:, :1] if flat else points


def critic(found: Kept, question: Question) -> Part:
    """Return the critic of the clouds last asked about, after some more steps where it learns."""
    about = {"number": question.get("number"), "version": found.version}
    waits = found.version != question.get("version")  # the question about these clouds comes later
    if waits or found.source is None or found.target is None or not loaded():
        return Part("critic", about | {"later": True})
    from lab.reading.cloud_critic import critic_of, learn
    from lab.reading.clouds import exact_distance

    constraint = cloud_scene.completed(question)["constraint"]
    made_for = (found.version, found.source.tobytes(), constraint, question.get("again"))
    if found.critic is None or found.critic[0] != made_for:
        best = exact_distance(found.source, found.target)
        found.critic = (made_for, critic_of(found.source, found.target, constraint), best)
    _, learner, best = found.critic
    if question.get("learn"):
        learn(learner)
    furthest = float(max(np.abs(found.source).max(), np.abs(found.target).max()))
    about |= {"constraint": constraint, "again": question.get("again")}
    return cloud_parts.critic_part(about, learner, best, max(SIDE, ROOM * furthest))


ANSWERS = {"shapes": shapes, "batch": batch, "clouds": clouds, "critic": critic}


def loaded() -> bool:
    """Return whether what solves has been imported; at first begin to, beside the page."""
    thread = _loading()
    return thread is None or not thread.is_alive()


@cache
def _loading() -> threading.Thread | None:
    """Begin to import what solves, once a server; None where all is there already."""
    if "lab.reading.cloud_critic" in sys.modules:
        return None
    thread = threading.Thread(target=_load, daemon=True)
    thread.start()
    return thread


def _load() -> None:
    """Import torch and POT, which takes seconds, and use both once: the first use takes seconds."""
    from lab.reading.cloud_critic import critic_of
    from lab.reading.clouds import exact_dual

    points = np.eye(2)
    exact_dual(points)
    critic_of(points, points + 1, cloud_scene.CONSTRAINTS[0]).step().fit()
    # After every answer Streamlit searches all objects for garbage; torch's many would take 0.3 s.
    gc.collect()
    gc.freeze()
