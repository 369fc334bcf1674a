"""The text of results/NAME.md, a pure function of a study and its table of values."""

from __future__ import annotations

import pandas as pd

from studies.study import Study
from wcord.analysis.markdown import literal, row
from wcord.analysis.report import tabulate


def report(name: str, study: Study, table: pd.DataFrame) -> str:
    """Return the question, the conditions and a table per preset (one table for weights).

    Args:
        name: name of the study.
        study: its entry in studies.yaml.
        table: values of `studies.measure.run_study`, or results/NAME.csv.
    """
    parts = [f"# {study.title}", study.question.strip(), conditions(name, study, table)]
    if study.measure == "weights":
        parts.append(_trial_table(study, table))
    else:
        make_table = _gradient_table if study.measure == "gradients" else _comparison_table
        for preset in study.presets:
            if len(study.presets) > 1:
                parts.append(f"## {preset}")
            parts.append(make_table(study, table[table["preset"] == preset]))
    if study.remark:
        parts.append(study.remark.strip())
    return "\n\n".join(parts) + "\n"


def conditions(name: str, study: Study, table: pd.DataFrame) -> str:
    """Return the conditions of the measurement, in one paragraph."""
    seeds = study.seeds
    consecutive = seeds == list(range(seeds[0], seeds[-1] + 1))
    seed_text = f"{seeds[0]} to {seeds[-1]}" if consecutive else seeds
    versions = " and ".join(
        f"{program} {version}"
        for program in ("Python", "torch")
        for version in sorted(table[program.lower()].unique())
    )
    when = "last epoch" if study.measure != "gradients" else f"after epochs {study.epochs}"
    presets = ", ".join(f"`{preset}`" for preset in study.presets)
    return (
        f"`python -m studies {name}` · {presets} · seeds {seed_text} · {when} · one thread of a "
        f"machine with two CPU cores, float32, {versions}. Every value: `{name}.csv`; every "
        f"setting: `studies/studies.yaml`, entry `{name}`."
    )


def by_arm(values: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return one row per seed and one column per arm, in the order of the rows."""
    wide = values.pivot(index="seed", columns="arm", values=metric)
    return wide[list(dict.fromkeys(values["arm"]))]


def spread(values: pd.Series, digits: int = 2) -> str:
    """Return mean ± standard deviation, or a dash where every value is missing."""
    if values.isna().all():
        return "–"
    return f"{values.mean():.{digits}f} ± {values.std(ddof=1):.{digits}f}"


def _comparison_table(study: Study, values: pd.DataFrame) -> str:
    first, *others = study.metrics
    wide = by_arm(values, first)
    result = tabulate(wide, study.against, first)
    other_values = [by_arm(values, metric) for metric in others]
    against = f"against {literal(result.against)}"
    titles = ["arm", label(first), against, "95 % interval", "verdict", *map(label, others)]
    lines = [row(titles), row(["---"] * len(titles))]
    for arm in wide:
        cells = [literal(arm), spread(wide[arm]), *result.comparison(arm)]
        lines.append(row([*cells, *(spread(metric_values[arm]) for metric_values in other_values)]))
    note = f"Mean ± standard deviation over {len(wide)} seeds. {result.conditions}"
    return "\n".join([*lines, "", note.strip()])


def _gradient_table(study: Study, values: pd.DataFrame) -> str:
    wide = {metric: by_arm(values, metric) for metric in study.metrics}
    titles = ["arm", *map(label, study.metrics)]
    lines = [row(titles), row(["---"] * len(titles))]
    for arm in wide[study.metrics[0]]:
        lines.append(row([literal(arm), *(spread(norms[arm], 4) for norms in wide.values())]))
    count = values["seed"].nunique()
    return "\n".join([*lines, "", f"Mean ± standard deviation over {count} seeds."])


def trials(study: Study, values: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return, by arm, one row per preset and seed and one column per trial of its weights."""
    variants = study.cells(next(iter(study.presets)))[0].variants
    wide = values.pivot(index=["preset", "seed"], columns="arm", values=study.metrics[0])
    arms: dict[str, list[str]] = {}
    for name, (arm, _) in variants.items():
        if name in wide:  # an arm on logits is missing where label sets differ
            arms.setdefault(arm, []).append(name)
    return {arm: wide[names].dropna(how="all") for arm, names in arms.items()}


def chosen_trials(study: Study, table: pd.DataFrame) -> dict[str, str]:
    """Return the trial of each arm with the highest mean over all presets and seeds.

    An incumbent is preferred unless its mean is lower by more than one standard error of the
    difference, paired by preset and seed.
    """
    chosen = {}
    for arm, values in trials(study, table).items():
        best, incumbent = str(values.mean().idxmax()), study.incumbents.get(arm)
        if incumbent is not None:
            lead = (values[best] - values[incumbent]).to_numpy(float)
            error = lead.std(ddof=1) / len(lead) ** 0.5
            best = incumbent if lead.mean() <= error else best
        chosen[arm] = best
    return chosen


def _trial_table(study: Study, table: pd.DataFrame) -> str:
    chosen = chosen_trials(study, table)
    titles = ["arm", "trial", *study.presets, "together", ""]
    lines = [row(titles), row(["---"] * len(titles))]
    for arm, values in trials(study, table).items():
        for trial in map(str, values):
            tasks = values[trial].groupby(level="preset").mean()
            means = [f"{tasks[p]:.1f}" if p in tasks else "–" for p in study.presets]
            mark = "chosen" if chosen[arm] == trial else ""
            weights = literal(trial.removeprefix(f"{arm} "))
            lines.append(row([literal(arm), weights, *means, f"{values[trial].mean():.1f}", mark]))
    return "\n".join(lines)


def label(metric: str) -> str:
    """Return a metric's name with spaces."""
    return metric.replace("_", " ")
