"""The command line: presets, train, resume, runs, sweep, report, doctor.

Dotted options go to `Experiment.replace`, so there is one validator and one message for
command line, page and notebook. Exit code 2: the user's mistake; 1: a failure.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import yaml

from wcord.runs.storage import StorageError

Command = Callable[[argparse.Namespace, dict[str, Any]], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = _parser()
    asked, rest = parser.parse_known_args(arguments)
    try:
        if rest and not getattr(asked, "dotted", False):
            raise ValueError(f"unknown option {rest[0]!r}; see wcord {asked.command} --help")
        return asked.run(asked, dotted(rest))
    except ValueError as error:
        return _complain(error, 2)
    except KeyboardInterrupt:
        return _complain("interrupted", 1)
    except (StorageError, OSError, RuntimeError) as error:
        return _complain(error, 1)


def _complain(error: object, code: int) -> int:
    line = " ".join(str(error).split()) or type(error).__name__
    print(f"wcord: {line}", file=sys.stderr)
    return code


def dotted(rest: Sequence[str]) -> dict[str, Any]:
    """Return {"epochs": 3} of ["--epochs", "3"]; values are read as YAML.

    >>> dotted(["--arms.wcord.gckt.weight", "1.5", "--student.view=[luminance]"])
    {'arms.wcord.gckt.weight': 1.5, 'student.view': ['luminance']}
    """
    changes: dict[str, Any] = {}
    words = list(rest)
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            raise ValueError(f"unexpected {word!r}: settings are given as --name value")
        name, equals, text = word[2:].partition("=")
        if not equals:
            if not words:
                raise ValueError(f"--{name} needs a value")
            text = words.pop(0)
        try:
            value = yaml.safe_load(text)
            is_text = isinstance(value, dict) and not text.lstrip().startswith("{")  # such as npz:
            changes[name] = text if is_text else value
        except yaml.YAMLError as error:
            raise ValueError(f"--{name}: {text!r} is no YAML value") from error
    return changes


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "wcord",
        description="Wasserstein Contrastive Representation Distillation",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run: Command, text: str, **more: Any) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name, help=text, description=text, allow_abbrev=False, epilog=more.pop("epilog", None)
        )
        command.set_defaults(run=run, **more)
        return command

    add("presets", _presets, "list the presets and what each shows")
    train = add(
        "train",
        _train,
        "train a preset or a settings file, here and now",
        dotted=True,
        epilog="any setting is an option: --epochs 3 --arms.wcord.gckt.weight 1",
    )
    train.add_argument("preset", help="name of a preset, or a .yaml file")
    train.add_argument("--run-dir", help="a new directory (default: in $WCORD_RUNS)")
    train.add_argument("--quiet", action="store_true", help="no bar, no table")
    resume = add("resume", _resume, "go on with a run from its newest checkpoint")
    resume.add_argument("run_dir", metavar="RUN")
    resume.add_argument("--quiet", action="store_true", help="no bar, no table")
    add("runs", _runs, "list the runs in $WCORD_RUNS")
    sweep = add(
        "sweep",
        _sweep,
        "run a preset for several seeds, and for every value of what is varied",
        dotted=True,
        epilog="--over arms.wcord.gckt.weight=1,5 may be given several times; any other setting "
        "is an option. The same command goes on where it was interrupted.",
    )
    sweep.add_argument("preset", help="name of a preset, or a .yaml file")
    sweep.add_argument("--seeds", default="3", help="how many (10), or which (20,21,22)")
    sweep.add_argument(
        "--over", action="append", default=[], metavar="SETTING=VALUES", help="a,b,c or a YAML list"
    )
    sweep.add_argument("--backend", default="local", help="local or ray")
    sweep.add_argument("--folder", help="where the runs lie (default: in $WCORD_RUNS/sweeps)")
    _ask_for_report(sweep)
    report = add("report", _report, "compare the arms of finished runs (one run a seed)")
    report.add_argument("run_dirs", nargs="+", metavar="RUN")
    _ask_for_report(report)
    add("doctor", _doctor, "say what this machine offers and whether everything is in place")
    return parser


def _ask_for_report(command: argparse.ArgumentParser) -> None:
    command.add_argument("--against", help="arm that the others are compared with")
    command.add_argument("--metric", default="test_accuracy")
    command.add_argument("--format", choices=["markdown", "csv"], default="markdown")


def _presets(asked: argparse.Namespace, changes: dict[str, Any]) -> int:
    from wcord.settings.loading import load, presets

    for name in presets():
        experiment = load(name)
        print(f"{name:36} {experiment.title}")
    return 0


def _train(asked: argparse.Namespace, changes: dict[str, Any]) -> int:
    from wcord.settings.loading import load
    from wcord.training.distillation import distill

    experiment = load(asked.preset).replace(changes)
    if not asked.quiet:
        from wcord.analysis.estimate import estimate

        print(estimate(experiment).sentence)
    with _doubts_in_a_line():
        run = distill(experiment, asked.run_dir, progress=not asked.quiet)
    return _ended(run, asked.quiet)


def _resume(asked: argparse.Namespace, changes: dict[str, Any]) -> int:
    from wcord.training.distillation import resume

    with _doubts_in_a_line():
        run = resume(asked.run_dir, progress=not asked.quiet)
    return _ended(run, asked.quiet)


@contextmanager
def _doubts_in_a_line() -> Iterator[None]:
    """Print what speaks against a teacher without the place in the code where it was found."""
    from wcord.training.teacher_checks import TeacherWarning

    with warnings.catch_warnings():
        before = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: Any) -> None:
            if issubclass(category, TeacherWarning):
                print(f"wcord: {message}", file=sys.stderr)
            else:
                before(message, category, *place)

        warnings.showwarning = show  # type: ignore[assignment]
        yield


def _ended(run: Any, quiet: bool) -> int:
    status, summary = run.status, run.summary
    if not quiet:
        print(f"{run.path}: {status.sentence}")
        if summary:
            _print_results(summary)
    if status["state"] == "failed":
        raise RuntimeError(status["error"])
    return 0


def _print_results(summary: dict[str, Any]) -> None:
    rows = {"teacher": summary["teacher"]} | summary["arms"]
    probes = [key for key in summary["teacher"] if key.startswith("linear_probe_accuracy")]
    print(f"{'arm':20} {'test':>7} {'held out':>9}   (accuracy, per cent, last epoch)")
    for arm, row in rows.items():
        line = f"{arm:20} {row['test_accuracy']:7.2f} {row['held_out_accuracy']:9.2f}"
        print(line, *(f"   {row[key]:6.2f} by {key.replace('_', ' ')}" for key in probes))


def _runs(asked: argparse.Namespace, changes: dict[str, Any]) -> int:
    from wcord.runs import list_runs, runs_folder

    runs = list_runs()
    if not runs:
        print(f"no runs in {runs_folder()}")
    for run in runs:
        print(f"{run.name:44} {run.status.sentence}")
    return 0


def _report(asked: argparse.Namespace, changes: dict[str, Any]) -> int:
    from wcord.analysis.report import report
    from wcord.runs import Run

    table = report([Run(path) for path in asked.run_dirs], asked.against, asked.metric)
    print(table.to_csv() if asked.format == "csv" else table.to_markdown())
    return 0


def _sweep(asked: argparse.Namespace, changes: dict[str, Any]) -> int:
    from wcord.analysis.report import tabulate
    from wcord.analysis.sweep import by_seed, columns, sweep
    from wcord.settings.loading import load

    experiment = load(asked.preset).replace(changes)
    over: dict[str, list[Any]] = {}
    for setting, listed in map(values_of, asked.over):
        over[setting] = over.get(setting, []) + listed
    known = columns(experiment, over)
    if asked.against not in (None, *known):
        raise ValueError(f"--against: no arm {asked.against!r}; there are {', '.join(known)}")
    table = sweep(experiment, over, seeds_of(asked.seeds), asked.backend, asked.folder)
    values = by_seed(table, over, asked.metric)
    if asked.format == "csv":
        print(table.to_csv(index=False), end="")
    else:
        against = asked.against or ("crd" if "crd" in values else None)
        print(tabulate(values, against, asked.metric).to_markdown())
    failed = table.dropna(subset="error").drop_duplicates("error")
    for _, row in failed.iterrows():
        print(f"wcord: failed: {row['run']}: {row['error']}", file=sys.stderr)
    return 1 if len(failed) else 0


def seeds_of(text: str) -> int | list[int]:
    """Return how many seeds, or which.

    >>> seeds_of("10"), seeds_of("20,21")
    (10, [20, 21])
    """
    try:
        seeds = [int(word) for word in text.split(",")]
    except ValueError:
        raise ValueError(f"--seeds: a number (10) or a list (20,21,22), not {text!r}") from None
    if len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise ValueError(f"--seeds: {text} holds a seed twice or a negative one")
    return seeds if "," in text else seeds[0]


def values_of(text: str) -> tuple[str, list[Any]]:
    """Return a setting and the values it is to take.

    >>> values_of("arms.wcord.lckt.plan=sinkhorn,identity")
    ('arms.wcord.lckt.plan', ['sinkhorn', 'identity'])
    >>> values_of("student.view=[[left], [right]]")
    ('student.view', [['left'], ['right']])
    """
    setting, equals, listed = text.partition("=")
    if not equals or not listed.strip():
        raise ValueError(f"--over {text}: write a setting and its values, SETTING=a,b,c")
    try:
        values = yaml.safe_load(listed if listed.startswith("[") else f"[{listed}]")
    except yaml.YAMLError as error:
        raise ValueError(f"--over {setting}: {listed!r} is no list of YAML values") from error
    if not isinstance(values, list):
        raise ValueError(f"--over {setting}: {listed!r} is no list of values")
    return setting.strip(), values


def _doctor(asked: argparse.Namespace, changes: dict[str, Any]) -> int:
    from wcord.analysis.doctor import examine

    lines, sound = examine()
    print("\n".join(lines))
    return 0 if sound else 1
