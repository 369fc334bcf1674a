"""Words of the lab: equations with places for values, hints, descriptions, panels and metrics."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from fontTools.ttLib import TTFont
from hypothesis import given
from hypothesis import strategies as hs
from made_up_run import ARMS, values_of

import lab
import wcord
from lab.course import notebook_section
from lab.reading.watch import Watch
from lab.viewer import parts
from lab.viewer.scene import COCKPIT
from lab.words import descriptions, equations, hints, panels, vocabulary
from lab.words.panels import PANELS
from lab.words.vocabulary import GLOSSARY, MEASURES, METRICS
from wcord.objectives import TERMS

ROOT = Path(lab.__file__).parent
DEMO = ROOT / "demo" / "digits-compression"
TAG = re.compile("m(ath|frac|i|n|o|over|padded|row|space|sub|subsup|sup|text|under)")
ATTRIBUTE = re.compile(
    "xmlns|accent|display|mathvariant|width|stretchy|form|fence|(min|max)size|data-(value|form)"
)
FORM = re.compile(r"[0-9]f|g")


class Elements(HTMLParser):
    """Notes the elements of markup, as a browser reads them."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(markup)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def places_in(mathml: str) -> list[str]:
    """Return the names of the places for values, after a look at all of the markup."""
    elements = Elements(mathml)
    assert not set("\\@{}") & set(elements.text), elements.text
    found = []
    for tag, attributes in elements.found:
        assert TAG.fullmatch(tag) and all(map(ATTRIBUTE.fullmatch, attributes)), (tag, attributes)
        if "data-value" in attributes:
            assert tag == "mn" and FORM.fullmatch(attributes["data-form"] or "")
            found.append(attributes["data-value"] or "")
    return found


# ------------------------------------------------------------------------------------- equations


@pytest.mark.parametrize("preset", wcord.presets())
def test_every_objective_has_a_place_for_every_term(preset: str) -> None:
    for terms in wcord.load(preset).arms.values():
        plain = {name: term.model_dump() for name, term in terms.items()}
        found = equations.objective(plain)
        assert places_in(found.mathml) == ["total", *terms]
        for name, term in terms.items():
            factor, _ = equations.SYMBOLS.get(name, ("w", ""))
            if factor or term.weight != 1:
                assert f"{{{term.weight:g}}}" in found.latex
            assert equations.TERMS.get(name, name.upper()) in found.words


@pytest.mark.parametrize("name", [*METRICS, *TERMS, "my_term"])
def test_every_curve_has_a_definition(name: str) -> None:
    record = vocabulary.metric(name)
    found = equations.curve(name, record.latex, record.form)
    assert places_in(found.mathml) == [name] and found.latex.count("{") == found.latex.count("}")
    assert record.label and record.short and record.meaning and FORM.fullmatch(record.form)


def test_the_forms_on_the_probe_batch() -> None:
    with_critic, without = (equations.dependency(critic=critic) for critic in (True, False))
    assert places_in(with_critic.mathml) == ["raw_iw", "slope", "certified_iw", "exact_iw"]
    assert places_in(without.mathml) == ["exact_iw"]
    assert places_in(equations.transport().mathml) == ["plan_cost", "epsilon", "entropy"]
    assert places_in(equations.distance().mathml) == ["feature_distance"]


@given(hs.text(max_size=20))
def test_names_of_terms_stay_names(name: str) -> None:
    """A run that somebody shares may name its terms as it likes."""
    for found in (equations.objective({name: {"weight": 2.0}}), equations.curve(name, "", "3f")):
        assert places_in(found.mathml)[-1] == name


@pytest.mark.parametrize("name", ["<img src=x onerror=alert(1)>", 'x" onclick="y', "a}{b", "%41"])
def test_names_of_terms_are_no_markup(name: str) -> None:
    assert places_in(equations.curve(name, "", "3f").mathml) == [name]
    assert places_in(equations.objective({name: {"weight": 1}}).mathml) == ["total", name]


def test_every_place_has_a_value_in_a_real_run() -> None:
    watch = Watch(DEMO)
    for arm in parts.run_part(watch, "demo", ours=False).about["arms"]:
        about = parts.frame_part(watch, "demo", arm["name"], watch.run.steps[-1]).about
        shown = {key: places_in(mathml) for key, (mathml, _) in arm["equations"].items()}
        del shown["cosines" if about["critic"] else "scores"]
        for key, names in shown.items():
            assert all(np.isfinite(about["values"][name]) for name in names), (arm["name"], key)


# --------------------------------------------------------------------------- panels and metrics


@pytest.mark.parametrize("name", PANELS)
def test_a_panel_names_what_there_is(name: str) -> None:
    panel = PANELS[name]
    assert panel.title and panel.help.endswith(".") and set(panel.facts) <= set(METRICS)
    assert panel.section is not None
    section = notebook_section.markdown_of(panel.section)
    assert len(section) > 200 and panel.section.heading not in section.splitlines()[0]
    assert not re.search(r"\]\((?!http)", section)  # the page has no notebooks to link to


def test_every_panel_of_the_cockpit_and_of_the_pictures_is_there() -> None:
    assert set(COCKPIT) <= set(PANELS)
    frame = {name for name in ("plan", "lines", "scores", "map") if name in PANELS}
    about = parts.frame_part(Watch(DEMO), "demo", "wcord", 440).about
    assert frame == set(about["hints"]) == set(about["words"])


def test_metrics_are_told_apart_and_measured() -> None:
    for field in ("label", "short"):
        said = [getattr(metric, field) for metric in METRICS.values()]
        assert len(set(said)) == len(said)
    measured = set(Watch(DEMO).values_at("wcord", 440))
    wrong_pairs = {"true_partner_mass", "wrong_partner_mass"}
    assert set(MEASURES) - wrong_pairs <= measured
    assert {"test_accuracy", "held_out_accuracy", "total"} <= measured
    assert not set(MEASURES) & {"test_accuracy", "held_out_accuracy", "total", *TERMS}
    assert vocabulary.metric("my_term").label == "my term"


def test_what_the_view_gets_is_what_is_written_here() -> None:
    told = panels.plain()
    assert told["glossary"] == GLOSSARY and all(GLOSSARY.values())
    assert told["metrics"]["cka"]["label"] == METRICS["cka"].label
    plan = told["panels"]["plan"]
    assert plan["facts"] == PANELS["plan"].facts
    assert plan["section"] == {
        "notebook": "03_entropic_transport.ipynb",
        "heading": "The problem",
    }


# ----------------------------------------------------------------------- hints and descriptions


def test_what_to_look_for_follows_the_numbers() -> None:
    good = {"same_class_mass": 0.9, "diagonal_mass": 0.6, "variance_ratio": 1.0, "plan_cost": 0.2}
    assert "its own sample" in hints.at_plan(good, 0.1)
    assert "Close to chance" in hints.at_plan(good | {"same_class_mass": 0.12}, 0.1)
    assert "shrunk to 0.20" in hints.at_plan(good | {"variance_ratio": 0.2}, 0.1)
    collapsed = {"same_class_mass": 0.1, "plan_cost": 0.001, "variance_ratio": 1.0}
    assert "Collapse" in hints.at_plan(collapsed, 0.1)
    assert "not its own sample" in hints.at_plan(good | {"diagonal_mass": 0.1}, 0.1)
    assert "not defined" in hints.at_plan({}, 0.1)
    assert "75 %" in hints.at_scores({"exact_iw": 0.4, "certified_iw": 0.3})
    assert "No critic" in hints.at_scores({"exact_iw": 0.4})
    assert "0 %" in hints.at_scores({"exact_iw": 0.4, "certified_iw": -0.2})
    assert "no dependency" in hints.at_scores({"exact_iw": 0.0, "certified_iw": 0.0})
    assert "Near does not mean alike" in hints.at_map(
        {"feature_distance": 0.4, "neighbour_overlap": 0.2}
    )
    assert "not finite" in hints.at_map({"feature_distance": np.nan})


def test_there_is_a_sentence_for_every_arm() -> None:
    for terms in ARMS.values():
        values = values_of(terms, 0.5, 0)
        assert hints.at_plan(values, 0.1) and hints.at_scores(values) and hints.at_map(values)


LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(4), 5))


def test_descriptions_say_what_the_pictures_show() -> None:
    scores = np.random.default_rng(1).random((20, 20))
    assert "100 % of the mass stays" in descriptions.of_plan(np.eye(20), LABELS)
    assert "(25 % would by chance)" in descriptions.of_plan(scores, LABELS)
    assert "not defined" in descriptions.of_plan(np.zeros((20, 20)), LABELS)
    mean = np.diag(scores).mean()
    assert f"matching pairs {mean:.2f}, same class" in descriptions.of_scores(scores, LABELS)
    scores[:] = np.nan
    assert descriptions.of_scores(scores, LABELS).endswith("means: not defined.")
    told: dict[str, Any] = {"cka": 0.5, "feature_distance": np.nan}
    assert "20 samples" in descriptions.of_map(LABELS, told, "PCA")
    assert "In full dimension: linear CKA 0.50." in descriptions.of_map(LABELS, told, "PCA")


def test_display_formulas_of_a_section_stand_on_lines_of_their_own() -> None:
    for panel in PANELS.values():
        if panel.section is not None:
            for line in notebook_section.markdown_of(panel.section).splitlines():
                assert "$$" not in line or line.strip() == "$$"


def test_words_of_the_plan_say_what_is_seen() -> None:
    base = {"plan_cost": 0.3, "variance_ratio": 1.0, "same_class_mass": 0.9}
    assert "own sample" in hints.at_plan(base | {"diagonal_mass": 0.6}, 0.1)
    assert "blocks" in hints.at_plan(base | {"diagonal_mass": 0.2}, 0.1)
    assert "own" not in hints.at_plan(base, 0.1)  # the diagonal was not measured
    assert "0.60" in hints.at_plan(base | {"same_class_mass": 0.6}, 0.1)
    assert "lie elsewhere" in hints.at_map({"feature_distance": 1.0, "neighbour_overlap": 0.8})
    assert "circles" in hints.at_map({"feature_distance": 0.2, "neighbour_overlap": 0.8})


@pytest.mark.parametrize("files", ["viewer/*.js", "pages/*.py", "words/*.py"])
def test_every_sign_is_in_a_common_font(files: str) -> None:
    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    known = TTFont(folder / "DejaVuSans.ttf").getBestCmap()
    paths = [path for path in ROOT.glob(files) if path.name != "class_names.py"]  # 猫 is an example
    assert paths
    for path in paths:
        assert {ord(sign) for sign in path.read_text("utf-8") if sign > "~"} <= known.keys()
