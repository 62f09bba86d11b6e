"""The bar: late, drawn without being asked again, and gone when the work is."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack

import pytest

from rnngrad.cli import progress
from rnngrad.progress import reported, reporting_to


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


def test_without_a_terminal_there_is_none(capfd: pytest.CaptureFixture[str]) -> None:
    before = set(threading.enumerate())
    with progress.progress_bar(quiet=False) as bar:
        assert bar is not None
        bar(0.5, "counting")
        assert set(threading.enumerate()) <= before
    with progress.progress_bar(quiet=True) as bar:
        assert bar is None
    assert capfd.readouterr() == ("", "")
    assert list(progress.watched(iter(["a", "b"]), quiet=False)) == ["a", "b"]


def test_what_takes_long_is_announced_once(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A second of work is a fortieth of the whole: another 39 s; then 8 s are nothing to tell."""
    now = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    notice = progress._Notice()
    for fraction in (0.0, 0.001, 0.025, 0.05, 0.5):
        now = 100 + 40 * fraction
        notice.report(fraction, "paths")
    assert capfd.readouterr().err == (
        "note: paths: some 40 s to go; Ctrl-C ends it and keeps what is done\n"
    )
    for fraction in (0.0, 0.1, 0.2, 0.9):  # the next piece of work
        now = 200 + 9 * fraction
        notice.report(fraction, "truncation")
    assert capfd.readouterr().err == ""
    for fraction in (0.0, 0.01, 0.02):  # and a third, which takes five minutes
        now = 300 + 300 * fraction
        notice.report(fraction, "log10_chain")
    assert capfd.readouterr().err.startswith("note: log10_chain: some 5 min to go;")


def when_told(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], work: list[float] | None
) -> list[tuple[float, str]]:
    """(second, the note) for a loop whose i-th of n items takes i times as long as the first: 60 s
    in all."""
    now, told = 0.0, []
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with reporting_to(progress._Notice().report):
        for i in reported(range(1000), 1000, "paths", work):
            said = capfd.readouterr().err
            if said:
                told.append((now, said))
            now = 60 * ((i + 1) / 1000) ** 2
    return told


def test_work_that_grows_is_announced_when_it_shows(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Said after some seconds, and again when it proves to be twice as long."""
    told = when_told(monkeypatch, capfd, None)
    assert told[0][0] < 5
    assert len(told) in (2, 3)


def test_work_that_is_known_to_grow_is_announced_at_once(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    ((when, said),) = when_told(monkeypatch, capfd, [float(i) for i in range(1000)])
    assert when < 1
    assert "some 60 s to go" in said


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(11.0, "10 s"), (44.0, "40 s"), (89.0, "90 s"), (100.0, "2 min"), (7200.0, "2 h")],
)
def test_estimates_in_words(seconds: float, words: str) -> None:
    assert progress._spoken(seconds) == words
