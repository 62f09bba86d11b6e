"""The entry point: nothing is imported before it can be interrupted cleanly."""

from __future__ import annotations

import atexit
import gc
import signal
import sys
import threading

from rnngrad.cli.blas import one_blas_thread
from rnngrad.cli.exit_codes import INTERRUPTED, USERS_FAULT
from rnngrad.cli.streams import forget

YOUNG = 100_000
"""Objects that are made before the garbage collector looks through them. Python's own 700 serves
programs that run on; derive of the exercise sheet ends with 60,000, nearly all of them imported and
there to stay. Whoever makes more is collected as ever, and arrays wait for no collector: they go
when they are let go of."""


def main() -> None:
    """Run the command line; ends the process with one of the ``exit_codes``."""
    one_blas_thread()
    _end_as_by_ctrl_c()
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])
    atexit.register(gc.freeze)  # the process ends: there is nothing to gain by looking once more
    try:
        _run()
    except KeyboardInterrupt:
        sys.stderr.write("rnngrad: interrupted\n")
        sys.exit(INTERRUPTED)
    except SystemExit as done:
        _last_flush(done)
    except OSError as error:  # help that cannot be printed; a command's own are seen to inside
        _refused(error)


def _end_as_by_ctrl_c() -> None:
    """Who is told to end, by a scheduler or with its terminal, keeps what is done as well and ends
    its workers; what is deaf to it, as nohup makes one, stays so."""
    if threading.current_thread() is not threading.main_thread():
        return
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


def _run() -> None:
    import typer

    from rnngrad.cli.app import app
    from rnngrad.cli.boundary import say
    from rnngrad.cli.usage import in_words

    try:
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False)
    except typer.TyperException as error:
        say(in_words(error))
        code = error.exit_code
    sys.exit(code or 0)


def _last_flush(done: SystemExit) -> None:
    """What Typer left in the buffer is written now: a failure at shutdown would be exit 120."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        forget(sys.stdout)
    except OSError as error:
        _refused(error)
    raise done


def _refused(error: OSError) -> None:
    from rnngrad.cli.boundary import say

    forget(sys.stdout)
    say(f"rnngrad: standard output: {error.strerror}")
    sys.exit(USERS_FAULT)
