"""The bar: late, drawn without being asked again, and gone when the work is."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack

import pytest

from rnngrad.cli import progress


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PATIENCE", 0.02)
    monkeypatch.setattr(progress, "AGAIN", 0.02)


def until(condition: object) -> bool:
    """Whether it comes true within five seconds."""
    assert callable(condition)
    deadline = time.monotonic() + 5.0
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return bool(condition())


def test_one_word_is_enough_for_a_bar(capfd: pytest.CaptureFixture[str]) -> None:
    with ExitStack() as stack:
        bar = progress._Bar(stack)
        time.sleep(0.1)
        assert bar._drawn is None
        bar.report(0.25, "counting")
        assert until(lambda: bar._drawn is not None)
        assert bar._drawn is not None
        drawn, task = bar._drawn
        assert (drawn.tasks[task].description, drawn.tasks[task].completed) == ("counting", 0.25)
        bar.report(0.75, "counting")
        bar.report(0.5, "summing")
        assert (drawn.tasks[task].description, drawn.tasks[task].completed) == ("summing", 0.5)
        bar.close()
    assert capfd.readouterr().out == ""


def test_a_bar_that_is_closed_never_comes() -> None:
    before = set(threading.enumerate())
    with ExitStack() as stack:
        bar = progress._Bar(stack)
        bar.close()
        bar.report(0.5, "late")
        bar._late()
        assert until(lambda: set(threading.enumerate()) <= before)
        assert bar._drawn is None


def test_without_a_terminal_there_is_none() -> None:
    with progress.progress_bar(quiet=False) as bar:
        assert bar is None
    assert list(progress.watched(iter(["a", "b"]), quiet=False)) == ["a", "b"]
