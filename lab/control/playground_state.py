"""What a session of the playground keeps: its scene, the clouds it shows, a critic of them.

The view solves Sinkhorn itself. It asks for what it cannot know:

    {"kind": "shapes", "points": 24, "seed": 0}         points of all shapes
    {"kind": "batch", "run": name, "arm": arm, "step": step}
    {"kind": "clouds", "version": ..., "exact": true}   the exact answer; IPOT; a batch's cost
    {"kind": "critic", "version": ..., "learn": true}   the critic, after some more steps
    {"kind": "scene", "scene": {...}, "moves": 0}       what is shown now, for the address
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from wcord.runs import list_runs

from ..reading import registry, run_batch
from ..reading.shapes import SIDE
from ..viewer import cloud_parts, cloud_scene
from ..viewer.cloud_scene import Scene
from ..viewer.frames import Part
from ..viewer.scene import scene as view_scene
from . import warm_up

Array = NDArray[Any]
Question = Mapping[str, Any]

MOST_RUNS = 100  # to choose from here; the page of runs has them all
ROOM = 1.04  # between the outermost point and the rim of a picture


@dataclass
class Kept:
    """What one session keeps.

    scene: what the view shows. address: its parts as they were last read or written. moves: how
    often an address has changed the scene; moves_sent: how many of these were sent to the view.
    questions: the newest of each kind. version, source, target: the clouds of the last question.
    critic: with what it was made for, and the exact distance.
    """

    scene: Scene = field(default_factory=cloud_scene.scene)
    address: dict[str, str] | None = None
    moves: int = 0
    moves_sent: int = 0
    questions: dict[str, Question] = field(default_factory=dict)
    version: int | None = None
    source: Array | None = None
    target: Array | None = None
    critic: tuple[Any, Any, Any] | None = None


def kept() -> Kept:
    """Return what this session keeps, brought up to an address that was followed."""
    found: Kept = st.session_state.setdefault("playground", Kept())
    given = {key: value for key in cloud_scene.NAMES if (value := st.query_params.get(key, ""))}
    if given != found.address and (given or found.address is None):
        found.scene, found.address = cloud_scene.from_address(given), given
        found.moves += 1
    elif given != found.address:  # the page is opened by its name: it shows what it showed
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


def take_message(found: Kept, message: Question) -> None:
    """Take one message of the view: a scene at once, a question for `answers` (a callback)."""
    if message["kind"] in ANSWERS:
        found.questions[message["kind"]] = message
    if message["kind"] == "scene" and message.get("moves") == found.moves:
        found.scene = cloud_scene.completed(message["scene"])
        write_address(found)


def for_the_view(found: Kept) -> Scene:
    """Return the scene as a view takes it."""
    return view_scene([], [], playground=True, clouds=found.scene)


def first_parts(found: Kept) -> list[Part]:
    """Return what a view needs before it can draw; nothing of this waits for torch."""
    found.moves_sent = -1
    found.questions.setdefault(
        "shapes", {"points": found.scene["points"], "seed": found.scene["seed"]}
    )
    if found.scene["space"] == "batch":
        found.questions.setdefault("batch", found.scene["batch"])
    return answers(found)


def answers(found: Kept) -> list[Part]:
    """Return the answers to all questions, and the scene where an address has changed it."""
    parts = []
    if found.moves_sent != found.moves:
        parts.append(Part("scene", {"scene": found.scene, "moves": found.moves}))
        found.moves_sent = found.moves
    for kind, answer in ANSWERS.items():
        question = found.questions.pop(kind, None)
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
    settings = cloud_scene.completed(question)
    part = cloud_parts.shapes_part(settings["points"], settings["seed"])
    return part._replace(about={**part.about, "number": question.get("number")})


def batch(found: Kept, question: Question) -> Part:
    """Return the batch of a run as two clouds; without a run's name that of the newest run."""
    settings = cloud_scene.completed({"batch": question})["batch"]
    own = [run.name for run in list_runs()]
    runs = [*own[:MOST_RUNS], *registry.attached(), *registry.demo_runs()]
    name = settings["run"] or next(iter(runs), "")
    about = {"number": question.get("number"), "runs": runs, "run": name}
    try:
        watch = registry.watch_of(registry.find(name))
        shown = run_batch.batch_of(watch, settings["arm"], settings["step"])
    except ValueError as error:
        return Part("batch", about | {"trouble": str(error).splitlines()[0]})
    part = cloud_parts.batch_part(shown, name, watch.arms, watch.run.steps, watch.class_names)
    return part._replace(about={**part.about, **about})


def clouds(found: Kept, question: Question) -> Part:
    """Return what a question about two clouds needs: the exact dual, a plan, the cost."""
    if not warm_up.solvers_loaded():
        return Part("clouds", {"number": question.get("number"), "later": True})
    from ..reading.clouds import cost_matrix, exact_dual, solve

    settings = cloud_scene.completed(question)
    about = {key: question.get(key) for key in ("number", "version", "solving")}
    if settings["space"] == "batch":
        name = settings["batch"]["run"]
        watch = registry.watch_of(registry.find(name))
        shown = run_batch.batch_of(watch, settings["batch"]["arm"], settings["batch"]["step"])
        drawn, features = shown.frame, (shown.teacher, shown.student)
        found.source, found.target = drawn.teacher.astype(float), drawn.student.astype(float)
        matrix = cost_matrix(*features, settings["cost"])
    else:
        found.source, found.target = (
            points_of(question.get(cloud), cloud, flat=settings["space"] == "line")
            for cloud in cloud_scene.CLOUDS
        )
        matrix = cost_matrix(found.source, found.target, settings["cost"])
    found.version = question.get("version")
    dual = exact_dual(matrix) if question.get("exact") else None
    solved = None
    if question.get("solve"):
        solved = solve(matrix, settings["solver"], settings["epsilon"], settings["iterations"])
    shown_matrix = matrix if question.get("matrix") else None
    return cloud_parts.answer_part(about, dual, solved, shown_matrix)


def points_of(message: Any, cloud: str, *, flat: bool) -> Array:
    """Return the points (n, 2) that a message holds, on a line (n, 1).

    Raises:
        ValueError: it holds none, too many, or something that is no number.
    """
    try:
        points = np.array(message, dtype=np.float64).reshape(-1, 2)
    except (TypeError, ValueError):
        raise ValueError(f"the {cloud} holds points that are not finite numbers") from None
    if not 1 <= len(points) <= cloud_scene.MOST:
        raise ValueError(f"the {cloud} needs 1 to {cloud_scene.MOST} points, not {len(points)}")
    if not np.isfinite(points).all():
        raise ValueError(f"the {cloud} holds points that are not finite numbers")
    return points[:, :1] if flat else points


def critic(found: Kept, question: Question) -> Part:
    """Return the critic of the clouds of the last question, trained further where it learns."""
    about = {"number": question.get("number"), "version": found.version}
    waits = found.version != question.get("version")  # the question about these clouds comes later
    if waits or found.source is None or found.target is None or not warm_up.solvers_loaded():
        return Part("critic", about | {"later": True})
    from ..reading.cloud_critic import critic_of, learn
    from ..reading.clouds import exact_distance

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
