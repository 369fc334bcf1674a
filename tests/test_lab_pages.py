"""The live page, run by Streamlit's own tester: every control, and what it writes."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from made_up_run import ARMS, write_run
from shown import shown
from streamlit.testing.v1 import AppTest

import wcord
import wcord.training.launch
from lab.control import run_time, start_form, steering, warm_up
from lab.pictures import NAMES
from lab.reading import map_worker
from wcord.analysis.estimate import Estimate

APP = str(Path(__file__).parents[1] / "app.py")
PANELS = {"plan", "scores", "map", "accuracy", "losses", "measures"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the page an empty folder of runs, and no worker, and a quick estimate."""
    monkeypatch.setenv("WCORD_RUNS", str(tmp_path))
    monkeypatch.setattr(map_worker, "start", lambda path: None)
    monkeypatch.setattr(run_time.Stopwatch, "ask", lambda *_: Estimate(2.0, 9.0, 2**25, "cpu", 440))
    return tmp_path


@pytest.fixture
def going(folder: Path) -> Iterator[Path]:
    """A run whose writer seems alive."""
    path = write_run(folder / "going", epochs=4, upto=2, state="running")
    with FileLock(path / "lock"):
        yield path


def page(**address: str) -> AppTest:
    """Run the app with an address, without any exception."""
    app = AppTest.from_file(APP, default_timeout=60)
    for name, value in address.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def charts(app: AppTest) -> dict[str, dict[str, Any]]:
    """Return the options of the charts on the page by key."""
    found = {}
    for element in app.get("echarts_chart"):
        key = re.search(r"([a-z]+)-\d+$", element.proto.id)
        found[key[1] if key else element.proto.id] = json.loads(element.proto.spec)
    return found


def control(path: Path) -> dict[str, Any]:
    """Return what the page asks of the run."""
    return json.loads((path / "control.json").read_text())


def rerun(app: AppTest) -> None:
    """Run the page again, without any exception."""
    app.run()
    assert not app.exception, app.exception


def test_a_finished_run_shows_every_panel_with_words(folder: Path) -> None:
    write_run(folder / "made-up")
    app = page()
    assert set(charts(app)) == PANELS
    assert not app.get("help")  # an expression on a line of its own would print itself
    assert all(element.proto.alt for element in app.get("echarts_chart"))
    assert "finished at step 42 of 42 · epoch 3.0 of 3" in app.get("progress")[0].text
    assert r"\underbrace{\mathcal{L}}_{1.000}" in app.get("latex")[0].value
    assert all(app.button(key=key).disabled for key in ("pause", "step-1", "stop"))


def test_a_run_is_shown_before_torch_is_there_and_started_after(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(folder / "made-up")
    monkeypatch.setattr(warm_up, "is_loaded", lambda: False)
    app = page()
    assert set(charts(app)) == PANELS
    assert any("Loading torch" in said.value for said in app.sidebar.caption)
    assert "start" not in {button.key for button in app.button}
    monkeypatch.setattr(warm_up, "is_loaded", lambda: True)
    rerun(app)
    assert not app.button(key="start").disabled
    assert not any("Loading torch" in said.value for said in app.sidebar.caption)


def test_the_heat_map_holds_the_stored_plan(folder: Path) -> None:
    import numpy as np
    import pyarrow as pa

    from lab.reading.arrange import sorted_plan

    path = write_run(folder / "made-up")
    app = page(arm="crd")
    element = next(e for e in app.get("echarts_chart") if e.proto.id.endswith("-plan-0"))
    table = pa.ipc.open_stream(element.proto.datasets[0].data.data).read_pandas()
    snapshot = wcord.Run(path).snapshot()
    plan = snapshot.arm("crd").plan
    expected = sorted_plan(plan, snapshot.labels[: len(plan)])
    sent = np.zeros_like(expected)
    sent[table["teacher"], table["student"]] = table["share"]
    # what is not sent would have been painted in the page's own colour
    assert (expected[sent == 0] < (0.5 / 255) ** 2).all()
    np.testing.assert_allclose(sent[sent > 0], expected[sent > 0], rtol=1e-5)


def test_one_arm_chooser_moves_every_panel_and_the_address(folder: Path) -> None:
    write_run(folder / "made-up")
    app = page(arm="plain", measure="linear CKA")
    assert app.get("segmented_control")[0].value == "plain"
    assert any("fitted for the picture" in text.value for text in app.markdown)
    assert any("no critic" in text.value for text in app.markdown)
    before = {e.proto.id: e.proto.SerializeToString() for e in app.get("echarts_chart")}
    app.get("segmented_control")[0].set_value("wcord")
    rerun(app)
    after = {e.proto.id: e.proto.SerializeToString() for e in app.get("echarts_chart")}
    assert before.keys() == after.keys()
    assert all(before[key] != after[key] for key in before)
    assert app.selectbox(key="measure").value == "cka"  # from the address
    assert r"\mathrm{GCKT}" in app.get("latex")[0].value


def test_an_arm_that_another_run_lacks_is_forgotten(folder: Path) -> None:
    write_run(folder / "made-up")
    app = page(arm="nonsense", loss="nonsense")
    assert app.get("segmented_control")[0].value == "wcord"


def test_loss_and_measure_choosers_change_their_curve(folder: Path) -> None:
    write_run(folder / "made-up")
    app = page()
    loss = next(c for c in app.get("segmented_control") if c.key == "loss")
    assert loss.options == ["total", "ce", "crd", "gckt", "lckt", "kd"]
    loss.set_value("gckt")
    app.selectbox(key="measure").set_value("cka")
    rerun(app)
    shown = charts(app)
    assert [s["name"] for s in shown["losses"]["series"]] == ["wcord", "wcord+kd"]
    assert shown["measures"]["yAxis"]["name"] == "linear CKA"


@pytest.mark.parametrize("broken", [0, 0.75])
def test_masses_of_partners_are_shown_where_pairs_are_wrong(folder: Path, broken: float) -> None:
    write_run(folder / "made-up", broken=broken)
    app = page(arm="wcord")
    known = app.selectbox(key="measure").options
    assert (NAMES["true_partner_mass"] in known) == (NAMES["wrong_partner_mass"] in known)
    assert (NAMES["true_partner_mass"] in known) == bool(broken)
    html = " ".join(element.proto.body for element in app.get("html"))
    assert ("<small>true partner</small><b>0.33</b>" in html) == bool(broken)
    if broken:
        app.selectbox(key="measure").set_value("true_partner_mass")
        rerun(app)
        assert charts(app)["measures"]["yAxis"]["name"] == NAMES["true_partner_mass"]


def test_buttons_write_control(going: Path) -> None:
    app = page()
    app.button(key="pause").click()
    rerun(app)
    assert control(going) == {"pause_at": 0, "stop": False, "delay": 0.0}
    write_run(going, epochs=4, upto=2, state="paused")
    rerun(app)
    for key, count in (("step-1", 1), ("step-10", 10), ("step-epoch", 14)):
        app.button(key=key).click()
        rerun(app)
        assert control(going)["pause_at"] == 28 + count
    app.select_slider(key="pace-going").set_value(2.0)
    rerun(app)
    assert control(going)["delay"] == pytest.approx(2 / 14)
    app.button(key="resume").click()
    rerun(app)
    assert control(going)["pause_at"] is None
    app.button(key="stop").click()
    rerun(app)
    assert control(going)["stop"] is True


def test_a_run_whose_process_died_offers_resume(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(folder / "dead", epochs=4, upto=2, state="running")
    asked = []
    monkeypatch.setattr(wcord.training.launch, "relaunch", lambda run: asked.append(run.name))
    app = page()
    assert "its process has ended" in app.get("progress")[0].text
    app.button(key="resume").click()
    rerun(app)
    assert asked == ["dead"]


def test_a_failed_run_says_why(folder: Path) -> None:
    write_run(folder / "made-up", state="failed", error="arm 'crd' froze at step 9: crd became nan")
    app = page()
    assert app.error[0].value == "arm 'crd' froze at step 9: crd became nan"
    assert set(charts(app)) == PANELS and not app.button(key="resume").disabled


def test_a_run_without_pictures_says_what_it_waits_for(folder: Path) -> None:
    path = write_run(folder / "new", epochs=4, upto=None, state="training-teacher")
    with FileLock(path / "lock"):
        for snapshot in (path / "snapshots").iterdir():
            snapshot.unlink()
        app = page()
    assert "teacher is being trained" in app.info[0].value
    assert not charts(app)


def test_no_run_at_all_shows_the_demo_or_says_what_to_do(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = page()
    assert charts(app).keys() == PANELS or "press Start" in app.info[0].value


@pytest.mark.parametrize("name", ["../outside", "a/b", "..", "absent"])
def test_addresses_that_are_no_run_are_one_line_and_lead_nowhere(folder: Path, name: str) -> None:
    write_run(folder / "made-up")
    app = page(run=name)
    assert len(app.error) == 1 and len(app.error[0].value.splitlines()) == 1
    assert shown(app.selectbox, "run").value == "made-up"


def test_a_damaged_snapshot_and_damaged_settings_are_one_line(folder: Path) -> None:
    path = write_run(folder / "made-up")
    (path / "snapshots" / "42.safetensors").write_bytes(b"half")
    assert "cannot be read" in page().error[0].value
    (path / "settings.yaml").write_text("arms: [")
    assert "cannot be read" in page().error[0].value


def one_line(app: AppTest, *words: str) -> None:
    """Check that the page says what is wrong in one line, once."""
    assert len(app.error) == 1 and len(app.error[0].value.splitlines()) == 1
    assert all(word in app.error[0].value for word in words), app.error[0].value


def test_a_run_of_a_newer_version_is_one_line(folder: Path) -> None:
    path = write_run(folder / "made-up")
    newer = "schema_version: 99\n" + (path / "settings.yaml").read_text()
    (path / "settings.yaml").write_text(newer)
    one_line(page(), "made-up", "99", "update")


def test_the_schema_known_without_torch_is_the_one_that_is_written() -> None:
    from lab.reading.watch import KNOWN_SCHEMA
    from wcord.settings.experiment import SCHEMA_VERSION

    assert KNOWN_SCHEMA == SCHEMA_VERSION


def test_a_run_deleted_under_the_page_is_one_line(folder: Path) -> None:
    path = write_run(folder / "made-up")
    write_run(folder / "other")
    app = page(run="made-up")
    shutil.rmtree(path)
    rerun(app)
    one_line(app, "made-up")


def test_a_snapshot_deleted_under_the_page_leaves_the_one_before(folder: Path) -> None:
    path = write_run(folder / "made-up")
    app = page()
    (path / "snapshots" / "42.safetensors").unlink()
    rerun(app)
    assert not app.error and set(charts(app)) == PANELS


@pytest.mark.parametrize("kept", ["settings.yaml", "settings.yaml status.json"])
def test_a_run_copied_by_half_says_what_it_waits_for(folder: Path, kept: str) -> None:
    path = write_run(folder / "made-up")
    for part in path.iterdir():
        if part.name not in kept.split():
            shutil.rmtree(part) if part.is_dir() else part.unlink()
    app = page(step="14", samples="3")
    assert not charts(app) and len(app.info) == 1 and not app.error


def test_half_a_snapshot_and_half_a_line_of_metrics(folder: Path) -> None:
    path = write_run(folder / "made-up")
    snapshot = path / "snapshots" / "42.safetensors"
    snapshot.write_bytes(snapshot.read_bytes()[:-1000])
    metrics = path / "metrics.jsonl"
    metrics.write_bytes(metrics.read_bytes()[:-20])
    one_line(page(), "42.safetensors")
    assert set(charts(page(step="28"))) == PANELS  # what is whole can be looked at


def test_nan_in_a_snapshot_draws_what_is_left(folder: Path) -> None:
    import numpy as np
    from safetensors.numpy import load, save

    path = write_run(folder / "made-up")
    file = path / "snapshots" / "42.safetensors"
    length = int.from_bytes(file.read_bytes()[:8], "little")
    header = json.loads(file.read_bytes()[8 : 8 + length])["__metadata__"]
    arrays = load(file.read_bytes())
    for part in ("plan", "cost", "scores", "teacher", "student"):
        arrays[f"crd/{part}"][:] = np.nan
        arrays[f"wcord/{part}"][3] = np.nan
    told = json.loads(header["snapshot"])
    told["values"]["crd"] = dict.fromkeys(told["values"]["crd"])
    file.write_bytes(save(arrays, {"snapshot": json.dumps(told)}))
    for arm in ("crd", "wcord"):
        app = page(arm=arm, samples="3")
        assert set(charts(app)) >= PANELS and not app.error
        assert "nan" not in "".join(element.proto.body for element in app.get("html"))


def test_a_steps_address_survives_a_run_that_has_no_pictures(folder: Path) -> None:
    path = write_run(folder / "new", epochs=4, upto=1, state="running")
    with FileLock(path / "lock"):
        shutil.rmtree(path / "snapshots")
        app = page(step="14", samples="3")
        write_run(path, epochs=4, upto=2, state="running")
        rerun(app)
        rerun(app)
    assert set(charts(app)) >= PANELS


def test_the_newest_run_comes_first_and_another_can_be_chosen(folder: Path) -> None:
    import os

    for place, name in enumerate(("old", "new")):
        path = write_run(folder / name)
        os.utime(path / "settings.yaml", (place, place))
    app = page()
    assert shown(app.selectbox, "run").value == "new"
    shown(app.selectbox, "run").set_value("old")
    rerun(app)
    assert app.query_params["run"] == "old"
    assert shown(app.selectbox, "run").value == "old"


def test_start_launches_what_was_chosen_and_goes_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []

    def launch(experiment: wcord.Experiment) -> wcord.Run:
        started.append(experiment)
        return wcord.Run(write_run(folder / "started", upto=0, state="running"))

    monkeypatch.setattr(wcord.training.launch, "launch", launch)
    app = page()
    assert any("440 steps" in caption.value for caption in app.caption)
    app.number_input(key="weight-digits-compression-λ1 · GCKT").set_value(2.5)
    app.number_input(key="epochs-digits-compression").set_value(7)
    app.number_input(key="seed-digits-compression").set_value(3)
    app.get_by_key("arms-digits-compression").set_value(["plain", "wcord"])
    rerun(app)
    app.button(key="start").click()
    rerun(app)
    (experiment,) = started
    assert list(experiment.arms) == ["plain", "wcord"]
    assert (experiment.epochs, experiment.seed) == (7, 3)
    assert experiment.arms["wcord"]["gckt"].weight == 2.5
    assert experiment.probe.every == 1 and experiment.probe.losses >= 4  # it is slowed to be seen
    assert app.query_params["run"] == "started"
    # the pace of a talk, promised before the length of an epoch was known
    assert control(folder / "started")["delay"] == pytest.approx(steering.TALK / 14)


def test_at_full_speed_the_presets_probes_are_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []

    def launch(experiment: wcord.Experiment) -> wcord.Run:
        started.append(experiment)
        return wcord.Run(write_run(folder / "started", upto=0, state="running"))

    monkeypatch.setattr(wcord.training.launch, "launch", launch)
    app = page()
    app.select_slider(key="start-pace-digits-compression").set_value(0.0)
    rerun(app)
    app.button(key="start").click()
    rerun(app)
    assert started == [wcord.load("digits-compression")]
    assert control(folder / "started")["delay"] == 0


def test_nonsense_settings_are_the_validators_line_and_cannot_be_started(folder: Path) -> None:
    app = page()
    app.number_input(key="weight-digits-compression-λ2 · LCKT").set_value(-1.0)
    rerun(app)
    with pytest.raises(ValueError) as refused:
        wcord.load("digits-compression").replace({"arms.wcord.lckt.weight": -1.0})
    assert app.error[0].value == str(refused.value)
    assert app.button(key="start").disabled
    app.number_input(key="weight-digits-compression-λ2 · LCKT").set_value(0.05)
    app.get_by_key("arms-digits-compression").set_value([])
    rerun(app)
    assert app.error[0].value == "choose at least one arm"


def test_what_fails_when_starting_is_shown_as_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(experiment: wcord.Experiment) -> wcord.Run:
        raise ValueError("cannot make a run: no space left\nand more")

    monkeypatch.setattr(wcord.training.launch, "launch", refuse)
    app = page()
    app.button(key="start").click()
    rerun(app)
    assert [error.value for error in app.error] == ["cannot make a run: no space left"]
    rerun(app)
    assert not app.error  # said once


@pytest.mark.parametrize("name", [n for n in wcord.presets() if n.startswith("digits")])
def test_every_preset_can_be_chosen(folder: Path, name: str) -> None:
    app = page()
    app.selectbox(key="preset").set_value(name)
    rerun(app)
    assert not app.error and not app.button(key="start").disabled


def test_weights_are_grouped_where_arms_share_them_and_controls_stay_zero() -> None:
    experiment = wcord.load("digits-compression")
    groups = start_form.weight_groups(experiment)
    assert groups["λ1 · GCKT"] == [("wcord", "gckt"), ("wcord+kd", "gckt")]
    for members in groups.values():
        weights = {experiment.arms[arm][term].weight for arm, term in members}
        assert len(weights) == 1 and 0 not in weights
    split = experiment.replace({"arms.wcord+kd.gckt.weight": 1.0})
    assert {"λ1 · GCKT in wcord", "λ1 · GCKT in wcord+kd"} <= set(start_form.weight_groups(split))
    same = start_form.changed(experiment, list(experiment.arms), {}, {})
    assert same == experiment


def test_settings_of_the_server_keep_it_at_home() -> None:
    import tomllib

    with open(Path(APP).parent / ".streamlit" / "config.toml", "rb") as file:
        config = tomllib.load(file)
    assert config["browser"]["gatherUsageStats"] is False
    assert config["server"]["address"] == "localhost"
    assert config["server"]["fileWatcherType"] == "none"
    assert "enableAgentApi" not in config["server"]


def test_made_up_arms_have_names_that_folders_must_survive() -> None:
    assert "wcord+kd" in ARMS


@pytest.mark.parametrize("name", sorted(PANELS))
def test_a_picture_can_be_taken_away_as_it_is_shown(name: str, folder: Path) -> None:
    write_run(folder / "over")
    app = page(run="over", step="28")
    app.button(key=f"take-{name}").click()
    rerun(app)
    (cell,) = [code.value for code in app.code if "from lab import figures" in code.value]
    assert "Run('over')" in cell
    assert ("snapshot(28)" in cell) == (name in ("plan", "scores", "map"))
    labels = {button.proto.label for button in app.get("download_button")}
    assert {"PNG", "SVG", "Data, CSV", "Settings, YAML"} <= labels
