"""The entry point: nothing is imported before it can be interrupted cleanly."""

from __future__ import annotations

import sys
from collections.abc import Callable


def main() -> None:
    """Run the command line; ends the process with one of the exit codes of ``cli.boundary``."""
    try:
        from rnngrad.cli.app import COMMANDS, app
        from rnngrad.cli.front_door import plain_call

        call = plain_call(sys.argv[1:], COMMANDS)
        if call is None:
            app()
        else:
            _run(call)
    except KeyboardInterrupt:
        sys.stderr.write("rnngrad: interrupted\n")
        sys.exit(130)


def _run(call: Callable[[], None]) -> None:
    """Run a command outside Typer, its exit code becoming the process's."""
    import typer

    try:
        call()
    except typer.Exit as done:
        sys.exit(done.exit_code)
