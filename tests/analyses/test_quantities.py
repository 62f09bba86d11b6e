"""The table of quantities: shapes, what exists for which net, and words for what does not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

import rnngrad
from oracles.nets import bare_net, nets, problem_of
from rnngrad.analyses.quantities import QUANTITIES

CONTRACT = {
    "h", "y", "losses", "dL_dy", "dLt_dht", "dht_dhprev", "dL_dh", "dht_dW_xh", "dht_dW_hh",
    "dht_db_h", "dL_dW_xh", "dL_dW_hh", "dL_db_h", "dL_dW_hy", "dL_db_y", "dL_dx", "log10_chain",
    "log10_paths", "dL_dc", "dL_db_xh", "dL_db_hh",
}  # fmt: skip


def test_the_names_are_the_contracts() -> None:
    assert set(QUANTITIES) == CONTRACT


@given(nets())
def test_shapes_are_known_beforehand(net: dict) -> None:
    result = rnngrad.derive(problem_of(net))
    for name in result:
        array = result[name]
        assert array.shape == result.record(name).shape(result.problem)
        assert array.size == result.record(name).size(result.problem)
        assert array.dtype == np.float64
    assert len(result) == len(list(result))


@given(nets())
def test_gradients_are_those_of_derive(net: dict) -> None:
    problem = problem_of(net)
    result = rnngrad.derive(problem)
    gradients = rnngrad.gradients(problem)
    if problem.loss is None:
        assert set(gradients) == {"h", "y"}
        return
    assert gradients.pop("loss") == pytest.approx(np.sum(result["losses"]))
    for name, array in gradients.items():
        np.testing.assert_array_equal(array, result[name])
    assert {name for name in result if name.startswith("dL_d")} <= set(gradients)


def test_without_targets_only_the_recurrence_exists() -> None:
    result = rnngrad.derive(problem_of(bare_net([[0.5]], 3)))
    assert result.loss is None
    assert set(result) == {
        "h", "y", "dht_dhprev", "dht_dW_xh", "dht_dW_hh", "dht_db_h", "log10_chain",
    }  # fmt: skip
    with pytest.raises(
        rnngrad.QuantityError, match="'dL_dh' does not exist here: 'net' has no tar"
    ):
        result["dL_dh"]
    assert "dL_dh" not in result


def test_an_unknown_name_is_guessed() -> None:
    result = rnngrad.derive(problem_of(bare_net([[0.5]], 3)))
    with pytest.raises(rnngrad.QuantityError, match="did you mean 'log10_chain'"):
        result["log_chain"]
    with pytest.raises(rnngrad.QuantityError, match="they are h, y, dht_dhprev"):
        result["zzz"]


def test_log10_verbs() -> None:
    problem = problem_of(bare_net([[0.5]], 3))
    np.testing.assert_allclose(rnngrad.log10_chain(problem), np.log10(0.5) * np.array([3, 2, 1, 0]))
    with pytest.raises(rnngrad.QuantityError):
        rnngrad.log10_paths(problem)
