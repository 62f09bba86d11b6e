"""log10_chain and log10_paths against mpmath, where products of Jacobians leave float64.

The reducible nets here break a product that is normalised by one number: what is 1e-300 of the rest
now is dropped, and later in the sequence it is all that is left. The naive product stands in this
file, and is shown to be wrong by hundreds on them, so that the test is known to bite.
"""

from __future__ import annotations

import numpy as np
import pytest

from oracles import jacobian_products, nets, plain
from oracles.nets import bare_net
from oracles.plain import Net
from rnngrad.analyses.derivation.quantities import Quantities
from rnngrad.arithmetic.functions import ACTIVATIONS

ATOL = 1e-8


def chain(net: Net) -> np.ndarray:
    return Quantities(nets.problem_of(net))["log10_chain"]


def paths(net: Net) -> np.ndarray:
    return Quantities(nets.problem_of(net))["log10_paths"]


def exact_chain(net: Net) -> np.ndarray:
    return jacobian_products.log10_chain(net, plain.real_forward(net)["a"])


def assert_same_logs(got: np.ndarray, expected: np.ndarray) -> None:
    """Equal to 1e-8, with −inf and NaN in the same places."""
    np.testing.assert_array_equal(np.isneginf(got), np.isneginf(expected))
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    finite = np.isfinite(expected)
    np.testing.assert_allclose(got[finite], expected[finite], rtol=0, atol=ATOL)


def naive_chain(net: Net) -> np.ndarray:
    """The usual remedy: float64, the whole product divided by its largest entry at each step."""
    a, W_hh = plain.real_forward(net)["a"], net["W_hh"]
    product, log = np.eye(len(W_hh)), 0.0
    logs = np.zeros(len(a) + 1)
    with np.errstate(all="ignore"):
        for k in range(len(a) - 1, -1, -1):
            product = product @ (ACTIVATIONS[net["activation"]].slope(a[k])[:, np.newaxis] * W_hh)
            largest = np.max(np.abs(product))
            log += np.log10(largest)
            product = product / largest if largest else product
            logs[k] = log + (np.log10(np.linalg.norm(product, 2)) if largest else 0.0)
    return logs


def orthogonal(size: int, seed: int = 0) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))[0]


def driven(W_hh: np.ndarray, rows: list[tuple[int, list[float]]], **others: object) -> Net:
    """A tanh net whose unit i is pushed to a ≈ rows' i-th number for so many steps."""
    x = np.vstack([np.tile(push, (count, 1)) for count, push in rows])
    hidden = len(W_hh)
    base = bare_net(W_hh, len(x), activation="tanh", x=x, W_xh=np.eye(hidden))
    return base | {"h_0": np.zeros(hidden)} | others


# --- known in closed form


@pytest.mark.parametrize("w", [0.5, 0.9, 1.0, 1.7, -2.5])
def test_linear_scalar_net_is_a_power(w: float) -> None:
    steps = 10_000
    expected = np.arange(steps, -1, -1) * np.log10(abs(w))
    np.testing.assert_allclose(chain(bare_net(w, steps)), expected, rtol=0, atol=ATOL)


def test_ten_thousand_steps_at_spectral_radius_one_half() -> None:
    got = chain(bare_net(0.5 * orthogonal(4), 10_000))
    np.testing.assert_allclose(got[0], -3010.29995664, rtol=0, atol=ATOL)
    np.testing.assert_allclose(got, np.arange(10_000, -1, -1) * np.log10(0.5), rtol=0, atol=ATOL)


@pytest.mark.parametrize(("scale", "steps"), [(0.01, 2000), (10.0, 400), (1.0, 3000)])
def test_scaled_orthogonal(scale: float, steps: int) -> None:
    got = chain(bare_net(scale * orthogonal(5, 1), steps))
    expected = np.arange(steps, -1, -1) * np.log10(scale)
    np.testing.assert_allclose(got, expected, rtol=0, atol=ATOL)


def test_shear_grows_linearly() -> None:
    """σ₁ of [[1, n], [0, 1]] is (n + √(n² + 4))/2."""
    n = np.arange(3000, -1, -1.0)
    expected = np.log10((n + np.sqrt(n**2 + 4)) / 2)
    got = chain(bare_net([[1, 1], [0, 1]], 3000))
    np.testing.assert_allclose(got, expected, rtol=0, atol=ATOL)


def test_triangular_with_vanishing_couplings() -> None:
    W_hh = np.array([[0.5, 1e-200, 0.0], [0.0, 0.5, 1e-200], [0.0, 0.0, 3.0]])
    net = bare_net(W_hh, 400)
    assert_same_logs(chain(net), exact_chain(net))


# --- exact zeros


def test_nilpotent_matrix_is_exactly_zero_after_two_steps() -> None:
    got = chain(bare_net([[0, 1], [0, 0]], 6))
    assert got.tolist() == [-np.inf] * 5 + [0.0, 0.0]


def test_dead_relu_net() -> None:
    net = bare_net(0.1 * orthogonal(3), 8, activation="relu", b_h=np.full(3, -10.0))
    assert chain(net).tolist() == [-np.inf] * 8 + [0.0]


def test_relu_net_that_dies_at_one_step() -> None:
    x = np.ones((9, 1))
    x[3] = -100.0
    net = bare_net(0.1 * np.ones((2, 2)), 9, activation="relu", x=x, W_xh=np.ones((2, 1)))
    got = chain(net)
    assert np.isneginf(got[:4]).all()
    assert_same_logs(got, exact_chain(net))


def test_zero_recurrence() -> None:
    assert chain(bare_net(np.zeros((2, 2)), 3)).tolist() == [-np.inf] * 3 + [0.0]


def test_an_underflowing_slope_is_not_a_zero() -> None:
    """tanh' at a = 400 is 4e⁻⁸⁰⁰ = 1e-347: nothing in float64, a number all the same."""
    net = driven(np.eye(1), [(5, [400.0])])
    got = chain(net)
    assert np.isfinite(got).all()
    assert_same_logs(got, exact_chain(net))


# --- reducible nets whose dominant block switches

SWITCH = [(60, [400.0, 0.0]), (30, [0.0, 400.0])]
SWITCH_BACK = [(45, [20.0, 0.1]), (35, [0.1, 20.0]), (40, [20.0, 0.1]), (20, [0.1, 20.0])]
FOUR = [(80, [20.0, 19.0, 0.1, 0.2]), (40, [0.1, 0.2, 20.0, 19.0])]
FOUR_HARD = [(50, [400.0, 390.0, 0.1, 0.2]), (25, [0.1, 0.2, 400.0, 390.0])]
ORDER = [2, 0, 3, 1]


def _blocks(coupling: float = 0.0) -> np.ndarray:
    W_hh = np.zeros((4, 4))
    W_hh[:2, :2], W_hh[2:, 2:] = [[0.7, 0.4], [-0.3, 0.6]], [[0.5, -0.6], [0.2, 0.8]]
    W_hh[2, 0] = coupling
    return W_hh


def _permuted(W_hh: np.ndarray, rows: list[tuple[int, list[float]]]) -> Net:
    order = np.array(ORDER)
    return driven(W_hh[np.ix_(order, order)], [(n, [push[i] for i in ORDER]) for n, push in rows])


REDUCIBLE = {
    "diagonal, slopes underflow": driven(0.9 * np.eye(2), SWITCH),
    "diagonal, back and forth": driven(np.diag([0.9, 0.8]), SWITCH_BACK),
    "triangular": driven(np.array([[0.9, 0.0], [0.5, 0.9]]), SWITCH),
    "triangular, weakly": driven(np.array([[0.9, 0.0], [1e-200, 0.8]]), SWITCH_BACK),
    "blocks": driven(_blocks(), FOUR),
    "blocks, slopes underflow": driven(_blocks(), FOUR_HARD),
    "block triangular": driven(_blocks(1e-200), FOUR),
    "blocks, permuted": _permuted(_blocks(), FOUR),
    "block triangular, permuted": _permuted(_blocks(1e-200), FOUR_HARD),
}


COUPLED = {
    "triangular, the other way": driven(np.array([[0.9, 0.5], [0.0, 0.9]]), SWITCH),
    "weakly, the other way": driven(np.array([[0.9, 1e-200], [0.0, 0.8]]), SWITCH_BACK),
    "two weak couplings in a row": driven(
        0.9 * np.eye(3) + 1e-200 * np.eye(3, k=1),
        [(60, [400.0, 400.0, 0.0]), (30, [0.0, 0.0, 400.0])],
    ),
    "weakly, both ways": driven(np.array([[0.9, 1e-200], [1e-250, 0.8]]), SWITCH),
}


@pytest.mark.parametrize("net", (REDUCIBLE | COUPLED).values(), ids=REDUCIBLE | COUPLED)
def test_reducible_chain(net: Net) -> None:
    assert_same_logs(chain(net), exact_chain(net))


@pytest.mark.parametrize("net", REDUCIBLE.values(), ids=REDUCIBLE)
def test_reducible_nets_break_the_naive_product(net: Net) -> None:
    gap = np.abs(naive_chain(net) - exact_chain(net))
    assert np.max(gap) > 100


def test_the_naive_product_is_right_elsewhere() -> None:
    """So its failures above are of the method, not of how it is written here."""
    net = bare_net(0.3 * orthogonal(4), 500, activation="tanh", h_0=np.ones(4))
    np.testing.assert_allclose(naive_chain(net), exact_chain(net), rtol=0, atol=ATOL)


@pytest.mark.parametrize("net", REDUCIBLE.values(), ids=REDUCIBLE)
def test_reducible_paths(net: Net) -> None:
    """Also of losses that see one unit only, and of the unit that the other block feeds."""
    W_hy = np.zeros((1, len(net["W_hh"])))
    W_hy[0, 0] = 1.0
    targets = np.full((len(net["x"]), 1), 3.0)
    net = nets.with_loss(net | {"W_hy": W_hy, "b_y": np.zeros(1)}, targets)
    trace = plain.real_forward(net)
    assert_same_logs(paths(net), jacobian_products.log10_paths(net, trace["a"], trace["a_y"]))


# --- ordinary nets, long ones and large ones


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "relu", "softplus"])
@pytest.mark.parametrize(("hidden", "steps"), [(4, 600), (2, 2500), (8, 30)])
def test_random_recurrence(activation: str, hidden: int, steps: int) -> None:
    rng = np.random.default_rng(hidden)
    W_hh = 0.7 * rng.normal(size=(hidden, hidden)) / np.sqrt(hidden)
    others = {"W_xh": rng.normal(size=(hidden, 1)), "x": rng.normal(size=(steps, 1))}
    net = bare_net(W_hh, steps, activation=activation, **others)
    assert_same_logs(chain(net), exact_chain(net))


@pytest.mark.parametrize("seed", range(4))
def test_strongly_nonnormal_chain(seed: int) -> None:
    rng = np.random.default_rng(seed)
    W_hh = np.triu(rng.normal(size=(4, 4)) * 10.0 ** rng.uniform(-150, 3, (4, 4)))
    net = bare_net(W_hh + 0.5 * np.eye(4), 300)
    assert_same_logs(chain(net), exact_chain(net))


@pytest.mark.parametrize("seed", range(6))
def test_paths_of_random_nets(seed: int) -> None:
    rng = np.random.default_rng([seed, 11])
    net = nets.drawn_net(
        rng,
        steps=40,
        sizes=(3, 2, 2),
        functions=("tanh", "sigmoid", ["squared_error", "binary_cross_entropy"][seed % 2]),
        scale=[0.05, 0.5, 1.0][seed % 3],
        readout=True,
        start=True,
        mean=seed > 3,
    )
    trace = plain.real_forward(net)
    got = paths(net)
    assert_same_logs(got, jacobian_products.log10_paths(net, trace["a"], trace["a_y"]))
    t, k = np.indices(got.shape)
    np.testing.assert_array_equal(np.isnan(got), k > t + 1)


@pytest.mark.parametrize(
    ("output", "loss", "a_y"),
    [
        ("sigmoid", "squared_error", -800.0),
        ("tanh", "squared_error", 500.0),
        ("sigmoid", "binary_cross_entropy", -800.0),
        ("softmax", "squared_error", -800.0),
        ("softmax", "cross_entropy", -800.0),
    ],
)
def test_a_direct_term_that_underflows_is_not_a_zero(output: str, loss: str, a_y: float) -> None:
    """∂L_t/∂h_t of 1e-347 starts a path as any other does; −inf is for an exact zero alone."""
    net = bare_net(0.5 * np.eye(2), 3, h_0=np.ones(2)) | {"output": output}
    net |= {"W_hy": np.array([[1.0, 0.5], [0.0, 0.0]]), "b_y": np.array([a_y, 0.0])}
    net = nets.with_loss(net, np.tile([0.0, 1.0], (3, 1)), loss, weights=[0, 0, 1])
    trace = plain.real_forward(net)
    if output in ("sigmoid", "tanh"):
        net["W_hy"][1] = 0.0
    with jacobian_products.mp.workprec(4000):  # 1 − y is 1e-348 here
        expected = jacobian_products.log10_paths(net, trace["a"], trace["a_y"])
    assert_same_logs(paths(net), expected)


def test_losses_that_do_not_count_have_no_paths() -> None:
    net = bare_net(0.5, 3, h_0=np.ones(1))
    got = paths(nets.with_loss(net, np.full((3, 1), 2.0), weights=[0, 1, 0]))
    assert np.isneginf(got[0, :2]).all()
    assert np.isfinite(got[1, :3]).all()
    assert np.isneginf(got[2]).all()
