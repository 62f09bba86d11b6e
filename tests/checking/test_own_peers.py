"""The table of docs/check.md: what the default checkers of others pass, and this one catches."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import checkers


@pytest.mark.parametrize("title", checkers.NETS)
@pytest.mark.parametrize("mistake", checkers.MISTAKES)
def test_rnngrad_catches_every_mistake_and_passes_the_right_gradient(
    title: str, mistake: str
) -> None:
    net = checkers.NETS[title]
    right, given = (
        checkers.MISTAKES["none: the right gradient"](net),
        checkers.MISTAKES[mistake](net),
    )
    error = np.max(np.abs(given - right)) / np.max(np.abs(right))
    assert checkers.rnngrad_passes(net, given) == (error < checkers.SMALLEST)


@pytest.mark.parametrize("name", ["autograd", "JAX", "PyTorch's rule"])
def test_peers_pass_what_vanishes(name: str) -> None:
    if name == "JAX":
        pytest.importorskip("jax")
    net = checkers.NETS["T = 20, ‖W_hh‖₂ = 0.3"]
    assert checkers.CHECKERS[name](net, checkers.MISTAKES["none: the right gradient"](net))
    assert checkers.CHECKERS[name](net, checkers.MISTAKES["truncated at 8 steps"](net))
    assert not checkers.CHECKERS[name](net, checkers.MISTAKES["all zeros"](net))
