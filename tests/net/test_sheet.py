"""Exercise sheet 7, exercise 1, worked by hand for numbers: equations (1)–(35) as arithmetic.

Every line is the sheet's own, one factor after another. Two repairs: the last factor of (32) is
∂h_1/∂W_xh (∂h_2/∂W_xh is a misprint), and (33)–(35) get the L_1 term and ∂h_1/∂W_hh that they leave
out, which vanish only for h_0 = 0.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from oracles import nets
from rnngrad.analyses.derivation.quantities import Quantities

W_xh, W_hh, b_h, W_hy, b_y = 0.5, 0.8, 0.1, 1.2, -0.3
x_1, x_2, x_3 = 1.0, -0.5, 0.25
t_1, t_2, t_3 = 0.9, 0.2, 0.6


def σ(a: float) -> float:
    return 1 / (1 + math.exp(-a))


def dσ(a: float) -> float:
    return σ(a) * (1 - σ(a))


def by_hand(h_0: float) -> dict[str, float | list[float]]:
    """The ten subtasks, and ∂L/∂h_0, for this initial state."""
    # (1), (2)
    a_1 = W_xh * x_1 + W_hh * h_0 + b_h
    h_1 = σ(a_1)
    a_2 = W_xh * x_2 + W_hh * h_1 + b_h
    h_2 = σ(a_2)
    a_3 = W_xh * x_3 + W_hh * h_2 + b_h
    h_3 = σ(a_3)
    y_1, y_2, y_3 = (σ(W_hy * h + b_y) for h in (h_1, h_2, h_3))

    # (7)–(8), (10)–(11), and L_1 likewise
    dL_dy_3 = 1 * 2 * (t_3 - y_3) * (-1)
    dL_dy_2 = 1 * 2 * (t_2 - y_2) * (-1)
    dL_dy_1 = 1 * 2 * (t_1 - y_1) * (-1)

    # (13)–(15)
    dL3_dh_3 = dL_dy_3 * dσ(W_hy * h_3 + b_y) * W_hy
    dL2_dh_2 = dL_dy_2 * dσ(W_hy * h_2 + b_y) * W_hy
    dL1_dh_1 = dL_dy_1 * dσ(W_hy * h_1 + b_y) * W_hy

    # (16)–(17)
    dh3_dh2 = dσ(a_3) * W_hh
    dh2_dh1 = dσ(a_2) * W_hh
    dh1_dh0 = dσ(a_1) * W_hh

    # (18)–(20), (21)–(24), and one step further
    dL_dh_2 = dL2_dh_2 + dL3_dh_3 * dh3_dh2
    dL_dh_1 = dL1_dh_1 + dL2_dh_2 * dh2_dh1 + dL3_dh_3 * dh3_dh2 * dh2_dh1
    dL_dh_0 = (
        dL1_dh_1 * dh1_dh0 + dL2_dh_2 * dh2_dh1 * dh1_dh0 + dL3_dh_3 * dh3_dh2 * dh2_dh1 * dh1_dh0
    )

    # (25)–(26), (27)–(28)
    dh1_dW_xh, dh2_dW_xh, dh3_dW_xh = dσ(a_1) * x_1, dσ(a_2) * x_2, dσ(a_3) * x_3
    dh1_dW_hh, dh2_dW_hh, dh3_dW_hh = dσ(a_1) * h_0, dσ(a_2) * h_1, dσ(a_3) * h_2

    # (29)–(32), the misprint mended
    dL_dW_xh = (
        dL1_dh_1 * dh1_dW_xh
        + dL2_dh_2 * (dh2_dW_xh + dh2_dh1 * dh1_dW_xh)
        + dL3_dh_3 * (dh3_dW_xh + dh3_dh2 * dh2_dW_xh + dh3_dh2 * dh2_dh1 * dh1_dW_xh)
    )
    # (33)–(35), with L_1 and ∂h_1/∂W_hh
    dL_dW_hh = (
        dL1_dh_1 * dh1_dW_hh
        + dL2_dh_2 * (dh2_dW_hh + dh2_dh1 * dh1_dW_hh)
        + dL3_dh_3 * (dh3_dW_hh + dh3_dh2 * dh2_dW_hh + dh3_dh2 * dh2_dh1 * dh1_dW_hh)
    )
    return {
        "L": (t_1 - y_1) ** 2 + (t_2 - y_2) ** 2 + (t_3 - y_3) ** 2,  # (6)
        "a1": dL_dy_3,
        "a2": dL_dy_2,
        "a3": dL3_dh_3,
        "a4": [dh1_dh0, dh2_dh1, dh3_dh2],
        "a5": dL_dh_2,
        "a6": dL_dh_1,
        "b1": [dh1_dW_xh, dh2_dW_xh, dh3_dW_xh],
        "b2": [dh1_dW_hh, dh2_dW_hh, dh3_dW_hh],
        "b3": dL_dW_xh,
        "b4": dL_dW_hh,
        "h_0": dL_dh_0,
    }


def by_rnngrad(h_0: float) -> dict[str, float | list[float]]:
    """The same from the quantities of the contract."""
    column = np.array([[1.0]])
    net = {
        "activation": "sigmoid", "output": "sigmoid",
        "W_xh": W_xh * column, "W_hh": W_hh * column, "b_h": np.array([b_h]),
        "W_hy": W_hy * column, "b_y": np.array([b_y]),
        "x": np.array([[x_1], [x_2], [x_3]]), "h_0": np.array([h_0]),
    }  # fmt: skip
    q = Quantities(nets.problem_of(nets.with_loss(net, [[t_1], [t_2], [t_3]])))
    return {
        "L": float(np.sum(q["losses"])),
        "a1": q["dL_dy"][2, 0],
        "a2": q["dL_dy"][1, 0],
        "a3": q["dLt_dht"][2, 0],
        "a4": q["dht_dhprev"][:, 0, 0].tolist(),
        "a5": q["dL_dh"][2, 0],
        "a6": q["dL_dh"][1, 0],
        "b1": q["dht_dW_xh"][:, 0, 0].tolist(),
        "b2": q["dht_dW_hh"][:, 0, 0].tolist(),
        "b3": q["dL_dW_xh"][0, 0],
        "b4": q["dL_dW_hh"][0, 0],
        "h_0": q["dL_dh"][0, 0],
    }


@pytest.mark.parametrize("h_0", [0.0, 0.35])
@pytest.mark.parametrize("subtask", by_hand(0.0))
def test_subtask(subtask: str, h_0: float) -> None:
    expected = by_hand(h_0)[subtask]
    np.testing.assert_allclose(by_rnngrad(h_0)[subtask], expected, rtol=1e-13, atol=0)


DECIMALS = {
    "L": 0.241509481047,
    "a1": 0.04546315405138,
    "a2": 0.8015727986144,
    "a3": 0.01281717024585,
    "a4": [0.1830273923653, 0.1934305515716, 0.1775195566267],
    "a5": 0.2329763840157,
    "a6": -0.1157888707988,
    "b1": [0.2287842404567, -0.1208940947323, 0.05547486144585],
    "b2": [0.0, 0.1561120692987, 0.1310580377981],
    "b3": -0.0539451071551,
    "b4": 0.03805021858896,
    "h_0": -0.02119253508724,
}


@pytest.mark.parametrize("subtask", DECIMALS)
def test_known_decimals(subtask: str) -> None:
    """The sample config's numbers, computed once with mpmath."""
    np.testing.assert_allclose(by_rnngrad(0.0)[subtask], DECIMALS[subtask], rtol=1e-11, atol=0)


def test_the_misprint_of_32_makes_a_difference() -> None:
    """∂h_2/∂W_xh for ∂h_1/∂W_xh, as printed, is another number."""
    right = by_hand(0.0)
    dh1_dW_xh, dh2_dW_xh, _ = right["b1"]
    _, dh2_dh1, dh3_dh2 = right["a4"]
    printed = right["b3"] + right["a3"] * dh3_dh2 * dh2_dh1 * (dh2_dW_xh - dh1_dW_xh)
    assert abs(printed / right["b3"] - 1) > 1e-3
    assert by_rnngrad(0.0)["b3"] != pytest.approx(printed, rel=1e-4)


def test_33_to_35_as_printed_hold_only_for_h_0_zero() -> None:
    """Without L_1 and ∂h_1/∂W_hh: right from h_0 = 0, wrong from anywhere else."""
    for h_0, holds in ((0.0, True), (0.35, False)):
        right = by_hand(h_0)
        _, dh2_dW_hh, dh3_dW_hh = right["b2"]
        dh3_dh2 = right["a4"][2]
        dL2_dh_2 = right["a5"] - right["a3"] * dh3_dh2
        printed = dL2_dh_2 * dh2_dW_hh + right["a3"] * (dh3_dW_hh + dh3_dh2 * dh2_dW_hh)
        assert math.isclose(by_rnngrad(h_0)["b4"], printed, rel_tol=1e-12) is holds
