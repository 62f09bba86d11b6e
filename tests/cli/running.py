"""The command as a user runs it, its streams apart: in this process or in one of its own."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import TextIO

from rnngrad.cli import boundary
from rnngrad.cli.main import main

ROOT = Path(__file__).parents[2]
SHEET = str(ROOT / "sample_configs" / "exercise_sheet_7.yaml")


HERS = {"COLUMNS", "NO_COLOR", "FORCE_COLOR", "TERM", "RNNGRAD_DEBUG"}
"""What whoever runs the tests has set for her own screen."""

MODES = (("r", "strict"), ("w", "strict"), ("w", "backslashreplace"))

Done = subprocess.CompletedProcess[str]


def run(*args: str, cwd: Path | None = None, stdin: str = "") -> Done:
    """``rnngrad`` with these arguments, piped, in this process: what a process of its own does
    (``test_apart.py``), a third of a second sooner. The streams are files with descriptors."""
    with contextlib.ExitStack() as after:
        after.callback(
            _put_back,
            (sys.argv, sys.modules["__main__"], sys.stdin, sys.stdout, sys.stderr),
            dict(os.environ),
            Path.cwd(),
            gc.get_threshold(),
        )
        files = [after.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
        files[0].write(stdin.encode())
        files[0].seek(0)
        for number, file in enumerate(files):
            before = os.dup(number)
            after.callback(os.close, before)
            after.callback(os.dup2, before, number)
            os.dup2(file.fileno(), number)
        sys.stdin, sys.stdout, sys.stderr = (
            after.enter_context(open(number, mode, encoding="utf-8", errors=errors, closefd=False))
            for number, (mode, errors) in enumerate(MODES)
        )
        sys.argv = ["rnngrad/__main__.py", *args]
        sys.modules["__main__"] = ModuleType("__main__")
        sys.modules["__main__"].__package__ = "rnngrad"  # python -m rnngrad
        for name in HERS:
            os.environ.pop(name, None)
        os.chdir(cwd or ROOT)
        try:
            main()
            code = 0
        except SystemExit as done:
            code = done.code or 0
        sys.stdout.flush()
        sys.stderr.flush()
        written = []
        for file in files[1:]:
            file.seek(0)
            written.append(file.read().decode().replace("\r\n", "\n"))
    return subprocess.CompletedProcess(args, code, *written)


def _put_back(
    own: tuple[list[str], ModuleType, TextIO, TextIO, TextIO],
    surroundings: dict[str, str],
    folder: Path,
    threshold: tuple[int, int, int],
) -> None:
    sys.argv, sys.modules["__main__"], sys.stdin, sys.stdout, sys.stderr = own
    os.environ.clear()
    os.environ.update(surroundings)
    os.chdir(folder)
    gc.set_threshold(*threshold)
    boundary._TRACEBACKS.clear()


def run_apart(
    *args: str, cwd: Path | None = None, stdin: str | bytes | None = None, **env: str
) -> Done:
    """The same in a process of its own, with more in its environment."""
    surroundings = {key: value for key, value in os.environ.items() if key not in HERS}
    return subprocess.run(
        [sys.executable, "-m", "rnngrad", *args],
        cwd=cwd or ROOT,
        input=stdin,
        env=surroundings | env,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


ONE_AFTER_THE_OTHER = """
import json, os, sys
from rnngrad.cli.main import main
for words, env in json.loads(sys.argv[1]):
    before = dict(os.environ)
    os.environ |= env
    sys.argv = ["rnngrad", *words]
    try:
        main()
    except SystemExit as done:
        assert not done.code, done.code
    os.environ.clear()
    os.environ |= before
    print(end="\\0", flush=True)
"""


def each_apart(*runs: tuple[str, ...], **env: str) -> list[str]:
    """What each of these prints, in one process of their own; all must end well and in silence."""
    done = subprocess.run(
        [sys.executable, "-c", ONE_AFTER_THE_OTHER, json.dumps([(words, {}) for words in runs])],
        cwd=ROOT, env=os.environ | env, capture_output=True, text=True, encoding="utf-8",
        timeout=120, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.split("\0")[:-1]


HEARING = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.executable, [sys.executable, "-m", "rnngrad", *sys.argv[1:]])
"""
"""What a shell started in the background ignores Ctrl-C, and so does what it starts; not this."""


def each_in_a_terminal(*runs: tuple[tuple[str, ...], dict[str, str]]) -> list[str]:
    """What ``rnngrad`` prints into a terminal for each of these words and variables: one process
    for all."""
    return in_a_terminal("-c", ONE_AFTER_THE_OTHER, json.dumps(runs), module=()).split("\0")[:-1]


def in_a_terminal(
    *args: str, columns: int = 80, module: tuple[str, ...] = ("-m", "rnngrad"), **env: str
) -> str:
    """What ``rnngrad`` prints into a terminal of that width, escape codes included."""
    import fcntl
    import pty
    import struct
    import termios

    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    surroundings = {k: v for k, v in os.environ.items() if k not in {"COLUMNS", "NO_COLOR"}}
    command = [sys.executable, *module, *args]
    surroundings = surroundings | {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8"} | env
    process = subprocess.Popen(command, stdout=side, stderr=side, stdin=side, env=surroundings)
    os.close(side)
    chunks = []
    while True:
        try:
            chunk = os.read(main, 65536)
        except OSError:
            break
        if not chunk:
            break
        chunks.append(chunk)
    process.wait(timeout=60)
    os.close(main)
    return b"".join(chunks).decode("utf-8").replace("\r\n", "\n")
