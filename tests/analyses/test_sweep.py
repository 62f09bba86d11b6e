"""A sweep against ``derive`` of each of its points, against closed forms, and against theory."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

import rnngrad
from oracles import jacobian_products, plain
from oracles.nets import bare_net
from rnngrad.analyses.sweep.critical_scales import Gap, closed_in, gaps
from rnngrad.analyses.sweep.mean_field import ensemble, exponent
from rnngrad.analyses.sweep.points import Row, Setting, set_up, shortened
from rnngrad.analyses.sweep.tasks import completed, packed, plan, rows_of, unpacked
from rnngrad.arithmetic.functions import ACTIVATIONS
from rnngrad.errors import SpecError, UsageError

NET = {
    "seed": 4,
    "activation": "tanh",
    "sizes": {"inputs": 3, "hidden": 6, "outputs": 2},
    "weights": {
        "W_xh": {"init": "normal", "std": 0.3},
        "W_hh": {"init": "gaussian"},
        "b_h": {"init": "normal", "std": 0.1},
        "W_hy": {"init": "gaussian"},
    },
    "inputs": {"random": "normal", "steps": 40},
    "targets": {"random": "normal", "steps": 40},
}


def row_dicts(report: dict[str, Any]) -> list[dict[str, Any]]:
    return report["rows"]


def orthogonal(size: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(0).normal(size=(size, size)))[0]


def linear(W_hh: np.ndarray, steps: int) -> rnngrad.Problem:
    weights = {"W_xh": np.zeros((len(W_hh), 1)), "W_hh": W_hh}
    return rnngrad.load({"activation": "identity", "weights": weights, "inputs": {"zeros": steps}})


# --- each row is derive of its point


@pytest.mark.parametrize("relative_to", ["weights", "spectral-radius", "sigma-max"])
def test_rows_are_derive_of_the_same_seed_and_scale(relative_to: str) -> None:
    problem = rnngrad.load(NET)
    report = rnngrad.sweep(problem, [0.3, 1.0, 2.5], 3, relative_to=relative_to)
    assert [(r["seed"], r["scale"]) for r in row_dicts(report)] == [
        (seed, scale) for seed in (4, 5, 6) for scale in (0.3, 1.0, 2.5)
    ]
    for row in row_dicts(report):
        assert_is_derive(row, rnngrad.load({**NET, "seed": row["seed"]}), relative_to)


def assert_is_derive(row: dict[str, Any], drawn: rnngrad.Problem, relative_to: str) -> None:
    W = drawn.weights["W_hh"]
    unit = {
        "weights": 1.0,
        "spectral-radius": np.abs(np.linalg.eigvals(W)).max(),
        "sigma-max": np.linalg.norm(W, 2),
    }[relative_to]
    W = row["scale"] / unit * W
    weights = {**drawn.weights, "W_hh": W}
    again = rnngrad.load({**NET, "weights": weights, "inputs": drawn.x, "targets": drawn.targets})
    result, got = rnngrad.derive(again), rnngrad.gradients(again)
    expected = {
        "log10_chain_norm": result["log10_chain"][0],
        "rate": result["log10_chain"][0] * math.log(10) / 40,
        "lyapunov_max": rnngrad.lyapunov_spectrum(again)[0],
        "spectral_radius": np.abs(np.linalg.eigvals(W)).max(),
        "sigma_max": np.linalg.norm(W, 2),
        "log10_bound": 40 * np.log10(np.linalg.norm(W, 2)),
        "loss": float(got["loss"]),
        "mean_slope": np.mean(result["dht_db_h"]),
        "norm_dL_dW_hh": np.linalg.norm(got["dL_dW_hh"]),
        "norm_dL_dW_xh": np.linalg.norm(got["dL_dW_xh"]),
        "norm_dL_db_h": np.linalg.norm(got["dL_db_h"]),
        "norm_dL_dh_0": np.linalg.norm(got["dL_dh"][0]),
    }
    for name, value in expected.items():
        assert row[name] == pytest.approx(value, rel=1e-9, abs=1e-9), name


def test_subcritical_rows_against_extended_precision() -> None:
    rng = np.random.default_rng(1)
    W = 0.8 * rng.normal(size=(5, 5)) / np.sqrt(5)
    x, W_xh, steps = rng.normal(size=(400, 1)), rng.normal(size=(5, 1)), 400
    spec = {"weights": {"W_xh": W_xh, "W_hh": W}, "inputs": x}
    for row in row_dicts(rnngrad.sweep(rnngrad.load(spec), "0.01:1:4:log")):
        net = bare_net(row["scale"] * W, steps, activation="tanh", x=x, W_xh=W_xh)
        exact = jacobian_products.log10_chain(net, plain.real_forward(net)["a"])[0]
        assert row["log10_chain_norm"] == pytest.approx(exact, rel=0, abs=1e-8)


def test_steps_and_activations_are_swept_too() -> None:
    problem = rnngrad.load(NET)
    report = rnngrad.sweep(problem, [1.0], steps=[10, 40], activations=["tanh", "sigmoid"])
    assert report["steps"] == [10, 40]
    for row in row_dicts(report):
        spec = {**NET, "activation": row["activation"]}
        spec["inputs"] = spec["targets"] = {"random": "normal", "steps": row["steps"]}
        result = rnngrad.derive(rnngrad.load(spec))
        assert row["log10_chain_norm"] == pytest.approx(result["log10_chain"][0], abs=1e-9)
        assert row["loss"] == pytest.approx(result.loss, rel=1e-12)
    assert len(report["parts"]) == 4


@pytest.mark.parametrize("loss_steps", ["all", "last", [2, 5, 30]])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_a_shortened_problem_is_the_shorter_spec(loss_steps: object, reduction: str) -> None:
    keys = {"loss_steps": loss_steps, "loss_reduction": reduction}
    whole = rnngrad.load({**NET, **keys})
    spec = {**NET, **keys, "inputs": whole.x[:12], "targets": whole.targets[:12]}
    if isinstance(loss_steps, list):
        spec["loss_steps"] = [2, 5]
    expected = rnngrad.gradients(rnngrad.load(spec))
    got = rnngrad.gradients(shortened(whole, 12))
    for name in ("loss", "dL_dW_hh"):
        np.testing.assert_allclose(got[name], expected[name], rtol=1e-12)


# --- what does not exist


def test_a_scale_of_zero_vanishes_with_nulls() -> None:
    row = row_dicts(rnngrad.sweep(rnngrad.load(NET), [0]))[0]
    assert row["regime"] == "vanishing"
    names = ("log10_chain_norm", "rate", "lyapunov_max", "log10_bound")
    assert [row[name] for name in names] == [None] * 4
    assert row["spectral_radius"] == row["sigma_max"] == 0.0


def test_without_targets_there_is_no_loss() -> None:
    row = row_dicts(rnngrad.sweep(linear(np.eye(2), 5), [0.5]))[0]
    assert row["loss"] is None
    assert row["norm_dL_dW_hh"] is None


def test_the_bound_knows_the_steepest_slope() -> None:
    net = {**NET, "activation": "sigmoid"}
    row = row_dicts(rnngrad.sweep(rnngrad.load(net), [2.0]))[0]
    assert row["log10_bound"] == pytest.approx(40 * math.log10(row["sigma_max"] / 4))
    assert row["log10_chain_norm"] < row["log10_bound"]


def test_a_forward_pass_that_overflows() -> None:
    net = {"activation": "softplus", "weights": {"W_xh": 1, "W_hh": 1e200}, "inputs": [1, 1, 1]}
    row = row_dicts(rnngrad.sweep(rnngrad.load(net), [1, 2]))[1]
    assert row["first_nonfinite_step"] == 3


@pytest.mark.parametrize(("steady", "regimes"), [
    (0.01, ["vanishing", "steady", "steady", "exploding"]),
    (0.0, ["vanishing", "vanishing", "exploding", "exploding"]),
])  # fmt: skip
def test_the_threshold_of_steady_can_be_set(steady: float, regimes: list[str]) -> None:
    scales = [math.exp(-0.011), math.exp(-0.009), math.exp(0.009), math.exp(0.011)]
    report = rnngrad.sweep(linear(np.eye(1), 50), scales, steady=steady)
    assert [row["regime"] for row in row_dicts(report)] == regimes


@pytest.mark.parametrize(("options", "words"), [
    ({"seeds": 0}, "at least 1"),
    ({"steps": [0]}, "at least 1 step"),
    ({"activations": ["tahn"]}, "did you mean 'tanh'"),
    ({"relative_to": "spectral_radius"}, "did you mean 'spectral-radius'"),
    ({"steady": -1.0}, "must be 0 or more"),
])  # fmt: skip
def test_mistakes(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        rnngrad.sweep(rnngrad.load(NET), [1], **options)


def test_inputs_are_not_made_endless() -> None:
    with pytest.raises(SpecError, match="an array may take at most 8 GiB"):
        rnngrad.sweep(rnngrad.load(NET), [1], steps=[2**40])


def test_given_inputs_are_not_made_longer() -> None:
    net = rnngrad.load({"weights": {"W_xh": 1, "W_hh": 1}, "inputs": [1, 2, 3]})
    with pytest.raises(UsageError, match="have 3 steps, and only drawn or zero inputs"):
        rnngrad.sweep(net, [1], steps=[2, 4])


@pytest.mark.parametrize("loss_steps", ["all", "last", [2, 5]])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_drawn_inputs_are_made_longer(loss_steps: object, reduction: str) -> None:
    """As the spec with more steps has them, for every seed; what was drawn before stays."""
    net = {**NET, "loss_steps": loss_steps, "loss_reduction": reduction}
    report = rnngrad.sweep(rnngrad.load(net), [1.0], 2, steps=[40, 70])
    longer = {"inputs": {"random": "normal", "steps": 70}}
    longer["targets"] = longer["inputs"]
    for row in row_dicts(report):
        keys = longer if row["steps"] == 70 else {}
        expected = rnngrad.derive(rnngrad.load({**net, **keys, "seed": row["seed"]}))
        assert row["loss"] == pytest.approx(expected.loss, rel=1e-12)
        assert row["log10_chain_norm"] == pytest.approx(expected["log10_chain"][0], abs=1e-9)


def test_seeds_without_anything_random() -> None:
    with pytest.raises(UsageError, match="nothing in 'net' is random"):
        rnngrad.sweep(linear(np.eye(2), 3), [1], 2)


def test_relative_to_a_radius_of_zero() -> None:
    with pytest.raises(UsageError, match="the spectral radius of W_hh is 0"):
        rnngrad.sweep(linear(np.array([[8.0, 8], [-8, -8]]), 3), [1], relative_to="spectral-radius")


# --- the critical scale


def test_scaled_orthogonal_turns_at_one() -> None:
    found = rnngrad.sweep(linear(orthogonal(5), 1000), "0.3:3:8")["critical_scale"]
    assert found["low"] <= found["value"] <= found["high"]
    assert found["value"] == pytest.approx(1.0, rel=1e-5)
    assert found["crossings"] == [found["value"]]


def test_a_linear_net_turns_at_its_spectral_radius() -> None:
    W = np.random.default_rng(1).normal(size=(5, 5))
    radius = np.abs(np.linalg.eigvals(W)).max()
    report = rnngrad.sweep(linear(W, 10_000), [0.1, 1], bracket=1e-4)
    assert report["critical_scale"]["value"] == pytest.approx(1 / radius, rel=1e-3)
    verdicts = {s["id"]: s["verdict"] for s in report["parts"][0]["theory"]}
    assert verdicts["eigenvalues"] == "holds"
    assert verdicts["bound"] == "holds"


def test_several_seeds_give_the_median_and_the_extremes() -> None:
    problem = rnngrad.load({**NET, "activation": "identity"})
    singles = [
        rnngrad.sweep(problem.redraw(seed), "0.1:3:5")["critical_scale"]["value"]
        for seed in (4, 5, 6)
    ]
    found = rnngrad.sweep(problem, "0.1:3:5", 3)["critical_scale"]
    assert found["value"] == pytest.approx(sorted(singles)[1])
    assert (found["low"], found["high"]) == (min(singles), max(singles))
    assert found["crossings"] == sorted(singles)


def test_a_saturating_net_has_a_downward_zero() -> None:
    """A scalar tanh net with input 0.5: σ' sinks faster than W_hh grows."""
    net = {"weights": {"W_xh": 1, "W_hh": 1}, "h_0": 0.01, "inputs": {"zeros": 12}}
    report = rnngrad.sweep(rnngrad.load(net), "0.5:6:12")
    found = report["critical_scale"]
    assert len(found["crossings"]) == 2
    assert found["value"] == found["crossings"][0] == pytest.approx(1.0, rel=0.02)
    assert [zero["upward"] for zero in report["zeros"]] == [True, False]


def test_no_zero_no_critical_scale() -> None:
    assert rnngrad.sweep(linear(orthogonal(3), 9), [0.1, 0.5])["critical_scale"] is None


def _rows(points: list[tuple[float, float | None]]) -> list[Row]:
    row = rnngrad.sweep(linear(np.eye(1), 2), [1])["rows"][0]
    return [
        Row(**{**row, "scale": s, "rate": r, "regime": "vanishing" if r is None else "?"})
        for s, r in points
    ]


def test_every_change_of_sign_is_a_gap() -> None:
    points = [(4.0, 0.5), (0.0, None), (1.0, -1.0), (2.0, 1.0), (3.0, -1.0), (5.0, 0.0)]
    assert [(g.low, g.high) for g in gaps(_rows(points))] == [(1, 2), (2, 3), (3, 4)]
    assert [(g.low, g.high) for g in gaps(_rows([(1.0, 0.0), (2.0, 1.0)]))] == [(1, 1)]
    assert gaps(_rows([(1.0, 0.5)])) == []


@pytest.mark.parametrize("function", [
    lambda x: x - 0.7,
    lambda x: (x - 0.7) ** 3,
    lambda x: math.tanh(50 * (x - 0.7)),
    lambda x: 1.0 if x >= 0.7 else -1e-9,
    lambda x: math.log(x / 0.7) if x else -math.inf,
])  # fmt: skip
def test_a_zero_is_closed_in(function: Callable[[float], float]) -> None:
    calls = []

    def rate(x: float) -> float:
        calls.append(x)
        return function(x)

    zero = closed_in(Gap(Setting(0, 1, ""), 0.0, 2.0, function(0.0), function(2.0)), rate, 1e-6)
    assert zero.low <= 0.7 <= zero.high
    assert zero.high - zero.low <= 2.1e-6
    assert zero.upward
    assert len(calls) <= 24


# --- theory


@pytest.mark.parametrize("gain", [0.5, 1.5, 4.0])
@pytest.mark.parametrize("drive", [0.0, 0.3])
def test_mean_field_by_another_quadrature(gain: float, drive: float) -> None:
    """The fixed point by bisection, the averages over equal parts of the probability."""
    normal = NormalDist()
    z = np.array([normal.inv_cdf((i + 0.5) / 20_000) for i in range(20_000)])
    weights = np.full(20_000, 1 / 20_000)

    def surplus(q: float) -> float:
        return gain**2 * float(weights @ np.tanh(math.sqrt(q) * z) ** 2) + drive - q

    low, high = 1e-12, gain**2 + drive + 1
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if surplus(middle) > 0 else (low, middle)
    slopes = float(weights @ np.cosh(math.sqrt(low) * z) ** -4.0)
    expected = 0.5 * math.log(gain**2 * slopes)
    assert exponent(ACTIVATIONS["tanh"], gain, drive) == pytest.approx(expected, abs=1e-4)


def test_mean_field_of_linear_and_relu_nets() -> None:
    assert exponent(ACTIVATIONS["identity"], 1.7, 0.0) == pytest.approx(math.log(1.7))
    assert exponent(ACTIVATIONS["relu"], 1.7, 0.0) == pytest.approx(math.log(1.7 / 2**0.5))


def test_mean_field_speaks_of_normal_weights_only() -> None:
    def verdict(kind: str, hidden: int) -> tuple[str, str]:
        net = {**NET, "sizes": {"inputs": 3, "hidden": hidden, "outputs": 2}}
        net["weights"] = {**NET["weights"], "W_hh": {"init": kind}}
        said = rnngrad.sweep(rnngrad.load(net), [0.5, 2])["parts"][0]["theory"][2]
        return said["verdict"], said["why"]

    assert verdict("gaussian", 80)[0] == "holds"
    assert verdict("gaussian", 8) == (
        "does not apply", "H = 8 units are too few for a mean field"
    )  # fmt: skip
    assert "does not look like" in verdict("uniform", 80)[1]
    assert "does not look like" in verdict("identity", 80)[1]
    assert verdict("orthogonal", 80) == (
        "does not apply",
        "W_hh does not look like independent normal numbers: its singular values are more alike",
    )


def normal(size: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(size, size))


@pytest.mark.parametrize(("matrix", "why"), [
    (lambda A: A, ""),
    (lambda A: 7.0 * A, ""),
    (lambda A: np.linalg.qr(A)[0], "its singular values are more alike"),
    (lambda A: A + 3 * np.outer(A[0], A[1]) / 8, "its singular values are further apart"),
    (lambda A: A + A.T, "it is nearly its own transpose"),
    (lambda A: A - A.T, "it is nearly its own transpose"),
    (lambda A: A + 0.5, "its numbers are not around 0"),
    (lambda A: np.exp(A) - np.exp(A).mean(), "its numbers are skewed"),
    (np.tanh, "its numbers are not normal"),
    (lambda A: np.sign(A), "its numbers are not normal"),
])  # fmt: skip
@pytest.mark.parametrize("size", [50, 120])
def test_what_is_no_matrix_of_independent_normal_numbers(
    matrix: Callable[[np.ndarray], np.ndarray], why: str, size: int
) -> None:
    said = [ensemble(linear(matrix(normal(size, seed)), 2)).why_not for seed in range(20)]
    assert [why in one if why else one == "" for one in said] == [True] * 20, said


def test_the_counterexample_explodes_below_nothing() -> None:
    """Spectral radius 0, and it explodes all the same: eigenvalues say nothing there."""
    problem = rnngrad.load("sample_configs/spectral_radius_zero.yaml")
    report = rnngrad.sweep(problem, [1])
    row = row_dicts(report)[0]
    assert row["spectral_radius"] == 0.0
    assert row["regime"] == "exploding"
    chain = 10 ** rnngrad.log10_chain(problem)[0]
    assert chain == pytest.approx(14.1 * 2 ** (problem.steps - 1), rel=0.01)
    verdicts = {s["id"]: s["verdict"] for s in report["parts"][0]["theory"]}
    assert verdicts["eigenvalues"] == "does not apply"


# --- one loop for every executor


def test_a_problem_survives_the_post() -> None:
    problem = rnngrad.load({**NET, "loss_steps": "last"})
    again = unpacked(packed(problem))
    for name, value in rnngrad.gradients(problem).items():
        np.testing.assert_array_equal(rnngrad.gradients(again)[name], value)
    for drawn, expected in ((again.redraw(9), problem.redraw(9)),):
        np.testing.assert_array_equal(drawn.weights["W_hh"], expected.weights["W_hh"])


def test_threads_make_the_same_rows() -> None:
    problem = rnngrad.load(NET)
    expected = rnngrad.sweep(problem, "0.2:3:9", 3)
    with ThreadPoolExecutor(3) as pool:
        assert rnngrad.sweep(problem, "0.2:3:9", 3, executor=pool, workers=3) == expected


def test_only_what_is_missing_is_computed() -> None:
    problem = rnngrad.load(NET)
    whole = plan(problem, (0.5, 1.0, 2.0), 2)
    done = frozenset({(whole.settings[0], 1.0), (whole.settings[1], 0.5)})
    rows = [row for task in rows_of(whole, done=done) for row in task]
    assert [(row.seed, row.scale) for row in rows] == [(4, 0.5), (4, 2.0), (5, 1.0), (5, 2.0)]


def test_few_tasks_are_on_their_way_at_a_time() -> None:
    class Counting(ThreadPoolExecutor):
        most = running = 0

        def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
            type(self).running += 1
            type(self).most = max(self.most, self.running)
            future = super().submit(*args, **kwargs)
            future.add_done_callback(lambda _: setattr(Counting, "running", Counting.running - 1))
            return future

    with Counting(2) as pool:
        calls = ((pow, (i, 2)) for i in range(50))
        assert sorted(completed(calls, pool, 2)) == [i**2 for i in range(50)]
    assert Counting.most <= 4


def test_settings_draw_anew_only_where_the_seed_differs() -> None:
    problem = rnngrad.load(NET)
    assert set_up(problem, Setting(4, 40, "tanh")) is problem
    again = set_up(problem, Setting(7, 40, "tanh"))
    expected = rnngrad.load({**NET, "seed": 7})
    np.testing.assert_array_equal(again.weights["W_hh"], expected.weights["W_hh"])
