"""The entry point: nothing is imported before it can be interrupted cleanly."""

from __future__ import annotations

import sys
from collections.abc import Callable


def main() -> None:
    """Run the command line; ends the process with one of the exit codes of ``cli.boundary``."""
    try:
        from rnngrad.cli.app import COMMANDS, app
        from rnngrad.cli.front_door import plain_call

        words = sys.argv[1:]
        call = plain_call(words, COMMANDS)
        if call is None:
            app(words or ["--help"])
        else:
            _run(call)
    except KeyboardInterrupt:
        sys.stderr.write("rnngrad: interrupted\n")
        sys.exit(130)
    except OSError as error:  # help that cannot be printed; a command's own are seen to inside
        from rnngrad.cli.boundary import USERS_FAULT, say

        say(f"rnngrad: standard output: {error.strerror}")
        sys.exit(USERS_FAULT)


def _run(call: Callable[[], None]) -> None:
    """Run a command outside Typer, its exit code becoming the process's."""
    import typer

    try:
        call()
    except typer.Exit as done:
        sys.exit(done.exit_code)
