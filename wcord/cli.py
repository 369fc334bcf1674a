"""The command line: presets, train, resume, runs, report, doctor.

Dotted options go to `Experiment.replace`, so there is one validator and one message for
command line, page and notebook. Exit code 2: the user's mistake; 1: a failure.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

import yaml

from wcord.storage import StorageError

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
            changes[name] = yaml.safe_load(text)
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
    report = add("report", _report, "compare the arms of finished runs (one run a seed)")
    report.add_argument("run_dirs", nargs="+", metavar="RUN")
    report.add_argument("--against", help="arm that the others are compared with")
    report.add_argument("--metric", default="test_accuracy")
    report.add_argument("--format", choices=["markdown", "csv"], default="markdown")
    add("doctor", _doctor, "say what this machine offers and whether everything is in place")
    return parser


def _presets(asked: argparse.Namespace, changes: dict[str, Any]) -> int:
    from wcord.experiment import load, presets

    for name in presets():
        experiment = load(name)
        print(f"{name:34} {experiment.title}")
    return 0


def _train(asked: argparse.Namespace, changes: dict[str, Any]) -> int:
    from wcord.distillation import distill
    from wcord.experiment import load

    experiment = load(asked.preset).replace(changes)
    if not asked.quiet:
        from wcord.estimation import estimate

        print(estimate(experiment).sentence)
    return _ended(distill(experiment, asked.run_dir, progress=not asked.quiet), asked.quiet)


def _resume(asked: argparse.Namespace, changes: dict[str, Any]) -> int:
    from wcord.distillation import resume

    return _ended(resume(asked.run_dir, progress=not asked.quiet), asked.quiet)


def _ended(run: Any, quiet: bool) -> int:
    status, summary = run.status, run.summary
    if not quiet:
        print(f"{run.path}: {status.sentence}")
        if summary:
            print(f"{'arm':20} {'test':>7} {'held out':>9}   (accuracy, per cent, last epoch)")
            teacher = summary["teacher"]
            rows = {"teacher": teacher} | summary["arms"]
            for arm, row in rows.items():
                print(f"{arm:20} {row['test_accuracy']:7.2f} {row['held_out_accuracy']:9.2f}")
    if status["state"] == "failed":
        raise RuntimeError(status["error"])
    return 0


def _runs(asked: argparse.Namespace, changes: dict[str, Any]) -> int:
    from wcord.runs import list_runs, runs_folder

    runs = list_runs()
    if not runs:
        print(f"no runs in {runs_folder()}")
    for run in runs:
        print(f"{run.name:44} {run.status.sentence}")
    return 0


def _report(asked: argparse.Namespace, changes: dict[str, Any]) -> int:
    from wcord.comparison import report
    from wcord.runs import Run

    table = report([Run(path) for path in asked.run_dirs], asked.against, asked.metric)
    print(table.to_csv() if asked.format == "csv" else table.to_markdown())
    return 0


def _doctor(asked: argparse.Namespace, changes: dict[str, Any]) -> int:
    from wcord.diagnosis import examine

    lines, sound = examine()
    print("\n".join(lines))
    return 0 if sound else 1
