"""The command as a user runs it: a process of its own, its streams apart."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHEET = str(ROOT / "sample_configs" / "exercise_sheet_7.yaml")


def run(
    *args: str, cwd: Path | None = None, stdin: str | bytes | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    """``rnngrad`` with these arguments, piped, with no colour or width set by who runs the test."""
    surroundings = {
        key: value
        for key, value in os.environ.items()
        if key not in {"COLUMNS", "NO_COLOR", "FORCE_COLOR", "TERM"}
    }
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


def in_a_terminal(*args: str, columns: int = 80, **env: str) -> str:
    """What ``rnngrad`` prints into a terminal of that width, escape codes included."""
    import fcntl
    import pty
    import struct
    import termios

    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    surroundings = {k: v for k, v in os.environ.items() if k not in {"COLUMNS", "NO_COLOR"}}
    command = [sys.executable, "-m", "rnngrad", *args]
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
