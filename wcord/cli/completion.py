"""Completion of the command line in bash, zsh and fish, by argcomplete (extra `completion`)."""

from __future__ import annotations

import argparse
import os
import shlex
from typing import Any

INSTALL = "pip install 'wcord[completion]'"


def shell_code(shell: str) -> str:
    """Return the code that a shell evaluates to complete `wcord`.

    Args:
        shell: bash, zsh or fish.

    Raises:
        ValueError: argcomplete is not installed.
    """
    try:
        import argcomplete
    except ImportError:
        raise ValueError(f"completion needs the package argcomplete: {INSTALL}") from None
    return str(argcomplete.shellcode(["wcord"], shell=shell))


def complete(parser: Any) -> None:
    """Print the completions of the line in the environment and end the process.

    Args:
        parser: as `wcord.cli.parser.build_parser` returns it.
    """
    import argcomplete

    line, point = os.environ.get("COMP_LINE", ""), os.environ.get("COMP_POINT", "")
    before = line[: int(point)] if point.isdigit() else line
    for command in parser.commands.values():
        for action in command._actions:
            if action.dest in COMPLETERS:
                action.completer = COMPLETERS[action.dest]
    name, *words = [*_words(before)[1:], ""]
    command = parser.commands.get(name)
    if command is not None and command.get_default("dotted"):
        options = {word.partition("=")[0] for word in words if word.startswith("--")}
        own = tuple(command.own_options)
        if any(o == "--" or not any(k.startswith(o) for k in own) for o in options):
            _add_settings(command, words)  # this imports torch, which takes seconds
    argcomplete.autocomplete(parser, always_complete_options=False)


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:  # an open quote
        return text.split()


def _add_settings(command: argparse.ArgumentParser, words: list[str]) -> None:
    """Add every setting as an option, those of the arms too where a preset is named."""
    from wcord.settings.listing import settings_of
    from wcord.settings.loading import load
    from wcord.settings.preset_files import presets

    named = [word for word in words if word in presets()]
    for setting in settings_of(load(named[0]) if named else None):
        if not setting.table:
            command.add_argument(f"--{setting.key}", choices=setting.choices, help=setting.meaning)


def _presets(**_: Any) -> list[str]:
    from wcord.settings.preset_files import presets

    return list(presets())


def _runs(**_: Any) -> list[str]:
    from wcord.runs.run import list_runs

    return [run.name for run in list_runs()]


def _sources(**_: Any) -> list[str]:
    return [*_presets(), *_runs()]


COMPLETERS = {"preset": _presets, "run_dir": _runs, "run_dirs": _runs, "source": _sources}
