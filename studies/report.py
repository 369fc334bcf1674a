"""A study's results as text: a pure function of its entry in studies.yaml and its table."""

from __future__ import annotations

import pandas as pd

from studies.study import Study
from wcord.analysis.markdown import literal, row
from wcord.analysis.report import tabulate


def report(name: str, study: Study, table: pd.DataFrame) -> str:
    """Return results/NAME.md: the question, the conditions, one table a preset (one of weights).

    Args:
        name: of the study.
        study: its entry.
        table: of `studies.measure.measured`, or read back from results/NAME.csv.
    """
    parts = [f"# {study.title}", study.question.strip(), conditions(name, study, table)]
    if study.measure == "weights":
        parts.append(_tried(study, table))
    else:
        show = _listed if study.measure == "gradients" else _compared
        for preset in study.presets:
            if len(study.presets) > 1:
                parts.append(f"## {preset}")
            parts.append(show(study, table[table["preset"] == preset]))
    if study.remark:
        parts.append(study.remark.strip())
    return "\n\n".join(parts) + "\n"


def conditions(name: str, study: Study, table: pd.DataFrame) -> str:
    """Return how the numbers were made, in one paragraph."""
    seeds = study.seeds
    said = f"{seeds[0]} to {seeds[-1]}" if seeds == list(range(seeds[0], seeds[-1] + 1)) else seeds
    ran_by = " and ".join(
        f"{program} {version}"
        for program in ("Python", "torch")
        for version in sorted(table[program.lower()].unique())
    )
    when = "last epoch" if study.measure != "gradients" else f"after epochs {study.epochs}"
    presets = ", ".join(f"`{preset}`" for preset in study.presets)
    return (
        f"`python -m studies {name}` · {presets} · seeds {said} · {when} · one thread of a "
        f"machine with two CPU cores, float32, {ran_by}. Every value: `{name}.csv`; every setting: "
        f"`studies/studies.yaml`, entry `{name}`."
    )


def by_arm(values: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return one row a seed and one column an arm, in the order of the rows."""
    wide = values.pivot(index="seed", columns="arm", values=metric)
    return wide[list(dict.fromkeys(values["arm"]))]


def spread(values: pd.Series, digits: int = 2) -> str:
    """Return mean ± standard deviation, or a dash where there is nothing."""
    if values.isna().all():
        return "–"
    return f"{values.mean():.{digits}f} ± {values.std(ddof=1):.{digits}f}"


def _compared(study: Study, values: pd.DataFrame) -> str:
    first, *others = study.metrics
    wide = by_arm(values, first)
    result = tabulate(wide, study.against, first)
    more = [by_arm(values, metric) for metric in others]
    against = f"against {literal(result.against)}"
    titles = ["arm", words(first), against, "95 % interval", "verdict", *map(words, others)]
    lines = [row(titles), row(["---"] * len(titles))]
    for arm in wide:
        cells = [literal(arm), spread(wide[arm]), *result.comparison(arm)]
        lines.append(row([*cells, *(spread(of_metric[arm]) for of_metric in more)]))
    under = f"Mean ± standard deviation over {len(wide)} seeds. {result.conditions}"
    return "\n".join([*lines, "", under.strip()])


def _listed(study: Study, values: pd.DataFrame) -> str:
    wide = {metric: by_arm(values, metric) for metric in study.metrics}
    titles = ["arm", *map(words, study.metrics)]
    lines = [row(titles), row(["---"] * len(titles))]
    for arm in wide[study.metrics[0]]:
        lines.append(row([literal(arm), *(spread(of[arm], 4) for of in wide.values())]))
    count = values["seed"].nunique()
    return "\n".join([*lines, "", f"Mean ± standard deviation over {count} seeds."])


def trials(study: Study, values: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return, by arm, one row a preset and seed and one column a trial of its weights."""
    variants = study.cells(next(iter(study.presets)))[0].variants
    wide = values.pivot(index=["preset", "seed"], columns="arm", values=study.metrics[0])
    arms: dict[str, list[str]] = {}
    for name, (arm, _) in variants.items():
        if name in wide:  # not where the label sets of a preset rule the arm out
            arms.setdefault(arm, []).append(name)
    return {arm: wide[names].dropna(how="all") for arm, names in arms.items()}


def chosen(study: Study, table: pd.DataFrame) -> dict[str, str]:
    """Return the trial that each arm keeps, chosen over all presets together.

    The one of highest mean, unless the incumbent is within one standard error of it, paired by
    preset and seed.
    """
    kept = {}
    for arm, values in trials(study, table).items():
        best, held = str(values.mean().idxmax()), study.incumbents.get(arm)
        if held is not None:
            ahead = (values[best] - values[held]).to_numpy(float)
            error = ahead.std(ddof=1) / len(ahead) ** 0.5
            best = held if ahead.mean() <= error else best
        kept[arm] = best
    return kept


def _tried(study: Study, table: pd.DataFrame) -> str:
    kept = chosen(study, table)
    titles = ["arm", "trial", *study.presets, "together", ""]
    lines = [row(titles), row(["---"] * len(titles))]
    for arm, values in trials(study, table).items():
        for trial in map(str, values):
            tasks = values[trial].groupby(level="preset").mean()
            means = [f"{tasks[p]:.1f}" if p in tasks else "–" for p in study.presets]
            mark = "chosen" if kept[arm] == trial else ""
            said = literal(trial.removeprefix(f"{arm} "))
            lines.append(row([literal(arm), said, *means, f"{values[trial].mean():.1f}", mark]))
    return "\n".join(lines)


def words(metric: str) -> str:
    """Return a metric's name as people write it."""
    return metric.replace("_", " ")
