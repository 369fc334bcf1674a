"""The commands `wcord export`, which writes a trained student into a file, and `wcord card`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Changes = dict[str, Any]


def add_export_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add both commands to the command line.

    Args:
        add: (name, function that runs it, help) to the parser of a new command.
    """
    export = add("export", _export, "write a trained student into a file that needs no wcord")
    export.add_argument(
        "run_dir", metavar="RUN", help="a run directory, or the name of a run in $WCORD_RUNS"
    )
    export.add_argument("arm", metavar="ARM", help="name of the arm whose student is written")
    export.add_argument(
        "file",
        metavar="FILE",
        help="the file to write; its name ends in .pt2, .onnx or .safetensors",
    )
    export.add_argument("--overwrite", action="store_true", help="replace an existing file")
    card = add("card", _card, "print the card of an exported student (JSON)")
    card.add_argument("file", metavar="FILE", help="a .pt2, .onnx or .safetensors file")


def _export(options: argparse.Namespace, changes: Changes) -> int:
    from wcord.runs import Run

    path = Run(options.run_dir).export(options.arm, options.file, options.overwrite)
    print(f"{path}: {path.stat().st_size:,} bytes; wcord card {path} prints its card")
    return 0


def _card(options: argparse.Namespace, changes: Changes) -> int:
    from wcord.runs.export_formats import read_card

    print(json.dumps(read_card(Path(options.file)), indent=1, ensure_ascii=False))
    return 0
