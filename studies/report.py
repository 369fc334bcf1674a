"""The text of results/NAME.md, a pure function of a study and its table of values."""

from __future__ import annotations

import math

import pandas as pd

from studies.study import Study
from wcord.analysis.markdown import literal, row
from wcord.analysis.report import tabulate
from wcord.analysis.statistics import Paired, compare, judged


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
        make_table = TABLES[study.measure] if study.runs == [{}] else _runs_tables
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
    lines = _head(titles)
    for arm in wide:
        cells = [literal(arm), spread(wide[arm]), *result.comparison(arm)]
        lines.append(row([*cells, *(spread(metric_values[arm]) for metric_values in other_values)]))
    note = f"Mean ± standard deviation over {len(wide)} seeds. {result.conditions}"
    return "\n".join([*lines, "", note.strip()])


def _runs_tables(study: Study, values: pd.DataFrame) -> str:
    """Return a table of each metric, and one of the differences, with a column for each run."""
    runs = list(dict.fromkeys(values["run"]))
    tables = []
    for metric in study.metrics:
        lines = _head([label(metric), *runs])
        by_run = [by_arm(values[values["run"] == run], metric) for run in runs]
        for arm in by_run[0]:
            cells = [spread(wide[arm], 2 if metric == study.metrics[0] else 3) for wide in by_run]
            if set(cells) != {"–"}:
                lines.append(row([literal(arm), *cells]))
        tables.append("\n".join(lines))
    note = f"Mean ± standard deviation over {values['seed'].nunique()} seeds."
    return "\n\n".join([tables[0], *_differences(study, values, runs), *tables[1:], note])


def _differences(study: Study, values: pd.DataFrame, runs: list[str]) -> list[str]:
    """Return a table of `Study.differences` and what its numbers mean; nothing without them."""
    arms = set(values["arm"])
    pairs = [pair for pair in study.differences if arms.issuperset(pair)]
    if not pairs:
        return []
    by_run = {
        run: differences(values[values["run"] == run], pairs, study.metrics[0]) for run in runs
    }
    lines = _head([f"difference in {label(study.metrics[0])}", *runs])
    for pair in pairs:
        cells = [difference_text(compared[pair]) for compared in by_run.values()]
        lines.append(row([literal(f"{pair[0]} − {pair[1]}"), *cells]))
    note = (
        "Mean difference, paired by seed, ± half the width of its single 95 % interval (Student's "
        "t). Bold: better or worse by the t-test at 5 %, corrected for the "
        f"{len(pairs)} comparisons of its column (Holm), not for the choice of a column."
    )
    return ["\n".join(lines), note]


def differences(
    values: pd.DataFrame, pairs: list[tuple[str, str]], metric: str
) -> dict[tuple[str, str], Paired]:
    """Return the comparison of each pair of arms at one entry of `runs`.

    p values and verdicts are corrected for all pairs (Holm); the intervals are single ones.
    """
    wide = by_arm(values, metric)
    return judged({(a, b): compare(wide[[a, b]], b)[a] for a, b in pairs})


def difference_text(found: Paired) -> str:
    """Return a difference and the half-width of its interval, bold if it is better or worse."""
    text = f"{found.difference:+.2f}"
    if not math.isnan(found.low):
        text += f" ± {(found.high - found.low) / 2:.2f}"
    return f"**{text}**" if found.verdict in ("better", "worse") else text


def _head(titles: list[str]) -> list[str]:
    return [row(titles), row(["---"] * len(titles))]


def _gradient_table(study: Study, values: pd.DataFrame) -> str:
    wide = {metric: by_arm(values, metric) for metric in study.metrics}
    titles = ["arm", *map(label, study.metrics)]
    lines = _head(titles)
    for arm in wide[study.metrics[0]]:
        lines.append(row([literal(arm), *(spread(norms[arm], 4) for norms in wide.values())]))
    count = values["seed"].nunique()
    return "\n".join([*lines, "", f"Mean ± standard deviation over {count} seeds."])


def trials(study: Study, values: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return, by arm, one row per preset and seed and one column per trial of its weights."""
    _, cell = study.cells(next(iter(study.presets)))[0]
    wide = values.pivot(index=["preset", "seed"], columns="arm", values=study.metrics[0])
    arms: dict[str, list[str]] = {}
    for name, (arm, _) in cell.variants.items():
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
    lines = _head(titles)
    for arm, values in trials(study, table).items():
        for trial in map(str, values):
            tasks = values[trial].groupby(level="preset").mean()
            means = [f"{tasks[p]:.1f}" if p in tasks else "–" for p in study.presets]
            mark = "chosen" if chosen[arm] == trial else ""
            weights = literal(trial.removeprefix(f"{arm} "))
            lines.append(row([literal(arm), weights, *means, f"{values[trial].mean():.1f}", mark]))
    return "\n".join(lines)


TABLES = {
    "results": _comparison_table,
    "gradients": _gradient_table,
    "heads": _comparison_table,
}


def label(metric: str) -> str:
    """Return a metric's name with spaces."""
    return metric.replace("_", " ")
