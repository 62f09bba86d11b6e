"""Every quantity of 108 random nets of every cell, one to three layers, against mpmath
and one of two other oracles.

As ``test_gradients.py`` does for one layer of rnn: row by row to 1e-10, relative. mpmath is the
truth, and a disagreement with it is excused only by rounding times the row's measured condition;
a row in which a float64 oracle misses the truth itself is left out of that oracle's opinion.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from oracles import gated_complex, gated_hips, gated_nets, gated_products
from oracles.compare import Row, count_rows, small_rows, wrong_rows
from oracles.conditioning import inexcusable
from oracles.gated_plain import layers
from oracles.plain import Net
from rnngrad.analyses.derivation.quantities import Quantities

NETS, CHUNK = 108, 27
CHUNKS = [
    pytest.param(range(at, at + CHUNK), marks=() if at == 0 else pytest.mark.slow)
    for at in range(0, NETS, CHUNK)
]
"""The first 27 nets in the default run; the rest is slow."""
MOST_ILL_CONDITIONED = 0.001
MOST_BEYOND_THE_ORACLE = 0.01
INVISIBLE = 1e-270
OF_RNN = {"dht_dW_xh", "dht_dW_hh", "dht_db_h"}
"""Immediate partials, which only one layer of rnn has: ``test_gradients.py`` looks at them."""


def _quantities(net: Net) -> Quantities:
    return Quantities(gated_nets.problem_of(net))


def _left(net: Net, found: list[Row]) -> list[Row]:
    return inexcusable(net, found, gated_products.quantities)


def _label(seed: int, net: Net) -> str:
    functions = "/".join(str(net[name]) for name in ("cell", "activation", "output", "loss"))
    return f"net {seed} {functions} T={len(net['x'])} layers={len(layers(net))}"


@pytest.mark.parametrize("seeds", CHUNKS, ids=str)
def test_explicit_jacobian_products(seeds: range) -> None:
    """The gradients, and the ``log10_`` quantities to 1e-8."""
    wrong: list[tuple[str, list[Row]]] = []
    excused = rows = 0
    for seed in seeds:
        net = gated_nets.random_net(seed)
        truth = gated_products.quantities(net)
        found = wrong_rows(_quantities(net), truth)
        left = _left(net, found)
        excused, rows = excused + len(found) - len(left), rows + count_rows(truth)
        wrong += [(_label(seed, net), left)] if left else []
    assert wrong == []
    assert excused <= MOST_ILL_CONDITIONED * rows


@pytest.mark.parametrize("seeds", CHUNKS, ids=str)
@pytest.mark.parametrize("turn", [0, 1], ids=["complex step", "autograd"])
def test_float64_oracles(turn: int, seeds: range) -> None:
    """Every other net: the complex step takes its time, and mpmath has them all."""
    oracle = (gated_complex, gated_hips)[turn]
    wrong: list[tuple[str, list[Row]]] = []
    skipped = rows = 0
    for seed in seeds[turn::2]:
        net = gated_nets.random_net(seed)
        opinion = oracle.quantities(net)
        exact = gated_products.quantities(net)
        truth = {name: exact[name] for name in opinion}
        lost = {row[:2] for row in wrong_rows(opinion, truth)} | small_rows(truth, INVISIBLE)
        found = wrong_rows(_quantities(net), opinion)
        left = _left(net, [row for row in found if row[:2] not in lost])
        skipped, rows = skipped + len(lost), rows + count_rows(opinion)
        wrong += [(_label(seed, net), left)] if left else []
    assert wrong == []
    assert skipped <= MOST_BEYOND_THE_ORACLE * rows


@settings(max_examples=30, deadline=None, derandomize=True)
@given(gated_nets.gated_nets())
def test_any_small_net(net: Net) -> None:
    found = wrong_rows(_quantities(net), gated_products.quantities(net))
    assert _left(net, found) == []


@pytest.mark.parametrize("seed", range(9))
def test_names_and_shapes_are_those_of_the_contract(seed: int) -> None:
    net = gated_nets.random_net(seed)
    truth, quantities = gated_products.quantities(net), _quantities(net)
    single_rnn = net["cell"] == "rnn" and "W_hh" in net
    assert set(quantities.names()) - (OF_RNN if single_rnn else set()) == set(truth)
    assert {n: quantities[n].shape for n in truth} == {n: truth[n].shape for n in truth}


def test_the_nets_cover_what_there_is() -> None:
    drawn = [gated_nets.random_net(seed) for seed in range(NETS)]
    for key, count in (("cell", 3), ("activation", 5), ("output", 6), ("loss", 4)):
        assert len({net[key] for net in drawn}) == count
    assert {len(layers(net)) for net in drawn} == {1, 2, 3}
    assert any(len({p.h.stop - p.h.start for p in layers(net)}) > 1 for net in drawn)
    assert 0 < sum("W_hy" in net for net in drawn) < NETS
    assert 0 < sum(bool(np.any(net["h_0"])) for net in drawn) < NETS
    assert any(bool(np.any(net.get("c_0", 0))) for net in drawn)
    assert any(np.count_nonzero(net["loss_weights"]) < len(net["x"]) for net in drawn)


# --- what holds of every net, without an oracle


def _in_state(net: Net, dL_dh: np.ndarray, dL_dc: np.ndarray | None) -> np.ndarray:
    """dL_dh and dL_dc as dL_ds, in the order of s."""
    size = dL_dh.shape[1] * (1 if dL_dc is None else 2)
    dL_ds, at = np.zeros((len(dL_dh), size)), 0
    for place in layers(net):
        units = slice(at, at + place.h.stop - place.h.start)
        dL_ds[:, place.h] = dL_dh[:, units]
        if dL_dc is not None:
            dL_ds[:, place.c] = dL_dc[:, units]
        at = units.stop
    return dL_ds


@settings(max_examples=30, deadline=None, derandomize=True)
@given(gated_nets.gated_nets())
def test_the_identity_of_the_contract(net: Net) -> None:
    """dL_ds[t] = dLt_ds[t] + dL_ds[t+1] · ∂s_{t+1}/∂s_t, and dL_dc[T] = 0: to rounding."""
    q = _quantities(net)
    dL_dc = q["dL_dc"] if net["cell"] == "lstm" else None
    dL_ds = _in_state(net, q["dL_dh"], dL_dc)
    direct = _in_state(net, q["dLt_dht"], None if dL_dc is None else 0 * q["dLt_dht"])
    direct = np.vstack([np.zeros(direct.shape[1]), direct])
    jacobians = q["dht_dhprev"]
    for t in range(len(net["x"])):
        size = np.abs(direct[t]) + np.abs(dL_ds[t + 1]) @ np.abs(jacobians[t])
        gap = np.abs(dL_ds[t] - (direct[t] + dL_ds[t + 1] @ jacobians[t]))
        assert (gap <= 1e-13 * size).all()
    assert (dL_ds[-1] == direct[-1]).all()
    if dL_dc is not None:
        assert not dL_dc[-1].any()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(gated_nets.gated_nets())
def test_a_stacks_jacobian_is_block_lower_triangular(net: Net) -> None:
    """What an upper layer remembers never reaches a lower one: exact zeros."""
    jacobians = _quantities(net)["dht_dhprev"]
    for place in layers(net)[:-1]:
        end = max(place.h.stop, place.c.stop)
        assert not jacobians[:, :end, end:].any()
        assert jacobians[:, end:, :end].any() or net["activation"] == "relu"


@pytest.mark.parametrize("seed", range(9))
def test_without_targets_the_recurrence_is_the_same(seed: int) -> None:
    net = gated_nets.random_net(seed)
    bare = {n: v for n, v in net.items() if n not in ("targets", "loss_weights")} | {"loss": None}
    q = _quantities(bare)
    truth = gated_products.quantities(bare)
    assert set(q.names()) - OF_RNN == set(truth)
    assert wrong_rows(q, truth) == []
    for name in ("h", "y", "dht_dhprev", "log10_chain"):
        np.testing.assert_array_equal(q[name], _quantities(net)[name])
