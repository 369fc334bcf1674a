"""The pages' pictures as pure functions: what stands in the option is what was put in."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lab import charts, cloud_charts, heat_maps, palette
from lab.options import enlarged
from lab.palette import DARK, LIGHT
from lab.reading.arrange import class_order, heaviest, sorted_plan
from lab.reading.layouts import REACH, Frame
from lab.words import descriptions

rng = np.random.default_rng(0)
LABELS = rng.permutation(np.repeat(np.arange(4), 5))
PLAN = rng.random((20, 20))


def tables(option: dict[str, Any]) -> list[pd.DataFrame]:
    """Return the tables of an option."""
    held = option["dataset"]
    return [part["source"].to_pandas() for part in (held if isinstance(held, list) else [held])]


def without_tables(option: dict[str, Any]) -> str:
    """Return the option as JSON, as the browser gets it; fails where it cannot be."""
    return json.dumps({key: part for key, part in option.items() if key != "dataset"})


def test_plan_table_has_every_cell_that_is_seen_in_class_order() -> None:
    sharp = PLAN**12
    option = heat_maps.plan_chart(sharp, LABELS)
    (table,) = tables(option)
    order, shares = class_order(LABELS), sharp / sharp.sum(1, keepdims=True)
    for _, cell in table.sample(60, random_state=0).iterrows():
        row, column = order[int(cell["teacher"])], order[int(cell["student"])]
        assert cell["share"] == pytest.approx(shares[row, column], rel=1e-5)
        assert cell["shade"] == round(255 * cell["share"] ** 0.5) > 0
    shades = np.rint(255 * np.sqrt(shares))  # of shade 0 is the page's own colour
    assert len(table) == np.count_nonzero(shades) < 400
    heat = option["series"][0]
    assert heat["type"] == "heatmap" and heat["progressive"] == 0


def test_a_difference_of_plans_keeps_its_sign() -> None:
    table = pd.DataFrame(heat_maps.plan_cells(np.array([[0.25, -0.25], [0.0, -1.0]])))
    assert table["shade"].tolist() == [128, -128, -255]
    assert table[["teacher", "student"]].to_numpy().tolist() == [[0, 0], [0, 1], [1, 1]]


def test_rows_can_be_clicked_and_the_others_dim_when_one_is_selected() -> None:
    plain = heat_maps.plan_chart(PLAN, LABELS)["series"]
    rows = next(s for s in plain if s.get("id") == "rows")
    assert len(rows["data"]) == 20 and rows["selectedMode"] == "single"
    assert "selected" not in [s["name"] for s in plain]
    lit = heat_maps.plan_chart(PLAN, LABELS, selected=(3, 7, 99))["series"][-1]
    order = class_order(LABELS).tolist()
    places = {order.index(3), order.index(7)}
    dimmed: set[int] = set()
    for low, high in lit["markArea"]["data"]:
        dimmed |= set(range(low["yAxis"], high["yAxis"]))
    assert dimmed == set(range(20)) - places
    assert {point["value"][1] - 0.5 for point in lit["data"][:2]} == places


def test_plan_labels_and_boundaries_stand_where_classes_change() -> None:
    option = heat_maps.plan_chart(PLAN, LABELS)
    names = option["xAxis"][0]["data"]
    assert len(names) == 20 and [n for n in names if n] == ["0", "1", "2", "3"]
    ordered = LABELS[class_order(LABELS)]
    assert all(str(ordered[place]) == name for place, name in enumerate(names) if name)
    lines = option["series"][1]["markLine"]["data"]
    assert [line["xAxis"] for line in lines if "xAxis" in line] == [5, 10, 15]
    assert option["yAxis"][0]["inverse"] and option["yAxis"][1]["inverse"]


def test_plan_with_nan_or_an_empty_row_draws_nothing_there() -> None:
    broken = PLAN.copy()
    broken[0], broken[1, 1] = 0.0, np.nan
    table = heat_maps.plan_cells(sorted_plan(broken, LABELS))
    assert np.isfinite(table["share"]).all()
    first = class_order(LABELS).tolist().index(0)
    assert first not in set(table["teacher"])
    assert len(heat_maps.plan_cells(np.zeros((3, 3)))["share"]) == 1


def test_a_large_plan_keeps_its_places() -> None:
    cells = heat_maps.plan_cells(np.full((300, 300), 1 / 300))
    assert cells["student"].max() == 299 and len(cells["share"]) == 90_000


def test_scores_are_shares_of_each_group() -> None:
    option = charts.scores_chart(PLAN, LABELS)
    table, own = tables(option)
    for group in palette.GROUPS:
        assert table[group].sum() == pytest.approx(100, rel=1e-4)
    means = [s["markLine"]["data"][0]["xAxis"] for s in option["series"] if "markLine" in s]
    assert means[0] == pytest.approx(np.diag(PLAN).mean())
    np.testing.assert_allclose(own["score"], np.diag(PLAN), rtol=1e-6)
    lit = charts.scores_chart(PLAN, LABELS, selected=(4, 50))["series"][-1]
    assert lit["data"] == [[pytest.approx(PLAN[4, 4]), 0]]


def test_map_holds_both_sides_in_order_and_keeps_strays_on_the_rim() -> None:
    frame = Frame(rng.normal(size=(20, 2)), 9 * rng.normal(size=(20, 2)))
    option = charts.map_chart(frame, LABELS)
    teacher, student = tables(option)
    np.testing.assert_allclose(teacher[["x", "y"]], frame.teacher.clip(-REACH, REACH), rtol=1e-6)
    assert np.abs(student[["x", "y"]].to_numpy()).max() <= REACH + 1e-6
    assert teacher["class"].tolist() == LABELS.tolist()
    assert [mark[2] for mark in option["series"][2]["data"]] == ["0", "1", "2", "3"]
    assert option["visualMap"]["categories"] == ["0", "1", "2", "3"]
    lines, rings = charts.map_chart(frame, LABELS, selected=(2,))["series"][3:]
    ends = [frame.teacher[2].clip(-REACH, REACH), frame.student[2].clip(-REACH, REACH)]
    np.testing.assert_allclose(rings["data"], ends)
    np.testing.assert_allclose(lines["data"][0]["coords"], ends)
    assert option["visualMap"]["seriesIndex"] == [0, 1]  # rings keep their ink
    assert not option["animation"] and charts.map_chart(frame, LABELS, moving=True)["animation"]


def test_curves_keep_each_arms_colour_and_thicken_the_chosen_one() -> None:
    table = pd.DataFrame({"epoch": [0, 1], "plain": [1.0, 2.0], "wcord": [1.0, 3.0]})
    colours = palette.arm_colours(["plain", "kd", "wcord"])
    option = charts.curves_chart(table, colours, percent=True, bold="wcord", last=40)
    assert option["xAxis"]["max"] == 40
    assert [s["name"] for s in option["series"]] == ["plain", "wcord"]
    assert [s["lineStyle"]["width"] for s in option["series"]] == [2, 4]
    assert option["series"][1]["itemStyle"]["color"] == palette.ARMS["wcord"]
    assert tables(option)[0].equals(table)
    marked = charts.curves_chart(table, colours, at=0.5)["series"][0]["markLine"]
    assert marked["data"] == [{"xAxis": 0.5}] and "markLine" not in option["series"][0]
    charts.curves_chart(pd.DataFrame({"epoch": []}), colours, at=0.5)


def test_what_is_enlarged_keeps_its_data() -> None:
    frame = Frame(rng.normal(size=(20, 2)), rng.normal(size=(20, 2)))
    option = charts.map_chart(frame, LABELS, selected=(1,))
    large = enlarged(option, 2.0)
    assert large["series"][0]["symbolSize"] == 2 * option["series"][0]["symbolSize"]
    assert large["textStyle"]["fontSize"] == 2 * option["textStyle"]["fontSize"]
    assert large["grid"]["top"] == 2 * option["grid"]["top"]
    assert large["series"][3]["data"] == option["series"][3]["data"]
    assert large["xAxis"]["min"] == option["xAxis"]["min"]
    for part, other in zip(large["dataset"], option["dataset"], strict=True):
        assert part["source"] is other["source"]


def test_lines_join_the_points_of_the_heaviest_entries() -> None:
    x, y = rng.normal(size=(6, 2)), rng.normal(size=(7, 2))
    lines = heaviest(rng.random((6, 7)) / 42, 10)
    option = cloud_charts.lines_chart(x, y, lines, net=np.zeros((3, 2)))
    drawn = [pair["coords"] for s in option["series"] if s["type"] == "lines" for pair in s["data"]]
    joined = zip(lines.rows, lines.columns, strict=True)
    expected = [[x[i].tolist(), y[j].tolist()] for i, j in joined]
    assert sorted(drawn) == sorted(expected)
    net = next(s for s in option["series"] if s.get("id") == "net")
    assert net["selectedMode"] == "single" and len(net["data"]) == 3


def test_every_option_is_plain_json_on_light_and_dark_pages() -> None:
    cloud, flat = rng.normal(size=(5, 2)), np.linspace(-1, 1, 9)
    frame = Frame(cloud, cloud)
    for theme in (LIGHT, DARK):
        for option in (
            heat_maps.plan_chart(PLAN, LABELS, theme),
            heat_maps.cloud_plan_chart(PLAN[:5], theme),
            charts.scores_chart(PLAN, LABELS, theme),
            charts.map_chart(frame, np.arange(5), theme),
            charts.curves_chart(pd.DataFrame({"epoch": []}), {}, theme),
            cloud_charts.lines_chart(cloud, cloud, heaviest(PLAN[:5, :5]), theme),
            cloud_charts.potentials_chart(flat, {"f": flat}, flat, flat, theme, slopes=[(0, 0, 1)]),
            cloud_charts.agreement_chart({"f, source": (flat, flat)}, theme),
            heat_maps.field_chart(PLAN, cloud, cloud, theme),
            cloud_charts.progress_chart([0, 5], [0.0, 1.0], [0.0, 0.9], 1.1, theme),
        ):
            without_tables(option)
            assert all(
                s.get("progressive") == 0 for s in option["series"] if s["type"] == "heatmap"
            )
            smallest = option["textStyle"]["fontSize"]
            assert smallest >= 14


def test_field_is_drawn_from_the_lowest_row_up() -> None:
    field = np.arange(9.0).reshape(3, 3)
    (table,) = tables(heat_maps.field_chart(field, np.zeros((1, 2)), np.zeros((1, 2))))
    for _, cell in table.iterrows():
        assert cell["g"] == field[int(cell["y"]), int(cell["x"])]


def test_words_say_what_the_pictures_show() -> None:
    assert "100 % of the mass stays" in descriptions.of_plan(np.eye(20), LABELS)
    assert "not defined" in descriptions.of_plan(np.zeros((20, 20)), LABELS)
    assert "congruent pairs" in descriptions.of_scores(PLAN, LABELS)
    assert "CKA 0.50" in descriptions.of_map(
        LABELS, {"cka": 0.5, "feature_distance": np.nan}, "PCA"
    )
    table = pd.DataFrame({"epoch": [0, 1], "kd": [1.0, 2.5]})
    assert descriptions.of_curves(table, "loss") == "loss, latest: kd 2.5."
    assert descriptions.of_curves(table[["epoch"]], "loss") == "loss: no values yet."


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours (WCAG 2.1)."""

    def light(colour: str) -> float:
        parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((light(one), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_colours_stand_out_from_the_page_and_the_ramp_runs_one_way() -> None:
    for theme in (LIGHT, DARK):
        assert contrast(theme.ink, theme.paper) > 7
        for colour in (*palette.GROUPS.values(), palette.SOURCE, palette.TARGET):
            assert contrast(theme.lit(colour), theme.paper) > 2.2
        steps = [contrast(colour, theme.paper) for colour in theme.ramp]
        assert steps == sorted(steps)
    assert len(set(palette.arm_colours([*palette.ARMS, "mine", "yours"]).values())) >= 9
