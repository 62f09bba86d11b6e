"""Deliberate mistakes, at least one for every quantity: the comparison must call each of them.

First the arrays are tampered with, each by the mistakes that people make in it; then rnngrad
itself, by a wrong entry in its tables of activations, outputs and losses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import is_dataclass, replace
from typing import Any

import numpy as np
import pytest

from oracles import jacobian_products, nets
from oracles.compare import wrong_rows
from oracles.conditioning import inexcusable
from oracles.plain import Net
from rnngrad.analyses.derivation.quantities import Quantities
from rnngrad.arithmetic.functions import FUNCTIONS
from rnngrad.net.walks import by_line

Right = dict[str, np.ndarray]
Mistake = Callable[[Right, Net], np.ndarray]


def _net(steps: int = 6, scale: float = 0.8) -> Net:
    rng = np.random.default_rng(5)
    return nets.drawn_net(
        rng,
        steps=steps,
        sizes=(3, 3, 3),
        functions=("tanh", "sigmoid", "squared_error"),
        scale=scale,
        readout=True,
        start=True,
        mean=False,
    ) | {"loss_weights": np.ones(steps)}


def _dL_da(q: Right, dL_dh: np.ndarray | None = None) -> np.ndarray:
    """σ'(a_t) ∘ ∂L/∂h_t, (T, H)."""
    return q["dht_db_h"] * (q["dL_dh"] if dL_dh is None else dL_dh)[1:]


def _walk(q: Right, jacobian: Callable[[int], np.ndarray], reach: int | None = None) -> np.ndarray:
    """∂L/∂h_t with another Jacobian, or with each loss pulled back ``reach`` steps at most."""
    steps = len(q["dLt_dht"])
    total = np.zeros_like(q["dL_dh"])
    for t in range(1, steps + 1):
        row = q["dLt_dht"][t - 1]
        for k in range(t, max(-1, t - 1 - (steps if reach is None else reach)), -1):
            total[k] += row
            row = row @ jacobian(k) if k else row
    return total


def _truncated(q: Right, reach: int) -> np.ndarray:
    return _walk(q, lambda k: q["dht_dhprev"][k - 1], reach)


def _changed(array: np.ndarray, index: object, factor: float) -> np.ndarray:
    changed = array.copy()
    changed[index] *= factor
    return changed


def _rows_down(array: np.ndarray) -> np.ndarray:
    """Every row one step late; the first stays."""
    return np.concatenate([array[:1], array[:-1]])


def _output_slope(q: Right) -> np.ndarray:
    return q["y"] * (1 - q["y"])


MISTAKES: dict[str, dict[str, Mistake]] = {
    "h": {
        "h_0 dropped": lambda q, n: _changed(q["h"], 0, 0.0),
        "one step late": lambda q, n: _rows_down(q["h"]),
        "pre-activation for activation": lambda q, n: np.append(
            q["h"][:1], np.arctanh(q["h"][1:]), axis=0
        ),
        "last digits": lambda q, n: q["h"] * (1 + 1e-9),
    },
    "y": {"one step late": lambda q, n: _rows_down(q["y"])},
    "losses": {
        "mean for sum": lambda q, n: q["losses"] / 3,
        "one entry": lambda q, n: _changed(q["losses"], 2, 1 + 1e-9),
    },
    "dL_dy": {
        "missing factor 2": lambda q, n: q["dL_dy"] / 2,
        "sign flipped": lambda q, n: -q["dL_dy"],
        "missing output derivative's": lambda q, n: q["dL_dy"] * _output_slope(q),
    },
    "dLt_dht": {
        "missing output derivative": lambda q, n: q["dL_dy"] @ n["W_hy"],
        "transposed W_hy": lambda q, n: (q["dL_dy"] * _output_slope(q)) @ n["W_hy"].T,
        "all paths": lambda q, n: q["dL_dh"][1:],
    },
    "dht_dhprev": {
        "missing σ'": lambda q, n: np.broadcast_to(n["W_hh"], q["dht_dhprev"].shape),
        "transposed": lambda q, n: np.swapaxes(q["dht_dhprev"], 1, 2),
        "σ' on the columns": lambda q, n: n["W_hh"] * q["dht_db_h"][:, np.newaxis, :],
        "one step late": lambda q, n: _rows_down(q["dht_dhprev"]),
    },
    "dL_dh": {
        "immediate only": lambda q, n: _truncated(q, 0),
        "truncated at one step": lambda q, n: _truncated(q, 1),
        "missing σ'": lambda q, n: _walk(q, lambda k: n["W_hh"]),
        "transposed W_hh": lambda q, n: _walk(
            q, lambda k: q["dht_db_h"][k - 1][:, np.newaxis] * n["W_hh"].T
        ),
        "σ' of the wrong step": lambda q, n: _walk(q, lambda k: q["dht_dhprev"][max(k - 2, 0)]),
        "row of h_0 dropped": lambda q, n: _changed(q["dL_dh"], 0, 0.0),
        "without h_0's row": lambda q, n: q["dL_dh"][1:],
        "clipped": lambda q, n: np.clip(q["dL_dh"], -0.02, 0.02),
    },
    "dht_dW_xh": {
        "missing σ'": lambda q, n: np.broadcast_to(n["x"][:, np.newaxis], q["dht_dW_xh"].shape),
    },
    "dht_dW_hh": {
        "h_t for h_{t−1}": lambda q, n: q["dht_db_h"][:, :, np.newaxis] * q["h"][1:, np.newaxis],
        "h_0 dropped": lambda q, n: _changed(q["dht_dW_hh"], 0, 0.0),
        "missing σ'": lambda q, n: np.repeat(q["h"][:-1, np.newaxis], 3, axis=1),
    },
    "dht_db_h": {
        "one": lambda q, n: np.ones_like(q["dht_db_h"]),
        "of the output": lambda q, n: 1 - np.tanh(q["h"][1:]) ** 2,
        "one step late": lambda q, n: _rows_down(q["dht_db_h"]),
    },
    "dL_dW_xh": {
        "missing σ'": lambda q, n: q["dL_dh"][1:].T @ n["x"],
        "immediate only": lambda q, n: _dL_da(q, _truncated(q, 0)).T @ n["x"],
        "averaged over steps": lambda q, n: q["dL_dW_xh"] / len(n["x"]),
        "transposed": lambda q, n: q["dL_dW_xh"].T,
    },
    "dL_dW_hh": {
        "h_t for h_{t−1}": lambda q, n: _dL_da(q).T @ q["h"][1:],
        "h_0 dropped": lambda q, n: _dL_da(q)[1:].T @ q["h"][1:-1],
        "truncated at three steps": lambda q, n: _dL_da(q, _truncated(q, 3)).T @ q["h"][:-1],
        "transposed": lambda q, n: q["dL_dW_hh"].T,
    },
    "dL_db_h": {
        "missing σ'": lambda q, n: np.sum(q["dL_dh"][1:], axis=0),
        "a step left out": lambda q, n: np.sum(_dL_da(q)[1:], axis=0),
    },
    "dL_dW_hy": {
        "h_{t−1} for h_t": lambda q, n: (q["dL_dy"] * _output_slope(q)).T @ q["h"][:-1],
        "missing output derivative": lambda q, n: q["dL_dy"].T @ q["h"][1:],
    },
    "dL_db_y": {
        "last loss only": lambda q, n: (q["dL_dy"] * _output_slope(q))[-1],
        "missing output derivative": lambda q, n: np.sum(q["dL_dy"], axis=0),
    },
    "dL_dx": {
        "missing σ'": lambda q, n: q["dL_dh"][1:] @ n["W_xh"],
        "transposed W_xh": lambda q, n: _dL_da(q) @ n["W_xh"].T,
        "immediate only": lambda q, n: _dL_da(q, _truncated(q, 0)) @ n["W_xh"],
    },
    "log10_chain": {
        "off by one step": lambda q, n: np.append(q["log10_chain"][1:], 0.0),
        "natural log": lambda q, n: q["log10_chain"] * np.log(10),
        "Frobenius": lambda q, n: _frobenius(q),
        "product of norms": lambda q, n: _product_of_norms(q),
        "zero for −inf": lambda q, n: np.where(q["log10_chain"] == 0, -np.inf, q["log10_chain"]),
    },
    "log10_paths": {
        "h_0 dropped": lambda q, n: _changed(q["log10_paths"], (slice(None), 0), np.nan),
        "−inf for NaN": lambda q, n: np.nan_to_num(q["log10_paths"], nan=-np.inf, neginf=-np.inf),
        "one step late": lambda q, n: _rows_down(q["log10_paths"]),
        "all losses": lambda q, n: _norms_of_totals(q),
    },
}


def _frobenius(q: Right) -> np.ndarray:
    product = np.eye(3)
    logs = [np.log10(np.linalg.norm(product))]
    for jacobian in q["dht_dhprev"][::-1]:
        product = product @ jacobian
        logs.append(np.log10(np.linalg.norm(product)))
    return np.array(logs[::-1])


def _product_of_norms(q: Right) -> np.ndarray:
    norms = np.log10(np.linalg.norm(q["dht_dhprev"], 2, axis=(1, 2)))
    return np.append(np.cumsum(norms[::-1])[::-1], 0.0)


def _norms_of_totals(q: Right) -> np.ndarray:
    norms = np.log10(np.linalg.norm(q["dL_dh"], axis=1))
    return np.where(np.isnan(q["log10_paths"]), np.nan, norms)


CASES = [(name, mistake) for name, mistakes in MISTAKES.items() for mistake in mistakes]


def test_every_quantity_has_a_mistake_planted() -> None:
    assert set(MISTAKES) == set(Quantities(nets.problem_of(nets.random_net(0))).names())


@pytest.fixture(scope="module")
def right() -> tuple[Net, Right, Right]:
    """A net, what rnngrad says of it, and the truth: they agree before anything is planted."""
    net = _net()
    got, truth = dict(Quantities(nets.problem_of(net))), jacobian_products.quantities(net)
    assert wrong_rows(got, truth) == []
    return net, got, truth


@pytest.mark.cases(None)
@pytest.mark.parametrize(("name", "mistake"), CASES, ids=[": ".join(case) for case in CASES])
def test_planted_mistake_is_caught(
    right: tuple[Net, Right, Right], name: str, mistake: str
) -> None:
    net, got, truth = right
    planted = got | {name: MISTAKES[name][mistake](got, net)}
    left = inexcusable(net, wrong_rows(planted, truth))
    assert {row.name for row in left} == {name}


def test_truncation_that_absolute_tolerances_pass() -> None:
    """‖W_hh‖₂ = 0.3, T = 20, eight steps kept: 1e-5 of the gradient, and still caught."""
    net = _net(steps=20)
    net["W_hh"] = 0.3 * np.linalg.qr(net["W_hh"])[0]
    got, truth = dict(Quantities(nets.problem_of(net))), jacobian_products.quantities(net)
    assert wrong_rows(got, truth) == []
    truncated = _dL_da(got, _truncated(got, 7)).T @ got["h"][:-1]
    np.testing.assert_allclose(truncated, truth["dL_dW_hh"], rtol=1e-3, atol=1e-5)
    planted = wrong_rows(got | {"dL_dW_hh": truncated}, truth)
    assert {row.name for row in planted} == {"dL_dW_hh"}


BACKWARD = {"dL_dh", "dL_dx", "dL_dW_xh", "dL_dW_hh", "dL_db_h"}
ENTRY_MISTAKES = {
    "slope taken of the output": (
        "activation", "slope", lambda a: 1 - np.tanh(np.tanh(a)) ** 2,
        BACKWARD | {"dht_dhprev", "dht_dW_xh", "dht_dW_hh", "dht_db_h", "log10_chain"},
    ),
    "slope left out": (
        "activation", "slope", np.ones_like,
        BACKWARD | {"dht_dhprev", "dht_dW_xh", "dht_dW_hh", "dht_db_h", "log10_chain"},
    ),
    "output derivative left out": (
        "output", "pull_back", lambda a, y, dL_dy: dL_dy,
        BACKWARD | {"dLt_dht", "dL_dW_hy", "dL_db_y", "log10_paths"},
    ),
    "factor 2 left out": (
        "loss", "of_the_gap", lambda outputs: -1.0,
        BACKWARD | {"dL_dy", "dLt_dht", "dL_dW_hy", "dL_db_y", "log10_paths"},
    ),
}  # fmt: skip


def _with(record: Any, field: str, value: object) -> Any:
    """The same frozen record, dataclass or named tuple, with one field changed."""
    changed = {field: value}
    return replace(record, **changed) if is_dataclass(record) else record._replace(**changed)


@pytest.mark.parametrize("name", ENTRY_MISTAKES)
def test_wrong_entry_in_a_table_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    record, function, wrong, affected = ENTRY_MISTAKES[name]
    net = _net()
    problem = nets.problem_of(net)
    planted = _with(getattr(problem, record), function, wrong)
    if record == "activation":  # under a name of its own: walks know what tanh' is
        planted = _with(planted, "name", name)
        monkeypatch.setattr(by_line, "FUNCTIONS", {**FUNCTIONS, name: planted})
    broken = _with(problem, record, planted)
    found = wrong_rows(Quantities(broken), jacobian_products.quantities(net))
    assert affected <= {row.name for row in inexcusable(net, found)}
