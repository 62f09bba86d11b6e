"""The table of quantities: shapes, what exists for which net, and words for what does not."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given

import rnngrad
from oracles.nets import bare_net, nets, problem_of
from oracles.uneven_nets import any_net
from rnngrad.analyses.derivation.quantities import QUANTITIES
from rnngrad.chains import jacobians
from rnngrad.errors import QuantityError

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


@pytest.mark.parametrize(
    ("name", "function", "words"),
    [
        ("log10_paths", "log10_paths", "'log10_paths': 4 × 5 = 20 numbers, 1.49e-07 GiB; name"),
        ("horizon", "log10_paths", "'horizon', which takes 'log10_paths': 4 × 5 = 20 numbers"),
        ("dht_dhprev", "one_step_jacobians", "3 × 3 = 36 numbers, 2.68e-07 GiB; name log10_step_n"),
        ("log10_chain", "log10_chain", "'log10_chain': 5 = 5 numbers, 3.73e-08 GiB"),
    ],
)
def test_what_memory_does_not_hold_is_refused_with_what_to_name(
    name: str, function: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing_left(*arguments: object) -> None:
        raise MemoryError

    problem = rnngrad.load({
        "weights": {name: {"init": "uniform"} for name in ("W_xh", "W_hh", "W_hy")},
        "sizes": {"inputs": 1, "hidden": 3, "outputs": 1}, "targets": {"random": "normal"},
        "inputs": {"random": "normal", "steps": 4},
    })  # fmt: skip
    assert isinstance(problem, rnngrad.Problem)
    result = rnngrad.derive(problem)
    monkeypatch.setattr(jacobians, function, nothing_left)
    with pytest.raises(QuantityError, match="there is not enough memory for ") as error:
        result[name]
    assert words in str(error.value)


def test_log10_verbs() -> None:
    problem = problem_of(bare_net([[0.5]], 3))
    np.testing.assert_allclose(rnngrad.log10_chain(problem), np.log10(0.5) * np.array([3, 2, 1, 0]))
    with pytest.raises(rnngrad.QuantityError):
        rnngrad.log10_paths(problem)


def test_a_cell_of_other_names_has_them_in_its_results() -> None:
    result = rnngrad.derive(any_net("slstm"))
    assert set(result) == {
        "h", "c", "n", "m", "y", "losses", "dL_dy", "dLt_dht", "dht_dhprev", "dL_dh", "dL_dc",
        "dL_dn", "dL_dm", *(f"dL_d{name}" for name in result.problem.weights), "dL_dx",
        "log10_chain", "log10_paths",
    }  # fmt: skip
    np.testing.assert_array_equal(result["n"][0], result.problem.starts["n"])
    np.testing.assert_array_equal(result["dL_dm"], result.passes.backward.dL_ds["m"])


def test_the_first_part_may_be_called_otherwise() -> None:
    result = rnngrad.derive(any_net("jordan"))
    assert {"o", "dL_do", "dLt_dht"} <= set(result)
    assert result.record("dLt_dht").symbol == "∂L_t/∂o_t"
    assert result.record("dht_dhprev").symbol == "∂o_t/∂o_{t−1}"
    with pytest.raises(rnngrad.QuantityError, match="whose state is o: dL_do"):
        result["dL_dh"]


def test_a_part_that_has_a_letter_of_its_own_size() -> None:
    result = rnngrad.derive(any_net("lmu", 2))
    assert result["m"].shape == result["dL_dm"].shape == (4, 8)


def test_scalars_have_a_gradient_without_axes() -> None:
    result = rnngrad.derive(any_net("ctrnn"))
    assert result["dL_dalpha"].shape == result.record("dL_dalpha").shape(result.problem) == ()


def test_a_name_of_the_cells_own_is_guessed() -> None:
    result = rnngrad.derive(any_net("lstm_peephole"))
    with pytest.raises(rnngrad.QuantityError, match="did you mean 'dL_dw_ci'"):
        result["dL_dw_c_i"]
    with pytest.raises(rnngrad.QuantityError, match=r"one a layer: dL_dw_ci\.0 to dL_dw_ci\.1"):
        rnngrad.derive(any_net("lstm_peephole", 2))["dL_dw_ci"]


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("name", ["intersection_rnn", "lstm_peephole", "mgu", "ctrnn_rate"])
def test_gradients_of_any_cell_are_those_of_derive(name: str, layers: int) -> None:
    problem = any_net(name, layers)
    result, gradients = rnngrad.derive(problem), rnngrad.gradients(problem)
    assert gradients.pop("loss") == pytest.approx(np.sum(result["losses"]))
    others = {"dht_dhprev", "log10_chain", "log10_paths"}
    assert set(gradients) == set(result) - others
    for quantity, array in gradients.items():
        np.testing.assert_array_equal(array, result[quantity])


def test_importing_reads_no_cell_but_the_first_three() -> None:
    code = (
        "import rnngrad.analyses.derivation.quantities, rnngrad.cells as c;"
        "print(c.shipped.cache_info().currsize)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(shown.stdout) <= 3
