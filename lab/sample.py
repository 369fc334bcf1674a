"""The card of one selected sample: what is seen of it, who is near it, and how it fares."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from lab import sample_charts
from lab.panels import View
from lab.reading import sample_images
from lab.reading.layouts import on_sphere
from lab.reading.sample_images import Sightings
from lab.reading.watch import Watch
from lab.words.literal import markdown

Array = NDArray[Any]

NEAR = 6  # neighbours shown
HEIGHT = 290
WORDS, SMALL = 24, 5  # columns of a class name in a sentence, under a small picture


@st.cache_resource(max_entries=4, show_spinner="Reading the pictures…")
def _read(path: str, made: float, step: int, _watch: Watch) -> Sightings:
    return sample_images.read(_watch.run, _watch.snapshot(step))


def seen(view: View) -> Sightings | str:
    """Return what both networks see of the samples, read once a run; else why it cannot be."""
    path = view.watch.run.path
    first = view.watch.run.steps[0]  # the samples of all snapshots are the same
    try:
        made = (path / "settings.yaml").stat().st_mtime
        return _read(str(path), made, first, view.watch)
    except (ValueError, OSError) as error:
        return str(error).splitlines()[0]


def nearest(features: Array, sample: int, count: int = NEAR) -> list[int]:
    """Return the samples nearest to one in direction, nearest first, itself left out.

    Args:
        features: (m, d) of one side.
        sample: whose neighbours.
        count: how many, at most m − 1.
    """
    unit = on_sphere(features)
    closeness = unit @ unit[sample]
    closeness[sample] = -np.inf
    return [int(i) for i in np.argsort(-closeness, kind="stable")[: min(count, len(unit) - 1)]]


def card(view: View) -> None:
    """Show the card of the first sample selected."""
    sample = view.selected[0]
    labels = view.watch.snapshot(view.step).labels
    picture = view.watch.picture(view.step, view.arm)
    answer = int(picture.prediction[sample])
    names = view.watch.class_names
    own, answered = (markdown(names.short(c, WORDS)) for c in (int(labels[sample]), answer))
    said = "right" if answer == labels[sample] else f"not {own}"
    with st.container(border=True):
        st.markdown(
            f"**Sample {sample}** · class {own} · {markdown(view.arm)} answers {answered}, {said}"
        )
        images = seen(view)
        if isinstance(images, str):
            st.caption(f"No pictures: {markdown(images)}.")
        left, middle, right = st.columns([1.25, 1.5, 1.1], gap="medium")
        with left:
            if isinstance(images, Sightings):
                _views(images, sample)
            _neighbours(view, sample, labels, images)
        with middle:
            _rows(view, sample)
        with right:
            _predictions(view, sample, labels)


def _views(images: Sightings, sample: int) -> None:
    with st.container(horizontal=True, gap="medium"):
        for side, pictures in images._asdict().items():
            st.image(pictures[sample], caption=f"as the {side} sees it", width=118)


def _neighbours(view: View, sample: int, labels: Array, images: Sightings | str) -> None:
    picture, names = view.watch.picture(view.step, view.arm), view.watch.class_names
    found = {
        side: nearest(features, sample)
        for side, features in (("teacher", picture.teacher), ("student", picture.student))
    }
    both = len(set(found["teacher"]) & set(found["student"]))
    for side, samples in found.items():
        shared = f", {both} of {len(samples)} shared" if side == "student" else ""
        st.caption(f"Nearest for the {side}, with their classes{shared}")
        if isinstance(images, Sightings):
            with st.container(horizontal=True, gap="xsmall"):
                for i in samples:
                    caption = markdown(names.short(int(labels[i]), SMALL))
                    st.image(getattr(images, side)[i], caption=caption, width=46)
        else:
            named = [f"{i} (class {names.short(int(labels[i]))})" for i in samples]
            st.markdown(markdown(" · ".join(named)))


def _rows(view: View, sample: int) -> None:
    st.caption("Its rows of plan and scores: its own student in ink, its class in colour")
    picture, labels = view.watch.picture(view.step, view.arm), view.batch_labels
    if sample >= len(labels):
        st.markdown(f"It is not among the {len(labels)} samples of plan and scores.")
        return
    row = picture.plan[sample] / max(float(picture.plan[sample].sum()), 1e-30)
    name = "score g" if "raw_iw" in view.values else "cosine"
    option = view.kept(
        ("rows", sample),
        lambda: sample_charts.rows_chart(
            row,
            picture.scores[sample],
            labels,
            sample,
            view.theme,
            name=name,
            names=view.watch.class_names,
        ),
    )
    inside = float(row[labels == labels[sample]].sum())
    words = (
        f"Of the mass of teacher sample {sample}, {inside:.0%} goes to students of its class and "
        f"{row[sample]:.0%} to its own; its own score is {picture.scores[sample, sample]:.2f}."
    )
    st.echarts_chart(option, height=HEIGHT, key="sample-rows", alt=words)


def _predictions(view: View, sample: int, labels: Array) -> None:
    st.caption("The student's answer over time; dashed is its class, filled is right")
    epochs, answers = view.watch.predictions(view.arm)
    if not epochs or sample >= answers.shape[1]:
        st.markdown("No answers are stored with this run.")
        return
    true, own = int(labels[sample]), answers[:, sample]
    right = own == true
    option = sample_charts.prediction_chart(
        epochs,
        own,
        true,
        [int(c) for c in np.union1d(labels, answers)],
        view.theme,
        last=view.watch.epochs,
        at=None if view.follow else view.watch.snapshot(view.step).epoch,
        names=view.watch.class_names,
    )
    words = f"Answers for sample {sample}: right in {right.sum()} of {len(right)} pictures."
    st.echarts_chart(option, height=HEIGHT, key="sample-answers", alt=words)
