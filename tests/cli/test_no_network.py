"""No verb asks for a name or opens a connection: Python's own audit says so, and a run that tries
ends at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.running import ROOT, SHEET

WATCHED = """
import sys
def hear(event, _):
    if event.startswith("socket."):
        import os
        os.write(2, ("network: " + event).encode())
        os._exit(99)
sys.addaudithook(hear)
"""
ANSWER = 'a1: "-2(t_3 - y_3)"\n'
EVERY_VERB = """
import io, sys
from contextlib import redirect_stdout
from rnngrad.cli.main import main
for words in {lines!r}:
    sys.argv = ["rnngrad", *words.split()]
    try:
        with redirect_stdout(io.TextIOWrapper(io.BytesIO(), encoding="utf-8")):
            main()
    except SystemExit as done:
        assert done.code in (0, 1), (words, done.code)
"""
VERBS = (
    "derive SHEET -o a.json", "derive SHEET --save a.npz", "derive SHEET -f html",
    "derive SHEET --plot a.svg", "check SHEET", "check SHEET --against a.npz",
    "sweep SHEET --whh-scale 0.5,1 -o a.jsonl", "show a.jsonl", "report SHEET -o a.html",
    "grade SHEET answer.yaml", "init -o net.yaml", "init --function SHEET", "cells", "cells lstm",
    "schema", "--version --json", "--help",
)  # fmt: skip


def watched(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "sitecustomize.py").write_text(WATCHED)
    path = os.pathsep.join([str(folder), str(ROOT)])
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=os.environ | {"PYTHONPATH": path},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_no_verb_speaks_to_the_network(tmp_path: Path) -> None:
    (tmp_path / "answer.yaml").write_text(ANSWER)
    lines = [line.replace("SHEET", SHEET) for line in VERBS]
    done = watched(EVERY_VERB.format(lines=lines), tmp_path)
    assert done.returncode == 0, done.stderr
    assert "network" not in done.stderr


@pytest.mark.parametrize("call", ["getaddrinfo('localhost', 1)", "create_connection(('::1', 1))"])
def test_who_does_is_heard(call: str, tmp_path: Path) -> None:
    done = watched(f"import socket; socket.{call}", tmp_path)
    assert (done.returncode, done.stderr[:15]) == (99, "network: socket")


def test_a_function_runs_with_no_network_of_ours(tmp_path: Path) -> None:
    """Its process is watched as well: pipes are all that it shares with us."""
    (tmp_path / "f.py").write_text("def f(*given):\n    return {'dL_dW_hh': 0.0}\n")
    words = f"check {SHEET} --against f.py:f"
    done = watched(EVERY_VERB.format(lines=[words]), tmp_path)
    assert done.returncode == 0, done.stderr
