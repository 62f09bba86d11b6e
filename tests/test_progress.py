"""Who is told how far a loop is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import rnngrad
from rnngrad import progress
from rnngrad.analyses.derivation.derive import Derivation

LSTM = {
    "cell": "lstm",
    "sizes": {"inputs": 1, "hidden": 2},
    "weights": {"W_xh": {"init": "normal"}, "W_hh": {"init": "normal"}},
    "inputs": {"random": "normal", "steps": 50},
}


def test_nobody_listens_by_default() -> None:
    items = range(5)
    assert progress.reported(items, 5, "counting") is items


def test_a_listener_hears_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.0)
    words: list[tuple[float, str]] = []
    with progress.reporting_to(lambda *said: words.append(said)):
        assert list(progress.reported("abcd", 4, "spelling")) == list("abcd")
    assert words == [(0.0, "spelling"), (0.25, "spelling"), (0.5, "spelling"), (0.75, "spelling")]
    assert list(progress.reported("ab", 2, "spelling")) == ["a", "b"]
    assert len(words) == 4


@pytest.mark.parametrize(
    "work", [lambda result: result["log10_chain"], lambda result: result.log10_step_norms]
)
def test_the_chain_of_a_gated_net_tells(
    work: Callable[[Derivation], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.0)
    words: list[tuple[float, str]] = []
    result = rnngrad.derive(rnngrad.load(LSTM))
    with progress.reporting_to(lambda *said: words.append(said)):
        work(result)
    shares = [share for share, _ in words]
    assert len(shares) >= 50
    assert shares == sorted(shares)
