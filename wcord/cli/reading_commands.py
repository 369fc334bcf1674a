"""The commands that train nothing: presets, show, runs, report, doctor, completion."""

from __future__ import annotations

import argparse
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wcord.cli.printing import print_json, settings_tree

if TYPE_CHECKING:
    from wcord.settings.experiment import Experiment


def presets(options: argparse.Namespace, changes: dict[str, Any]) -> int:
    """List the presets."""
    from wcord.settings.preset_files import plain_preset, presets

    found = {name: plain_preset(name) for name in presets()}
    if options.json:
        print_json(
            [
                {"name": name, "title": tree["title"], "description": tree["description"].strip()}
                for name, tree in found.items()
            ]
        )
        return 0
    for name, tree in found.items():
        print(f"{name:36} {tree['title']}")
    return 0


def show(options: argparse.Namespace, changes: dict[str, Any]) -> int:
    """List the settings of a preset, a file, a run or a term."""
    from wcord.objectives import TERMS
    from wcord.settings.listing import changed_only, settings_of, settings_of_model

    name, text = options.source, ""
    if name in TERMS and not Path(name).exists():
        if changes:
            raise ValueError(f"{name} is a term, whose settings have no values to change")
        settings = settings_of_model(TERMS[name].Settings)
        text = f"{name}: {inspect.getdoc(TERMS[name])}\n"
    elif name is None:
        settings = settings_of()
        if changes:
            raise ValueError("name a preset, a file or a run to change settings of")
        text = f"The defaults. Terms of an arm: {', '.join(TERMS)} (wcord show TERM).\n"
    else:
        settings = settings_of(_experiment_named(name).replace(changes))
    if options.changed:
        settings = changed_only(settings)
    if options.json:
        print_json([setting.record() for setting in settings if not setting.table])
        return 0
    print(text + ("\n" if text else "") + settings_tree(settings))
    return 0


def _experiment_named(name: str) -> Experiment:
    """Return the experiment of a preset, a file or a run.

    Raises:
        ValueError: there is none of this name; the nearest preset or term is named.
    """
    from wcord.objectives import TERMS
    from wcord.runs.paths import is_run, runs_folder
    from wcord.settings.loading import load
    from wcord.settings.messages import nearest
    from wcord.settings.preset_files import presets

    path = Path(name)
    if name in presets() or path.exists() or path.suffix in (".yaml", ".yml"):
        return load(name)
    if len(path.parts) == 1 and is_run(runs_folder() / path):
        return load(runs_folder() / path)
    known = nearest(name, [*presets(), *TERMS])
    raise ValueError(f"{name!r} is no preset, file, run or term; {known}")


def runs(options: argparse.Namespace, changes: dict[str, Any]) -> int:
    """List the runs of the runs folder."""
    from wcord.runs import list_runs, runs_folder

    found = list_runs()
    if options.json:
        statuses = [(run, run.status) for run in found]
        print_json(
            [
                {"name": run.name, "path": str(run.path), "phase": status.phase}
                | status.entries()
                | {"sentence": status.sentence}
                for run, status in statuses
            ]
        )
        return 0
    if not found:
        print(f"no runs in {runs_folder()}")
    for run in found:
        print(f"{run.name:44} {run.status.sentence}")
    return 0


def report(options: argparse.Namespace, changes: dict[str, Any]) -> int:
    """Compare the arms of runs."""
    from wcord.analysis.report import report
    from wcord.runs import Run

    table = report([Run(path) for path in options.run_dirs], options.against, options.metric)
    if options.format == "json":
        print_json(table.record())
    else:
        print(table.to_csv() if options.format == "csv" else table.to_markdown())
    return 0


def doctor(options: argparse.Namespace, changes: dict[str, Any]) -> int:
    """Check the machine."""
    from wcord.analysis.doctor import examine

    checks = examine()
    passed = all(check.state != "no" for check in checks)
    if options.json:
        records = [{"state": c.state, "name": c.name, "detail": c.detail} for c in checks]
        print_json({"passed": passed, "checks": records})
    else:
        print("\n".join(check.line for check in checks))
    return 0 if passed else 1


def completion(options: argparse.Namespace, changes: dict[str, Any]) -> int:
    """Print the code with which a shell completes the command line."""
    from wcord.cli.completion import shell_code

    print(shell_code(options.shell))
    return 0
