"""The command line: presets, train, resume, runs, sweep, report, doctor.

Dotted options go to `Experiment.replace`, so that command line, page and notebook share one
validator and its messages. Exit code 2 means a mistake of the user, 1 any other failure.

Other packages add commands by entry points of the group `wcord.commands`. Each names a function
`command(parser)`, which adds the options to an `argparse.ArgumentParser` and returns the function
that runs the command: of the parsed options, to the exit code. The first line of its docstring is
the help.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

import yaml

from wcord.errors import first_line

if TYPE_CHECKING:
    from wcord.runs import Run

Command = Callable[[argparse.Namespace, dict[str, Any]], int]

GROUP = "wcord.commands"
LAB = "pip install 'wcord[lab]'"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    parser, commands = _parser()
    if words and not words[0].startswith("-") and words[0] not in commands:
        more = "" if entry_points(group=GROUP) else f"; the lab adds more: {LAB}"
        return _print_error(f"no command {words[0]!r}; there are {', '.join(commands)}{more}", 2)
    options, rest = parser.parse_known_args(words)
    if "" not in sys.path:
        sys.path.append("")  # the working directory, which may hold plugins
    try:
        if rest and not getattr(options, "dotted", False):
            raise ValueError(f"unknown option {rest[0]!r}; see wcord {options.command} --help")
        return options.run(options, dotted(rest))
    except ValueError as error:
        return _print_error(error, 2)
    except KeyboardInterrupt:
        return _print_error("interrupted", 1)
    except (OSError, RuntimeError) as error:
        return _print_error(error, 1)


def _print_error(error: object, code: int) -> int:
    line = " ".join(str(error).split()) or type(error).__name__
    print(f"wcord: {line}", file=sys.stderr)
    return code


def dotted(rest: Sequence[str]) -> dict[str, Any]:
    """Parse options such as --epochs 3 into changes of settings; values are read as YAML.

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
            # "npz:" is a table in YAML, but a user means a text
            is_text = isinstance(value, dict) and not text.lstrip().startswith("{")
            changes[name] = text if is_text else value
        except yaml.YAMLError as error:
            raise ValueError(f"--{name}: {text!r} is not YAML") from error
    return changes


def _parser() -> tuple[argparse.ArgumentParser, Collection[str]]:
    """Return the parser, and the names of all commands."""
    parser = argparse.ArgumentParser(
        "wcord",
        description="Wasserstein Contrastive Representation Distillation",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(
        name: str, run: Command, text: str, epilog: str | None = None, **defaults: Any
    ) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name, help=text, description=text, allow_abbrev=False, epilog=epilog
        )
        command.set_defaults(run=run, **defaults)
        return command

    add("presets", _presets, "list the presets with their titles")
    train = add(
        "train",
        _train,
        "train a preset or a settings file in this process",
        dotted=True,
        epilog="any setting is an option: --epochs 3 --arms.wcord.gckt.weight 1",
    )
    train.add_argument("preset", help="name of a preset, or a .yaml file")
    train.add_argument("--run-dir", help="a new directory (default: in $WCORD_RUNS)")
    train.add_argument("--quiet", action="store_true", help="print no progress and no results")
    resume = add("resume", _resume, "continue a run from its newest checkpoint")
    resume.add_argument("run_dir", metavar="RUN")
    resume.add_argument("--quiet", action="store_true", help="print no progress and no results")
    add("runs", _runs, "list the runs in $WCORD_RUNS")
    sweep = add(
        "sweep",
        _sweep,
        "run a preset for several seeds and for every combination of varied settings",
        dotted=True,
        epilog="--over arms.wcord.gckt.weight=1,5 may be repeated; any other setting is an option. "
        "The same command continues an interrupted sweep.",
    )
    _add_sweep_options(sweep)
    _add_report_options(sweep)
    report = add("report", _report, "compare the arms of finished runs (one run per seed)")
    report.add_argument("run_dirs", nargs="+", metavar="RUN")
    _add_report_options(report)
    add("doctor", _doctor, "check packages, device and folders of this machine")
    for point in sorted(entry_points(group=GROUP)):
        if point.name not in commands.choices:
            _add_command_of_package(point, add)
    return parser, commands.choices


def _add_command_of_package(point: EntryPoint, add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command of an entry point; where it cannot be loaded, one that says why."""

    def run(options: argparse.Namespace, changes: dict[str, Any]) -> int:
        try:
            return start(options)
        except ImportError as error:
            raise ValueError(_reason(point, error)) from error

    def refuse(options: argparse.Namespace, changes: dict[str, Any]) -> int:
        raise ValueError(reason)

    try:
        begin = point.load()
    except Exception as error:  # whatever is wrong with it, the other commands work
        reason = _reason(point, error)
        command = add(point.name, refuse, f"cannot be used: {reason}", dotted=True)
        command.add_argument("words", nargs="*", help=argparse.SUPPRESS)
        return
    text = (begin.__doc__ or point.value).splitlines()[0].rstrip(".")
    start = begin(add(point.name, run, text[:1].lower() + text[1:]))


def _reason(point: EntryPoint, error: Exception) -> str:
    """Return why the command of an entry point cannot be used, and what to install."""
    if not isinstance(error, ImportError):
        return f"wcord {point.name} is damaged: {first_line(error)}"
    package = point.dist.name if point.dist else "wcord"
    extras = f"[{','.join(point.extras)}]" if point.extras else ""
    needed = f"the package {error.name}" if error.name else first_line(error)
    return f"wcord {point.name} needs {needed}: pip install '{package}{extras}'"


def _add_sweep_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("preset", help="name of a preset, or a .yaml file")
    command.add_argument(
        "--seeds", default="3", help="number of seeds (10) or a list of them (20,21,22)"
    )
    command.add_argument(
        "--over", action="append", default=[], metavar="SETTING=VALUES", help="a,b,c or a YAML list"
    )
    command.add_argument("--backend", default="local", help="local or ray")
    command.add_argument("--folder", help="folder of the runs (default: in $WCORD_RUNS/sweeps)")


def _add_report_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--against", help="arm that the others are compared with")
    command.add_argument(
        "--metric", help="a result of the arms (default: that of the test part, test_accuracy)"
    )
    command.add_argument("--format", choices=["markdown", "csv"], default="markdown")


def _presets(options: argparse.Namespace, changes: dict[str, Any]) -> int:
    from wcord.settings.loading import load, presets

    for name in presets():
        experiment = load(name)
        print(f"{name:36} {experiment.title}")
    return 0


def _train(options: argparse.Namespace, changes: dict[str, Any]) -> int:
    from wcord.settings.loading import load
    from wcord.training.distillation import distill

    experiment = load(options.preset).replace(changes)
    if not options.quiet:
        from wcord.analysis.estimate import estimate

        print(estimate(experiment).sentence)
    with _one_line_for_teacher_warnings():
        run = distill(experiment, options.run_dir, progress=not options.quiet)
    return _finish(run, options.quiet)


def _resume(options: argparse.Namespace, changes: dict[str, Any]) -> int:
    from wcord.training.distillation import resume

    with _one_line_for_teacher_warnings():
        run = resume(options.run_dir, progress=not options.quiet)
    return _finish(run, options.quiet)


@contextmanager
def _one_line_for_teacher_warnings() -> Iterator[None]:
    """Print a `TeacherWarning` in one line on stderr, without its file and line number."""
    from wcord.training.teacher_checks import TeacherWarning

    with warnings.catch_warnings():
        default = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *source: Any) -> None:
            if issubclass(category, TeacherWarning):
                print(f"wcord: {message}", file=sys.stderr)
            else:
                default(message, category, *source)

        warnings.showwarning = show  # type: ignore[assignment]
        yield


def _finish(run: Run, quiet: bool) -> int:
    """Print the outcome of a run and return the exit code.

    Raises:
        RuntimeError: the run failed.
    """
    status, summary = run.status, run.summary
    if not quiet:
        print(f"{run.path}: {status.sentence}")
        if summary:
            _print_results(summary)
    if status.state == "failed":
        raise RuntimeError(status.error)
    return 0


def _print_results(summary: dict[str, Any]) -> None:
    from wcord.analysis.result_metric import result_metric

    rows = {"teacher": summary["teacher"]} | summary["arms"]
    metric = result_metric([name for row in summary["arms"].values() for name in row])
    name = metric.removeprefix("test_")
    unit = "R²" if name == "r2" else f"{name.replace('_', ' ')}, per cent"
    probes = [key for key in summary["teacher"] if key.startswith("linear_probe_accuracy")]
    print(f"{'arm':20} {'test':>7} {'held out':>9}   ({unit}, last epoch)")
    for arm, row in rows.items():
        if metric not in row:  # outputs without logits, in place of a teacher
            continue
        # None: not defined, such as R² of equal targets
        values = [float("nan") if row[m] is None else row[m] for m in (metric, f"held_out_{name}")]
        line = f"{arm:20} {values[0]:7.2f} {values[1]:9.2f}"
        print(line, *(f"   {row[key]:6.2f} by {key.replace('_', ' ')}" for key in probes))


def _runs(options: argparse.Namespace, changes: dict[str, Any]) -> int:
    from wcord.runs import list_runs, runs_folder

    runs = list_runs()
    if not runs:
        print(f"no runs in {runs_folder()}")
    for run in runs:
        print(f"{run.name:44} {run.status.sentence}")
    return 0


def _report(options: argparse.Namespace, changes: dict[str, Any]) -> int:
    from wcord.analysis.report import report
    from wcord.runs import Run

    table = report([Run(path) for path in options.run_dirs], options.against, options.metric)
    print(table.to_csv() if options.format == "csv" else table.to_markdown())
    return 0


def _sweep(options: argparse.Namespace, changes: dict[str, Any]) -> int:
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
    else:
        against = options.against or ("crd" if "crd" in values else None)
        metric = result_metric(map(str, table), options.metric)
        print(tabulate(values, against, metric).to_markdown())
    failed = table.dropna(subset="error").drop_duplicates("error")
    for _, row in failed.iterrows():
        print(f"wcord: failed: {row['run']}: {row['error']}", file=sys.stderr)
    return 1 if len(failed) else 0


def seeds_of(text: str) -> int | list[int]:
    """Parse the option --seeds: the number of seeds, or a list of seeds.

    >>> seeds_of("10"), seeds_of("20,21")
    (10, [20, 21])
    """
    try:
        seeds = [int(word) for word in text.split(",")]
    except ValueError:
        raise ValueError(f"--seeds: a number (10) or a list (20,21,22), not {text!r}") from None
    if len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise ValueError(f"--seeds: {text} has a seed twice or a negative seed")
    return seeds if "," in text else seeds[0]


def values_of(text: str) -> tuple[str, list[Any]]:
    """Parse the option --over into a setting and its values.

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


def _doctor(options: argparse.Namespace, changes: dict[str, Any]) -> int:
    from wcord.analysis.doctor import examine

    lines, passed = examine()
    print("\n".join(lines))
    return 0 if passed else 1
