"""The command line, `wcord COMMAND`; `parser` has the list of commands.

Dotted options go to `Experiment.replace`, so that command line, page and notebook share one
validator and its messages. Exit codes:

- 0: done; of `train`, `resume` and `sweep`: finished.
- 1: any other failure, or a run that was stopped before its last step.
- 2: a mistake of the user.
- 130: ended by Ctrl-C. 143: ended by SIGTERM.
- 141: the reader of the output has ended, as `head` does.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Sequence

from wcord.cli.parser import build_parser, parse
from wcord.cli.printing import one_line_warnings, print_error
from wcord.cli.words import dotted

__all__ = ["dotted", "main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    for stream in (sys.stdout, sys.stderr):  # a terminal may lack the letters of a name
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            with one_line_warnings():
                return _run(words)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except ValueError as error:
        return print_error(error, 2)
    except KeyboardInterrupt as error:
        number = getattr(error, "signal", signal.SIGINT)
        return print_error(str(error) or "interrupted", 1 if number is None else 128 + number)
    except BrokenPipeError:  # the reader of a pipe has ended, as `head` does
        # Python flushes stdout once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (OSError, RuntimeError, MemoryError) as error:
        return print_error(error, 1)


def _run(words: Sequence[str]) -> int:
    parser = build_parser()
    if "_ARGCOMPLETE" in os.environ:
        from wcord.cli.completion import complete

        complete(parser)
    if not words:
        parser.print_help()
        return 0
    options, changes = parse(parser, words)
    if "" not in sys.path:
        sys.path.append("")  # the working directory, which may hold plugins
    return int(options.run(options, changes))
