"""The commands that train: train, resume, sweep."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from wcord.cli.printing import print_error, print_json
from wcord.cli.words import seeds_of, values_of

if TYPE_CHECKING:
    from wcord.runs import Run


def train(options: argparse.Namespace, changes: dict[str, Any]) -> int:
    """Train an experiment, or estimate its time (`--dry-run`)."""
    from wcord.settings.loading import load
    from wcord.training.distillation import distill

    experiment = load(options.preset).replace(changes)
    if options.dry_run:
        from wcord.analysis.estimate import estimate

        print(estimate(experiment).sentence)
        return 0
    return _finish(distill(experiment, options.run_dir, not options.quiet), options.quiet)


def resume(options: argparse.Namespace, changes: dict[str, Any]) -> int:
    """Continue a run."""
    from wcord.training.distillation import resume

    return _finish(resume(options.run_dir, not options.quiet), options.quiet)


def _finish(run: Run, quiet: bool) -> int:
    """Print the outcome of a run and return the exit code, 0 only for a finished run.

    Raises:
        RuntimeError: the run failed.
    """
    status, summary = run.status, run.summary
    if not quiet:
        print(f"{run.path}: {status.sentence}")
        if summary:
            try:
                print("\n".join(result_lines(summary)))
            except (LookupError, TypeError, ValueError, AttributeError):
                raise ValueError(f"{run.path}: summary.json is damaged; remove it") from None
    if status.state == "failed":
        raise RuntimeError(status.error)
    if status.state == "finished":
        return 0
    number = run.ended_by_signal
    line = f"{status.state} at step {status.step} of {status.total}; wcord resume {run.path}"
    return print_error(f"{line} continues", 1 if number is None else 128 + number)


def result_lines(summary: dict[str, Any]) -> list[str]:
    """Return the results of a run as lines of a table."""
    from wcord.analysis.result_metric import result_metric

    rows = {"teacher": summary["teacher"]} | summary["arms"]
    probes = [key for key in summary["teacher"] if key.startswith("linear_probe_accuracy")]
    metric = result_metric([name for row in summary["arms"].values() for name in row])
    name = metric.removeprefix("test_")
    unit = "R²" if name == "r2" else f"{name.replace('_', ' ')}, per cent"
    lines = [f"{'arm':20} {'test':>7} {'held out':>9}   ({unit}, last epoch)"]
    for arm, row in rows.items():
        if metric not in row:  # outputs without logits, in place of a teacher
            continue
        # None: not defined, such as R² of equal targets
        values = [float("nan") if row[m] is None else row[m] for m in (metric, f"held_out_{name}")]
        line = f"{arm:20} {values[0]:7.2f} {values[1]:9.2f}"
        lines.append(
            line + "".join(f"    {row[key]:6.2f} by {key.replace('_', ' ')}" for key in probes)
        )
    return lines


def sweep(options: argparse.Namespace, changes: dict[str, Any]) -> int:
    """Run a sweep and print its report."""
    from wcord.analysis.report import tabulate
    from wcord.analysis.result_metric import result_metric
    from wcord.analysis.sweep import by_seed, column_names, sweep
    from wcord.settings.loading import load

    experiment = load(options.preset).replace(changes)
    over: dict[str, list[Any]] = {}
    for setting, varied in map(values_of, options.over):
        over[setting] = over.get(setting, []) + varied
    arms = column_names(experiment, over)
    if options.against not in (None, *arms):
        raise ValueError(f"--against: no arm {options.against!r}; there are {', '.join(arms)}")
    table = sweep(experiment, over, seeds_of(options.seeds), options.backend, options.folder)
    values = by_seed(table, over, options.metric)
    if options.format == "csv":
        print(table.to_csv(index=False), end="")
    elif options.format == "json":
        print_json(table.to_dict("records"))
    else:
        against = options.against or ("crd" if "crd" in values else None)
        metric = result_metric(map(str, table), options.metric)
        print(tabulate(values, against, metric).to_markdown())
    failed = table.dropna(subset="error").drop_duplicates("error")
    for _, row in failed.iterrows():
        print(f"wcord: failed: {row['run']}: {row['error']}", file=sys.stderr)
    return 1 if len(failed) else 0
