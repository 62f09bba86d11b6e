"""The entry point: nothing is imported before it can be interrupted cleanly."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; ends the process with one of the exit codes of ``cli.boundary``."""
    try:
        from rnngrad.cli.app import app

        app()
    except KeyboardInterrupt:
        sys.stderr.write("rnngrad: interrupted\n")
        sys.exit(130)
