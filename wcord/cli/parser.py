"""The commands and their options."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from wcord import __version__
from wcord.cli import package_commands, reading_commands, training_commands
from wcord.cli.export_commands import add_export_commands
from wcord.cli.words import dotted, setting_names, split_settings

Command = Callable[[argparse.Namespace, dict[str, Any]], int]
RUN = "a run directory, or the name of a run in $WCORD_RUNS"
SETTINGS = (
    "Every setting can be changed by an option of its name, such as --epochs 3 or "
    "--arms.wcord.gckt.weight 1; wcord show lists all settings."
)


class Parser(argparse.ArgumentParser):
    """An argument parser that raises ValueError where the words are wrong."""

    commands: dict[str, Parser]

    def error(self, message: str) -> NoReturn:
        """Raise the error, for one line at the end."""
        raise ValueError(f"{message}; see {self.prog} --help")

    @property
    def own_options(self) -> dict[str, bool]:
        """The options such as --quiet, and whether a value follows each."""
        return {name: action.nargs != 0 for name, action in self._option_string_actions.items()}


def build_parser() -> Parser:
    """Return the parser of all commands; its attribute `commands` has the parser of each."""
    parser = Parser(
        "wcord",
        description="Wasserstein Contrastive Representation Distillation",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"wcord {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    def add(
        name: str, run: Command, text: str, epilog: str | None = None, **defaults: Any
    ) -> Parser:
        command: Parser = commands.add_parser(
            name, help=text, description=text, allow_abbrev=False, epilog=epilog
        )
        command.set_defaults(run=run, **{"dotted": False, "any_words": False} | defaults)
        return command

    _add_reading(add)
    _add_training(add)
    add_export_commands(add)
    for point in package_commands.points():
        if point.name not in commands.choices:
            package_commands.add_command(point, add)
    parser.commands = dict(commands.choices)
    return parser


def parse(parser: Parser, words: Sequence[str]) -> tuple[argparse.Namespace, dict[str, Any]]:
    """Return the options of a command line, and the changes of settings in it.

    Raises:
        ValueError: an unknown command, option or setting (the nearest is named), or a value that
            is missing or wrong.
    """
    name = words[0]
    if name.startswith("-") and name.partition("=")[0] not in parser.own_options:
        raise ValueError(_unknown_word(name, parser))
    if not name.startswith("-") and name not in parser.commands:
        raise ValueError(_unknown_command(name, parser))
    command = parser.commands.get(name, parser)
    settings: list[str] = []
    words = list(words)
    if command.get_default("dotted"):
        own, settings = split_settings(words[1:], command.own_options)
        _refuse_unknown(setting_names(settings), command)
        words = [name, *own]
    options, rest = parser.parse_known_args(words)
    if rest and not options.any_words:
        raise ValueError(_unknown_word(rest[0], command))
    if options.command is None:
        raise ValueError(f"a command is missing; there are {', '.join(parser.commands)}")
    return options, dotted(settings)


def _unknown_command(name: str, parser: Parser) -> str:
    from wcord.settings.messages import near

    close = near(name, parser.commands)
    known = f"did you mean {close!r}?" if close else f"there are {', '.join(parser.commands)}"
    more = "" if package_commands.points() else f"; the lab adds more: {package_commands.LAB}"
    return f"no command {name!r}; {known}{more}"


def _unknown_word(word: str, command: Parser) -> str:
    from wcord.settings.messages import near

    if not word.startswith("-"):
        return f"unexpected {word!r}; see {command.prog} --help"
    close = near(word.partition("=")[0], command.own_options) if word[:2] == "--" else None
    hint = f"did you mean {close!r}?" if close else f"see {command.prog} --help"
    return f"unknown option {word!r}; {hint}"


def _refuse_unknown(names: Sequence[str], command: Parser) -> None:
    """Refuse names that are neither options of the command nor begin as a setting does."""
    if not names:
        return
    from wcord.settings.experiment import Experiment
    from wcord.settings.listing import settings_of
    from wcord.settings.messages import near

    for name in names:
        if name.partition(".")[0] not in Experiment.model_fields:
            options = [option for option in command.own_options if option.startswith("--")]
            known = [*options, *(f"--{setting.key}" for setting in settings_of())]
            close = near(f"--{name}", known)
            hint = f"did you mean {close!r}?" if close else f"see {command.prog} --help, wcord show"
            raise ValueError(f"unknown option or setting '--{name}'; {hint}")


def _add_reading(add: Callable[..., Parser]) -> None:
    """Add the commands that train nothing."""
    presets = add("presets", reading_commands.presets, "list the presets with their titles")
    _add_json(presets)
    show = add(
        "show",
        reading_commands.show,
        "list every setting with its value, meaning, default and range",
        epilog=f"{SETTINGS} A star marks a value that is not the default.",
        dotted=True,
    )
    show.add_argument(
        "source",
        nargs="?",
        type=_not_empty,
        metavar="NAME",
        help="a preset, a .yaml file, a run directory or a term such as gckt; without it, the "
        "defaults",
    )
    show.add_argument("--changed", action="store_true", help="only values that are not the default")
    _add_json(show)
    _add_json(add("runs", reading_commands.runs, "list the runs in $WCORD_RUNS"))
    report = add(
        "report", reading_commands.report, "compare the arms of finished runs (one run per seed)"
    )
    report.add_argument("run_dirs", nargs="+", metavar="RUN", type=_not_empty, help=RUN)
    _add_report_options(report)
    doctor = add(
        "doctor", reading_commands.doctor, "check packages, device and folders of this machine"
    )
    _add_json(doctor)
    completion = add(
        "completion",
        reading_commands.completion,
        "print the code that lets a shell complete commands, presets, runs and settings",
        epilog='The line for bash is: eval "$(wcord completion bash)"; for zsh: eval "$(wcord '
        'completion zsh)"; for fish: wcord completion fish | source',
    )
    completion.add_argument("shell", choices=["bash", "zsh", "fish"], help="the shell")


def _add_training(add: Callable[..., Parser]) -> None:
    """Add the commands that train."""
    train = add(
        "train",
        training_commands.train,
        "train a preset or a settings file in this process",
        dotted=True,
        epilog=SETTINGS,
    )
    train.add_argument("preset", type=_not_empty, help="name of a preset, or a .yaml file")
    train.add_argument(
        "--run-dir", type=_not_empty, help="a new directory (default: in $WCORD_RUNS)"
    )
    train.add_argument(
        "--dry-run",
        action="store_true",
        help="check settings and data, time a few steps, print how long the run and how large its "
        "directory would be, and train nothing",
    )
    _add_quiet(train)
    resume = add("resume", training_commands.resume, "continue a run from its newest checkpoint")
    resume.add_argument("run_dir", metavar="RUN", type=_not_empty, help=RUN)
    _add_quiet(resume)
    sweep = add(
        "sweep",
        training_commands.sweep,
        "run a preset for several seeds and for every combination of varied settings",
        dotted=True,
        epilog=f"{SETTINGS} The same command continues an interrupted sweep.",
    )
    sweep.add_argument("preset", type=_not_empty, help="name of a preset, or a .yaml file")
    sweep.add_argument(
        "--seeds",
        default="3",
        help="number of seeds (10) or a list of them (20,21,22) (default: 3)",
    )
    sweep.add_argument(
        "--over",
        action="append",
        default=[],
        metavar="SETTING=VALUES",
        help="a setting and the values that it takes in turn, such as arms.wcord.gckt.weight=1,5 "
        "or student.view=[[left],[right]] (YAML); with several of these options, every "
        "combination is run",
    )
    sweep.add_argument(
        "--backend",
        default="local",
        help="where the runs are trained: local (this process) or ray (a cluster) (default: local)",
    )
    sweep.add_argument(
        "--folder", type=_not_empty, help="folder of the runs (default: in $WCORD_RUNS/sweeps)"
    )
    _add_report_options(sweep)


def _not_empty(text: str) -> str:
    """Refuse an empty name, as of a shell variable that is not set; it would be the folder "."."""
    if not text.strip():
        raise argparse.ArgumentTypeError("the name is empty")
    return text


def _add_quiet(command: Parser) -> None:
    command.add_argument("--quiet", action="store_true", help="print no progress and no results")


def _add_json(command: Parser) -> None:
    command.add_argument("--json", action="store_true", help="print JSON")


def _add_report_options(command: Parser) -> None:
    command.add_argument("--against", help="arm that the others are compared with")
    command.add_argument(
        "--metric",
        help="the result that is compared (default: that of the test part, such as test_accuracy)",
    )
    command.add_argument(
        "--format",
        choices=["markdown", "csv", "json"],
        default="markdown",
        help="format of the table (default: markdown)",
    )
    command.add_argument(
        "--json",
        action="store_const",
        dest="format",
        const="json",
        help="the same as --format json",
    )
