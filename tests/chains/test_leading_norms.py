"""Norms of chains from few directions: the exact way's numbers, in nets that would break them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import rnngrad
from oracles import any_cell
from rnngrad.arithmetic.arrays import quietly
from rnngrad.cells import CELLS, NAMES
from rnngrad.chains import jacobians, leading_norms
from rnngrad.chains.leading_norms import log10_end_norm, log10_leading_norms

SIZE, STEPS, ATOL = 64, 120, 1e-8
Kept = list[int]


class Given:
    """A net of given Jacobians J_1 … J_T."""

    def __init__(self, jacobians: np.ndarray) -> None:
        self.jacobians, self.size = jacobians, jacobians.shape[-1]

    def pull(self, rows: np.ndarray, t: int) -> SimpleNamespace:
        return SimpleNamespace(rows=rows @ self.jacobians[t - 1])

    def push(self, tangents: np.ndarray, t: int) -> np.ndarray:
        return tangents @ self.jacobians[t - 1].T


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    """How many rows were pulled, step by step; a step that is done again counts again."""
    found: Kept = []
    pull = leading_norms._pulled

    def counting(net, now, most):  # type: ignore[no-untyped-def]
        after = pull(net, now, most)
        if after is not None:
            found.extend([now.kept] * (now.t - after[0].t))
        return after

    monkeypatch.setattr(leading_norms, "_pulled", counting)
    return found


def norms(jacobians: np.ndarray) -> np.ndarray | None:
    with quietly():
        return log10_leading_norms(Given(jacobians), len(jacobians))  # type: ignore[arg-type]


def explicit(jacobians: np.ndarray) -> np.ndarray:
    """An SVD of the whole product at every k."""
    product, log, logs = np.eye(jacobians.shape[-1]), 0.0, [0.0]
    for J in jacobians[::-1]:
        product = product @ J
        largest = np.abs(product).max()
        product, log = product / largest, log + np.log10(largest)
        logs.append(log + np.log10(np.linalg.norm(product, 2)))
    return np.array(logs[::-1])


def rotations(seed: int, size: int = SIZE) -> np.ndarray:
    """Q_0 … Q_T"""
    draws = np.random.default_rng(seed).normal(size=(STEPS + 1, size, size))
    return np.linalg.qr(draws)[0]


def of_singular_values(sigmas: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """J_t = Q_t diag(σ_t) Q_{t−1}ᵀ for (T, S), and the logs: P has the products Π σ_t."""
    Q = rotations(seed, sigmas.shape[1])
    jacobians = Q[1:] * sigmas[:, None, :] @ Q[:-1].transpose(0, 2, 1)
    logs = np.cumsum(np.log10(sigmas[::-1]), axis=0).max(axis=1)[::-1]
    return jacobians, np.append(logs, 0.0)


def test_a_random_chain(kept: Kept) -> None:
    rng = np.random.default_rng(0)
    J = rng.uniform(0.2, 1.0, size=(STEPS, SIZE, 1)) * rng.normal(size=(STEPS, SIZE, SIZE)) / 8
    found = norms(J)
    assert found is not None
    np.testing.assert_allclose(found, explicit(J), rtol=0, atol=ATOL)
    assert kept[-1] < SIZE / 2
    assert len(kept) == STEPS


@pytest.mark.parametrize("apart", [0.0, 1e-12, 1e-9, 1e-6, 1e-3])
def test_near_ties(apart: float, kept: Kept) -> None:
    """Five leading values with next to nothing between them, which take turns; the others fade."""
    sigmas = np.tile(np.linspace(0.9, 0.3, SIZE), (STEPS, 1))
    signs = np.where(np.random.default_rng(1).random((STEPS, 5)) < 0.5, -1.0, 1.0)
    sigmas[:, :5] = 1.0 + apart * signs
    J, expected = of_singular_values(sigmas)
    found = norms(J)
    assert found is not None
    np.testing.assert_allclose(found, expected, rtol=0, atol=ATOL)
    assert kept[-1] < SIZE / 2


def test_every_direction_is_the_largest(kept: Kept) -> None:
    J, expected = of_singular_values(np.full((STEPS, SIZE), 0.99))
    found = norms(J)
    assert found is not None
    np.testing.assert_allclose(found, expected, rtol=0, atol=ATOL)
    assert set(kept) == {SIZE}


def late(dip: float, start: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Most fade for good; the last fades as well for so many steps, and then it comes back."""
    sigmas = np.tile(np.linspace(1.0, 0.2, SIZE), (STEPS, 1))
    sigmas[-start:, -1] = dip ** (1 / start)
    sigmas[:-start, -1] = dip ** (-2 / start)
    return of_singular_values(sigmas)


@pytest.mark.parametrize("dip", [1e-3, 1e-7, 1e-9])
def test_a_direction_that_only_a_late_step_brings_up(dip: float, kept: Kept) -> None:
    J, expected = late(dip)
    found = norms(J)
    assert found is not None
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7 * 1e-9 / dip + ATOL)
    assert dip > 1e-9 or len(kept) > STEPS, "no rows were taken up again"


def test_without_its_certificate_it_would_be_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leading_norms, "MARGIN", 0.0)
    J, expected = late(1e-9)
    found = norms(J)
    assert found is not None
    assert np.abs(found - expected).max() > 0.1


def test_blocks_that_take_turns(kept: Kept) -> None:
    """Two blocks that do not feed one another: the lesser by 10²⁶ is the greater by 10²⁰ later."""
    rng, half = np.random.default_rng(3), SIZE // 2
    A, B = rng.normal(size=(2, STEPS, half, half)) / np.sqrt(half)
    B[-20:] *= 0.05
    B[:-20] *= 3.0
    J = np.zeros((STEPS, SIZE, SIZE))
    J[:, :half, :half], J[:, half:, half:] = A, B
    found = norms(J)
    assert found is not None
    np.testing.assert_allclose(found, np.maximum(explicit(A), explicit(B)), rtol=0, atol=ATOL)
    assert SIZE in kept[kept.index(next(q for q in kept if q < SIZE)) :]


@pytest.mark.parametrize("strength", [0.5, 1.0, 3.0])
def test_a_chain_that_is_far_from_normal(strength: float) -> None:
    """Spectral radius ½, and a superdiagonal that makes the product grow for dozens of steps."""
    rng = np.random.default_rng(4)
    J = np.zeros((STEPS, SIZE, SIZE))
    i = np.arange(SIZE)
    J[:, i, i] = rng.uniform(0.2, 0.5, size=(STEPS, SIZE))
    J[:, i[:-1], i[1:]] = strength
    J[:, i[:-4], i[4:]] = -0.5 * strength
    found = norms(J)
    assert found is not None
    np.testing.assert_allclose(found, explicit(J), rtol=0, atol=ATOL)


def test_an_exact_zero_is_left_to_the_exact_way() -> None:
    """Nilpotent: J^SIZE = 0, where turned rows would hold rounding."""
    W = np.triu(np.random.default_rng(5).normal(size=(SIZE, SIZE)), 1)
    assert norms(np.tile(W, (STEPS, 1, 1))) is None
    assert norms(np.zeros((STEPS, SIZE, SIZE))) is None
    J = np.tile(np.eye(SIZE), (STEPS, 1, 1))
    J[7, 3, 3] = np.nan
    assert norms(J) is None


def test_a_step_that_all_but_cancels() -> None:
    """A step that takes away all but 1e-9 of what the chain has: the others count then."""
    sigmas = np.tile(np.linspace(1.0, 0.4, SIZE), (STEPS, 1))
    sigmas[60, :3] = 1e-9
    J, expected = of_singular_values(sigmas)
    found = norms(J)
    assert found is not None
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


# ------------------------------------------------------------------------- the end alone


def end(jacobians: np.ndarray) -> float | None:
    with quietly():
        return log10_end_norm(Given(jacobians), len(jacobians))  # type: ignore[arg-type]


def test_the_end_of_a_random_chain_alone() -> None:
    rng = np.random.default_rng(0)
    J = rng.uniform(0.2, 1.0, size=(STEPS, SIZE, 1)) * rng.normal(size=(STEPS, SIZE, SIZE)) / 8
    assert end(J) == pytest.approx(explicit(J)[0], rel=0, abs=ATOL)


@pytest.mark.parametrize("apart", [0.0, 1e-12, 1e-9, 1e-6, 1e-3])
def test_near_ties_at_the_end(apart: float) -> None:
    sigmas = np.tile(np.linspace(0.9, 0.3, SIZE), (STEPS, 1))
    signs = np.where(np.random.default_rng(1).random((STEPS, 5)) < 0.5, -1.0, 1.0)
    sigmas[:, :5] = 1.0 + apart * signs
    J, expected = of_singular_values(sigmas)
    assert end(J) == pytest.approx(expected[0], rel=0, abs=ATOL)


def test_an_end_where_every_direction_counts_is_not_had_from_few() -> None:
    assert end(of_singular_values(np.full((STEPS, SIZE), 0.99))[0]) is None


@pytest.mark.parametrize("dip", [1e-3, 1e-9, 1e-14, 1e-25])
def test_a_direction_that_only_later_steps_bring_up(dip: float) -> None:
    """It fades for 40 steps, also below rounding, and is the largest of all at the end."""
    sigmas = np.tile(np.linspace(1.0, 0.2, SIZE), (STEPS, 1))
    sigmas[:40, -1] = dip ** (1 / 40)
    sigmas[40:, -1] = dip ** (-2 / (STEPS - 40))
    J, expected = of_singular_values(sigmas)
    found = end(J)
    assert found is None or found == pytest.approx(expected[0], rel=0, abs=ATOL)
    assert found is not None or dip < 1e-12


@pytest.mark.parametrize("margin", [0.0, 10.0])
def test_an_end_without_its_largest_direction(
    margin: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The certificate sees that U misses it; without one the number is wrong."""
    sigmas = np.tile(np.linspace(1.0, 0.2, SIZE), (STEPS, 1))
    J, expected = of_singular_values(sigmas)
    U = rotations(0)[-1].T[1:20].copy()
    monkeypatch.setattr(leading_norms, "_reached", lambda net, steps: U)
    monkeypatch.setattr(leading_norms, "MARGIN", margin)
    found = end(J)
    assert (found is None) == (margin > 0)
    assert found is None or abs(found - expected[0]) > 0.1


def test_the_end_of_blocks_that_take_turns() -> None:
    rng, half = np.random.default_rng(3), SIZE // 2
    A, B = rng.normal(size=(2, STEPS, half, half)) / np.sqrt(half)
    B[-20:] *= 0.05
    B[:-20] *= 3.0
    J = np.zeros((STEPS, SIZE, SIZE))
    J[:, :half, :half], J[:, half:, half:] = A, B
    for order in (slice(None), slice(None, None, -1)):
        expected = max(explicit(A[order])[0], explicit(B[order])[0])
        found = end(J[order])
        assert found is None or found == pytest.approx(expected, rel=0, abs=ATOL)


@pytest.mark.parametrize("strength", [0.5, 1.0, 3.0])
def test_the_end_of_a_chain_that_is_far_from_normal(strength: float) -> None:
    rng = np.random.default_rng(4)
    J = np.zeros((STEPS, SIZE, SIZE))
    i = np.arange(SIZE)
    J[:, i, i] = rng.uniform(0.2, 0.5, size=(STEPS, SIZE))
    J[:, i[:-1], i[1:]] = strength
    J[:, i[:-4], i[4:]] = -0.5 * strength
    found = end(J)
    assert found is None or found == pytest.approx(explicit(J)[0], rel=0, abs=ATOL)


def test_an_end_that_is_an_exact_zero_is_left_to_the_exact_way() -> None:
    W = np.triu(np.random.default_rng(5).normal(size=(SIZE, SIZE)), 1)
    assert end(np.tile(W, (STEPS, 1, 1))) is None
    assert end(np.zeros((STEPS, SIZE, SIZE))) is None
    J = np.tile(np.eye(SIZE), (STEPS, 1, 1))
    J[7, 3, 3] = np.nan
    assert end(J) is None


def test_an_end_after_a_step_that_all_but_cancels() -> None:
    sigmas = np.tile(np.linspace(1.0, 0.4, SIZE), (STEPS, 1))
    sigmas[60, :3] = 1e-9
    J, expected = of_singular_values(sigmas)
    found = end(J)
    assert found is None or found == pytest.approx(expected[0], rel=0, abs=1e-6)


# ------------------------------------------------------------------------- nets


def both_ways(
    net: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> tuple[np.ndarray, np.ndarray, float | None]:
    problem = rnngrad.load(net)
    monkeypatch.setattr(jacobians, "LARGE", 8)
    monkeypatch.setattr(jacobians, "LARGE_RNN", 8)
    few = rnngrad.log10_chain(problem)
    alone = jacobians.log10_end(problem, rnngrad.derive(problem).passes.forward)
    monkeypatch.setattr(jacobians, "LARGE", 10**9)
    monkeypatch.setattr(jacobians, "LARGE_RNN", 10**9)
    return few, rnngrad.log10_chain(problem), alone


def assert_same(net: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    few, exact, alone = both_ways(net, monkeypatch)
    assert alone is None or alone == pytest.approx(exact[0], rel=0, abs=ATOL)
    np.testing.assert_array_equal(np.isneginf(few), np.isneginf(exact))
    finite = np.isfinite(exact)
    np.testing.assert_allclose(few[finite], exact[finite], rtol=0, atol=ATOL)
    return few


def drawn(cell: str, gain: float = 1.0, depth: int = 1, hidden: int = 24) -> dict[str, object]:
    one = {
        name: {"init": "normal", "std": gain / np.sqrt(hidden)}
        for name in ("W_xh", "W_hh", *({"gru": ("b_xh", "b_hh")}.get(cell, ("b_h",))))
    }
    weights = one if depth == 1 else {"layers": [one] * depth}
    return {
        "cell": cell, "weights": weights, "sizes": {"inputs": 3, "hidden": hidden},
        "inputs": {"random": "normal", "steps": 90}, "seed": 3,
    }  # fmt: skip


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize(
    "gain",
    [
        0.1,
        pytest.param(1.0, marks=pytest.mark.slow),
        4.0,
        pytest.param(30.0, marks=pytest.mark.slow),
        1000.0,
    ],
)
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_nets_small_and_saturated(
    cell: str, gain: float, depth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_same(drawn(cell, gain, depth), monkeypatch)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("coupling", [0.0, 1e-200, 1e-12, 1.0])
def test_reducible_nets(cell: str, coupling: float, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, hidden = np.random.default_rng(6), 24
    gates = {"rnn": 1, "gru": 3, "lstm": 4}[cell]
    W = rng.normal(size=(gates, hidden, hidden)) / np.sqrt(hidden)
    W[:, :12, 12:] = 0.0
    W[:, 12:, :12] *= coupling
    W[:, 12:, 12:] *= 5.0
    net = drawn(cell)
    net["weights"]["W_hh"] = W.reshape(-1, hidden)  # type: ignore[index]
    assert_same(net, monkeypatch)


def test_a_nilpotent_net_ends_in_exact_zeros(monkeypatch: pytest.MonkeyPatch) -> None:
    net = drawn("rnn") | {"activation": "identity"}
    net["weights"]["W_hh"] = np.triu(np.ones((24, 24)), 1)  # type: ignore[index]
    assert np.isneginf(assert_same(net, monkeypatch)[:60]).all()


@pytest.mark.parametrize("name", NAMES)
def test_every_cell(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = any_cell.problem_of(CELLS[name], hidden=16, steps=40)
    monkeypatch.setattr(jacobians, "LARGE", 8)
    monkeypatch.setattr(jacobians, "LONG", 8)
    monkeypatch.setattr(leading_norms, "FEWEST", 8)
    few = rnngrad.log10_chain(problem)
    alone = jacobians.log10_end(problem, rnngrad.derive(problem).passes.forward)
    monkeypatch.setattr(jacobians, "LARGE", 10**9)
    exact = rnngrad.log10_chain(problem)
    assert alone is None or alone == pytest.approx(exact[0], rel=0, abs=ATOL)
    np.testing.assert_array_equal(np.isneginf(few), np.isneginf(exact))
    finite = np.isfinite(exact)
    np.testing.assert_allclose(few[finite], exact[finite], rtol=0, atol=ATOL)
