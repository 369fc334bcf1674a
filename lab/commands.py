"""The commands `wcord app` and `wcord notebooks`, entry points of the group `wcord.commands`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

LAB = Path(__file__).parent
# Streamlit reads the settings in `.streamlit` beside the file that it runs.
APP = LAB.parent / "app.py" if __package__ == "lab" else LAB / "streamlit_app" / "app.py"


def app(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], int]:
    """Open the dashboard in a browser; it accepts connections from this machine only."""
    parser.add_argument(
        "--port", type=int, help="port of the server (default: 8501, or a free one)"
    )
    parser.add_argument(
        "--no-browser", action="store_true", help="print the address and open no browser"
    )
    parser.add_argument(
        "more",
        nargs="*",
        metavar="OPTION",
        help="after --, any option of `streamlit run`: wcord app -- --theme.base=dark",
    )

    def run(options: argparse.Namespace) -> int:
        if options.port is not None and not 0 <= options.port <= 65535:
            raise ValueError(f"the port must be 0 to 65535, not {options.port}")
        words = [] if options.port is None else [f"--server.port={options.port}"]
        words += ["--server.headless=true"] if options.no_browser else []
        if options.more and not options.more[0].startswith("-"):
            raise ValueError(f"unexpected {options.more[0]!r}; options of Streamlit come after --")
        return _serve([*words, *options.more])

    return run


def _serve(words: list[str]) -> int:
    """Run Streamlit's server until it is stopped; its settings lie in `.streamlit` beside `APP`.

    Raises:
        ValueError: Streamlit refuses an option; in one line.
    """
    from streamlit.web import cli

    # isort: split
    import click  # it comes with Streamlit, which the message names where both are missing

    try:
        cli.main.main(["run", str(APP), *words], prog_name="streamlit", standalone_mode=False)
    except click.ClickException as error:
        raise ValueError(error.format_message()) from error
    return 0


def notebooks(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], int]:
    """Copy the course's notebooks into a folder of your own."""
    parser.add_argument("folder", metavar="DIR", type=Path, help="a new or an empty folder")
    parser.add_argument(
        "--force", action="store_true", help="copy into a folder that has files already"
    )

    def run(options: argparse.Namespace) -> int:
        from .course.notebook_files import copy_notebooks

        copies = copy_notebooks(options.folder, force=options.force)
        print(f"{options.folder}: {len(copies)} notebooks; begin with: jupyter lab {copies[0]}")
        return 0

    return run
