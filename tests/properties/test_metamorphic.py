"""What must hold between two nets that say the same in other words: no oracle, only rnngrad twice.

Each property has a plant: the same comparison, one thing of it wrong, must go red.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume
from hypothesis import strategies as st

import rnngrad
from properties.drawing import Drawn, Spec, arrays, nets, proved
from rnngrad.algebra.expressions import Name, nodes
from rnngrad.cells import CELLS
from rnngrad.net.cells import multiple
from rnngrad.net.forward import forward
from rnngrad.net.problem import Problem

RTOL = 1e-9
UNDECIDED = 1e-3
"""A net that amplifies rounding beyond that says nothing, and another is drawn."""
SEEDS = st.integers(0, 2**20)
SHORT = st.integers(1, 25)
SHARE = 5
"""A metamorphic property draws a fifth of the nets."""


def gradients(spec: Mapping[str, Any]) -> dict[str, Any]:
    with np.errstate(all="ignore"):
        return dict(rnngrad.gradients(rnngrad.load(spec)))


def same(got: Mapping[str, Any], right: Mapping[str, Any], spec: Spec, seed: int = 0) -> None:
    """Array by array, to 1e-9 of the largest entry, or to what rounding does in this net."""
    assert got.keys() == right.keys()
    noise = _noise(spec, seed)
    assume(noise < UNDECIDED)
    for name, expected in right.items():
        assert np.shape(got[name]) == np.shape(expected), name
        size = np.abs(expected).max(initial=0.0)
        if np.isfinite(size):
            gap = np.abs(np.asarray(got[name]) - expected).max(initial=0.0)
            assert gap <= (RTOL + noise) * size + 1e-290, name


def _noise(spec: Spec, seed: int) -> float:
    """What the last bit of every input does to the gradients, 300 times over, relative."""
    rng = np.random.default_rng(seed)
    plain = arrays(gradients(spec))
    bits = 2.0**-52 * rng.integers(-1, 2, np.shape(spec["inputs"]))
    near = arrays(gradients({**spec, "inputs": np.asarray(spec["inputs"]) * (1 + bits)}))
    worst = 0.0
    for name, one in plain.items():
        size = np.abs(one).max(initial=0.0)
        if np.isfinite(size) and size > 0:
            with np.errstate(all="ignore"):
                worst = max(worst, float(np.abs(near[name] - one).max() / size))
    return 300.0 * worst


def rewoven(spec: Spec, change: Callable[[str, np.ndarray], Any]) -> Spec:
    """The spec with every weight changed; ``change`` is given its name, with the layer's number."""
    weights = spec["weights"]
    if "layers" not in weights:
        return {**spec, "weights": {n: change(n, W) for n, W in weights.items()}}
    layers = [
        {n: change(f"{n}.{at}", W) for n, W in layer.items()}
        for at, layer in enumerate(weights["layers"])
    ]
    others = {n: change(n, W) for n, W in weights.items() if n != "layers"}
    return {**spec, "weights": {"layers": layers, **others}}


# ---------------------------------------------------------------------------- hidden units


def _permuted(array: Any, shape: tuple[str, ...], orders: Mapping[str, Any]) -> Any:
    """Along every axis that counts units, gate by gate."""
    for axis, letter in enumerate(shape):
        count, unit = multiple(letter)
        if unit in orders:
            order = orders[unit]
            whole = np.concatenate([order + gate * len(order) for gate in range(count)])
            array = np.take(array, whole, axis=axis)
    return array


def _orders(net: Drawn, seed: int) -> dict[str, Any]:
    """letter -> a permutation of its units, of those whose units nothing else names."""
    rng = np.random.default_rng(seed)
    letters = {multiple(letter)[1] for shape in net.letters.values() for letter in shape}
    return {
        letter: rng.permutation(len_of(net, letter)) for letter in sorted(letters) if letter != "I"
    }


def len_of(net: Drawn, letter: str) -> int:
    """The size of a letter, of the array that has it."""
    for name, shape in net.letters.items():
        head, _, at = name.rpartition(".")
        W = net.layers[int(at)][head] if head else net.layers[0][name]
        for axis, own in enumerate(shape):
            count, unit = multiple(own)
            if unit == letter:
                return int(W.shape[axis]) // count
    raise AssertionError(letter)


def _permuted_net(net: Drawn, orders: Mapping[str, Any]) -> Spec:
    first = net.cell.letters[0]
    letters = {**net.letters, "W_hy": ("O", first), "b_y": ("O",)}
    spec = rewoven(net.spec, lambda n, W: _permuted(W, letters[n], orders))
    for part, letter in zip(net.cell.parts, net.cell.letters, strict=True):
        if f"{part}_0" in spec:
            spec[f"{part}_0"] = _permuted(spec[f"{part}_0"], (letter,), orders)
    if "W_hy" not in net.spec["weights"]:
        targets = np.asarray(spec["targets"])
        spec["targets"] = np.take(targets, orders[first], axis=-1)
    return spec


def _of_permuted(net: Drawn, found: Mapping[str, Any], orders: Mapping[str, Any]) -> Any:
    """The gradients of a net, its units in another order."""
    first = net.cell.letters[0]
    letters = {**net.letters, "W_hy": ("O", first), "b_y": ("O",)}
    changed = {"dL_dx": found["dL_dx"]}
    for name, shape in letters.items():
        if f"dL_d{name}" in found:
            changed[f"dL_d{name}"] = _permuted(found[f"dL_d{name}"], shape, orders)
    for part, letter in zip(net.cell.parts, net.cell.letters, strict=True):
        if letter in orders:
            changed[f"dL_d{part}"] = np.take(found[f"dL_d{part}"], orders[letter], axis=-1)
    return changed


ONE_LAYER = nets(steps=SHORT, layers=1)


def permuting_units_permutes_every_gradient(net: Drawn, seed: int) -> None:
    orders = _orders(net, seed)
    assume(_only_x_has_inputs(net))
    right = _of_permuted(net, gradients(net.spec), orders)
    found = gradients(_permuted_net(net, orders))
    same({name: found[name] for name in right}, right, net.spec)


# ---------------------------------------------------------------------------- loss and inputs


def scaling_the_loss_scales_every_gradient(net: Drawn, power: int, odd: float) -> None:
    """To the last bit where the scale is a power of two; else a sum that cancels to nothing is
    rounded otherwise, and is held against the largest gradient."""
    problem, scale = rnngrad.load(net.spec), odd * 2.0**power
    assert isinstance(problem, Problem)
    scaled = replace(problem, loss_weights=scale * problem.loss_weights)
    with np.errstate(all="ignore"):
        plain, found = (arrays(rnngrad.gradients(one)) for one in (problem, scaled))
    sizes = {name: np.abs(scale * one).max(initial=0.0) for name, one in plain.items()}
    finite = {name: size for name, size in sizes.items() if np.isfinite(size)}
    rounding = 0.0 if odd == 1.0 else 1e-12 * max(finite.values(), default=0.0)
    for name in finite:
        error = np.abs(found[name] - scale * plain[name]).max(initial=0.0)
        assert error <= rounding + 1e-300, name


def a_zero_input_column_has_a_zero_gradient_column(net: Drawn, seed: int) -> None:
    """And the other columns are what they are without it."""
    assume(_only_x_has_inputs(net))
    x = np.array(net.spec["inputs"])
    column = seed % x.shape[-1]
    x[..., column] = 0.0
    found = gradients(net.changed(inputs=x))
    alone = [n for n, shape in net.letters.items() if shape[-1:] == ("I",) and _meets_x(net, n)]
    assert alone
    for name in alone:
        gradient = np.asarray(found[f"dL_d{name}"])
        if np.isfinite(gradient).all():
            assert not gradient[..., column].any()
    if x.shape[-1] == 1:
        return
    fewer = rewoven(
        net.changed(inputs=np.delete(x, column, axis=-1)),
        lambda n, W: np.delete(W, column, axis=-1) if n in alone else W,
    )
    right = arrays(gradients(fewer))
    kept = {
        n: np.delete(a, column, axis=-1)
        if n == "dL_dx" or n.removeprefix("dL_d") in alone else a
        for n, a in arrays(found).items()
    }  # fmt: skip
    same(kept, right, net.changed(inputs=x))


def _only_x_has_inputs(net: Drawn) -> bool:
    """Whether x_t alone has the size I, so that its columns are not those of something else."""
    return [name for name, letter in net.cell.equations.sizes.items() if letter == "I"] == ["x"]


def _meets_x(net: Drawn, name: str) -> bool:
    """Whether a matrix is one that multiplies x_t, of the lowest layer."""
    return name.rpartition(".")[2] == "0" if "." in name else True


def an_input_column_in_other_units(net: Drawn, seed: int, power: int) -> None:
    """x·2ᵏ with W/2ᵏ is the same net to the last bit: ∂L/∂W is 2ᵏ times as large."""
    assume(_only_x_has_inputs(net))
    x, scale = np.array(net.spec["inputs"]), 2.0**power
    column = seed % x.shape[-1]
    x[..., column] *= scale
    alone = [n for n, shape in net.letters.items() if shape[-1:] == ("I",) and _meets_x(net, n)]

    def changed(name: str, W: np.ndarray) -> np.ndarray:
        return _column(W, column, 1 / scale) if name in alone else W

    plain = arrays(gradients(net.spec))
    found = arrays(gradients(rewoven(net.changed(inputs=x), changed)))
    for name, gradient in plain.items():
        right = _column(gradient, column, scale) if name.removeprefix("dL_d") in alone else gradient
        right = _column(right, column, 1 / scale) if name == "dL_dx" else right
        if np.isfinite(right).all():
            np.testing.assert_allclose(found[name], right, rtol=1e-13, atol=1e-290)


def _column(array: Any, column: int, scale: float) -> Any:
    changed = np.array(array)
    changed[..., column] *= scale
    return changed


# ---------------------------------------------------------------------------- steps and sequences


RNN = st.just("rnn")


def one_step_is_a_dense_layer(net: Drawn) -> None:
    """[W_xh W_hh] on [x_1; h_0], with no recurrence at all."""
    weights, hidden = net.spec["weights"], len(net.spec["weights"]["W_hh"])
    h_0 = np.asarray(net.spec.get("h_0", np.zeros(hidden)))
    dense = net.changed(
        weights={
            **weights,
            "W_xh": np.hstack([weights["W_xh"], weights["W_hh"]]),
            "W_hh": np.zeros((hidden, hidden)),
        },
        inputs=np.hstack([net.spec["inputs"], h_0[np.newaxis]]),
        h_0=np.zeros(hidden),
    )
    found, right = gradients(net.spec), gradients(dense)
    joined = {
        "dL_dW_xh": np.hstack([found["dL_dW_xh"], found["dL_dW_hh"]]),
        "dL_dx": np.hstack([found["dL_dx"], found["dL_dh"][:1]]),
        **{n: found[n] for n in ("dL_db_h", "dL_dW_hy", "dL_db_y") if n in found},
    }
    same(joined, {n: right[n] for n in joined}, net.spec)


def one_step_by_hand(net: Drawn) -> None:
    """δ = σ'(a) ∘ ∂L/∂h; ∂L/∂W_xh = δ xᵀ, ∂L/∂W_hh = δ h_0ᵀ, ∂L/∂x = W_xhᵀ δ."""
    found, weights = gradients(net.spec), net.spec["weights"]
    h_0 = np.asarray(net.spec.get("h_0", np.zeros(len(weights["W_hh"]))))
    delta = np.asarray(found["dL_db_h"])
    right = {
        "dL_dW_xh": np.outer(delta, net.spec["inputs"][0]),
        "dL_dW_hh": np.outer(delta, h_0),
        "dL_dx": (weights["W_xh"].T @ delta)[np.newaxis],
        "dL_dh": np.array([weights["W_hh"].T @ delta, found["dL_dh"][1]]),
    }
    same({n: found[n] for n in right}, right, net.spec)


def two_sequences_joined(net: Drawn, seed: int) -> None:
    """The second begins where the first ends: what comes after the seam is that of the second."""
    problem = rnngrad.load(net.spec)
    assert isinstance(problem, Problem)
    seam = 1 + seed % (problem.steps - 1)
    with np.errstate(all="ignore"):
        whole = rnngrad.gradients(problem)
        layers = forward(problem).layers  # of lstm's parts derive lists h alone
        starts = {
            part: np.concatenate([layer.states[part][seam] for layer in layers])
            for part in problem.cell.parts
        }
        h_0 = starts.pop(problem.cell.parts[0])
        later = replace(
            problem, x=problem.x[seam:], targets=problem.targets[seam:], h_0=h_0, starts=starts,
            loss_weights=problem.loss_weights[seam:],
        )  # fmt: skip
        second = rnngrad.gradients(later)
        first = rnngrad.gradients(
            replace(problem, loss_weights=problem.loss_weights * (np.arange(problem.steps) < seam))
        )
    states = [f"dL_d{part}" for part in problem.cell.parts]
    after = {name: whole[name][seam:] for name in states} | {"dL_dx": whole["dL_dx"][seam:]}
    # row ``seam`` of the whole has the direct term of that step too, which is no part of the second
    direct = np.asarray(whole["dLt_dht"])[seam - 1]
    after[states[0]][0] -= direct
    same(after, {name: second[name] for name in after}, net.spec)
    if problem.loss_weights[seam:].any():
        return
    same({"dL_dx": whole["dL_dx"]}, {"dL_dx": first["dL_dx"]}, net.spec)


def a_batch_is_its_sequences(net: Drawn) -> None:
    assume("batch" in net.spec)
    found, count = gradients(net.spec), len(net.spec["inputs"])
    ones = [
        gradients(net.changed(batch=None, batch_reduction=None, inputs=net.spec["inputs"][k],
                              targets=net.spec["targets"][k]))
        for k in range(count)
    ]  # fmt: skip
    share = 1 / count if net.spec["batch_reduction"] == "mean" else 1.0
    of_one = {"dL_dx", "dL_dy", *(f"dL_d{part}" for part in net.cell.parts)}
    right = {
        name: share * (np.stack if name in of_one else sum)([one[name] for one in ones])
        for name in arrays(found)
    }
    same(arrays(found), right, net.spec)


# ---------------------------------------------------------------------------- other words


def a_tanh_net_as_a_sigmoid_net(net: Drawn) -> None:
    """tanh a = 2σ(2a) − 1, so with s = (h + 1)/2 the same net has other weights."""
    assume("W_hy" in net.spec["weights"])
    spec = net.changed(activation="tanh")
    W, U, b, V, c = (spec["weights"][n] for n in ("W_xh", "W_hh", "b_h", "W_hy", "b_y"))
    hidden = len(b)
    h_0 = np.asarray(spec.get("h_0", np.zeros(hidden)))
    other = {
        **spec,
        "activation": "sigmoid",
        "h_0": (h_0 + 1) / 2,
        "weights": {
            "W_xh": 2 * W, "W_hh": 4 * U, "b_h": 2 * b - 2 * U.sum(axis=1),
            "W_hy": 2 * V, "b_y": c - V.sum(axis=1),
        },
    }  # fmt: skip
    found, by_sigmoid = gradients(spec), gradients(other)
    of_b, of_c = by_sigmoid["dL_db_h"], by_sigmoid["dL_db_y"]
    right = {
        "dL_dW_xh": 2 * by_sigmoid["dL_dW_xh"],
        "dL_dW_hh": 4 * by_sigmoid["dL_dW_hh"] - 2 * of_b[:, np.newaxis],
        "dL_db_h": 2 * of_b,
        "dL_dW_hy": 2 * by_sigmoid["dL_dW_hy"] - of_c[:, np.newaxis],
        "dL_db_y": of_c,
        "dL_dx": by_sigmoid["dL_dx"],
        "dL_dh": by_sigmoid["dL_dh"] / 2,
    }
    # 4 dU' − 2 db' cancels where h is near −1: as many digits as are left
    kept = {n: a for n, a in right.items() if not _cancelled(n, a, by_sigmoid)}
    same({n: found[n] for n in kept}, kept, spec)


def _cancelled(name: str, array: Any, by_sigmoid: Mapping[str, Any]) -> bool:
    size = np.abs(array).max(initial=0.0)
    return name in ("dL_dW_hh", "dL_dW_hy") and size < 1e-5 * np.abs(by_sigmoid[name]).max()


OWN = sorted(
    name
    for name, cell in CELLS.items()
    if not cell.blocks and name != "rnn" and cell.input_letter == "I" and "I" not in cell.letters
)
"""Cells whose parameters are those of their equations, and whose x may have any size."""


def _as_own(net: Drawn, equations: list[str]) -> Spec:
    cell = net.cell
    written: Spec = {"equations": equations, "state": list(cell.parts)}
    shapes = {name: list(shape) for name, shape in cell.equations.parameters.items()}
    shapes |= dict(zip(cell.parts, ([letter] for letter in cell.letters), strict=True))
    return {**net.spec, "cell": {**written, "shapes": shapes}}


def _needed(equations: Any) -> dict[str, set[str]]:
    """equation -> the equations of the same step that it reads."""
    names = {one.name for one in equations}
    return {
        one.name: {
            node.head
            for node in nodes(one.right)
            if isinstance(node, Name) and node.step and not node.step.offset and node.head in names
        }
        for one in equations
    }


def equations_in_another_order(net: Drawn, seed: int) -> None:
    rng = np.random.default_rng(seed)
    needed, texts = _needed(net.cell.equations.equations), {}
    for one in net.cell.equations.equations:
        texts[one.name] = one.text
    order: list[str] = []
    while len(order) < len(texts):
        ready = [n for n in texts if n not in order and needed[n] <= {*order}]
        order.append(str(rng.choice(ready)))
    right = arrays(gradients(net.spec))
    found = arrays(gradients(_as_own(net, [texts[name] for name in order])))
    same({n: found[n] for n in right}, right, net.spec)


def gates_and_weights_renamed(net: Drawn) -> None:
    """Names mean nothing: every parameter and every equation but the state's under another."""
    equations = net.cell.equations
    gates = [one.name for one in equations.equations if one.name not in net.cell.parts]
    names = {name: f"gate{chr(97 + i)}" for i, name in enumerate(gates)}
    own = sorted(equations.parameters)
    assume(not any(n.isascii() is False for n in (*own, *gates)))
    renamed = {
        name: f"{'W' if name[0].isupper() else 'w'}_{chr(97 + i // 26)}{chr(97 + i % 26)}"
        for i, name in enumerate(own)
    }
    both = {**names, **renamed}
    texts = [_renamed(one.text, both) for one in equations.equations]
    spec = _as_own(net, texts)
    spec["cell"]["shapes"] = {
        renamed.get(name, name): shape for name, shape in spec["cell"]["shapes"].items()
    }
    spec["weights"] = {renamed.get(n, n): W for n, W in net.spec["weights"].items()}
    right, found = arrays(gradients(net.spec)), arrays(gradients(spec))
    back = {f"dL_d{new}": f"dL_d{old}" for old, new in renamed.items()}
    same({back.get(n, n): a for n, a in found.items()}, right, net.spec)


def _renamed(text: str, names: Mapping[str, str]) -> str:
    """Every whole name of the equations, with or without a step behind it."""

    def new(found: re.Match[str]) -> str:
        word = found[0]
        if word in names:
            return names[word]
        head, at, step = word.rpartition("_t")
        return f"{names[head]}_t" if at and not step and head in names else word

    return re.sub(r"[^\W\d]\w*", new, re.sub(r"(\w)_\{t", r"\1 _{t", text)).replace(" _{t", "_{t")


# ---------------------------------------------------------------------------- all of them

PROPERTIES: dict[str, tuple[Any, ...]] = {
    "permuting units permutes every gradient": (
        permuting_units_permutes_every_gradient,
        ONE_LAYER,
        SEEDS,
    ),
    "scaling the loss scales every gradient": (
        scaling_the_loss_scales_every_gradient,
        nets(steps=SHORT, batches=False),
        st.integers(-8, 8),
        st.sampled_from([1.0, 1.375]),
    ),
    "a zero input column has a zero gradient column": (
        a_zero_input_column_has_a_zero_gradient_column,
        nets(steps=SHORT),
        SEEDS,
    ),
    "an input column in other units": (
        an_input_column_in_other_units,
        nets(steps=SHORT),
        SEEDS,
        st.integers(-6, 6),
    ),
    "one step is a dense layer": (
        one_step_is_a_dense_layer,
        nets(names=RNN, steps=st.just(1), layers=1, batches=False),
    ),
    "one step by hand": (
        one_step_by_hand,
        nets(names=RNN, steps=st.just(1), layers=1, batches=False),
    ),
    "two sequences joined": (
        two_sequences_joined,
        nets(steps=st.integers(2, 25), batches=False),
        SEEDS,
    ),
    "a batch is its sequences": (a_batch_is_its_sequences, nets(steps=SHORT)),
    "a tanh net as a sigmoid net": (
        a_tanh_net_as_a_sigmoid_net,
        nets(names=RNN, steps=SHORT, layers=1, batches=False),
    ),
    "equations in another order": (
        equations_in_another_order,
        nets(names=st.sampled_from(OWN), steps=SHORT, layers=1),
        SEEDS,
    ),
    "gates and weights renamed": (
        gates_and_weights_renamed,
        nets(names=st.sampled_from(OWN), steps=SHORT, layers=1),
    ),
}
"""What must hold -> the function that says so, and what draws its arguments."""
OF_OWN_CELLS = ("equations in another order", "gates and weights renamed")


@pytest.mark.parametrize("name", PROPERTIES)
def test_it_holds(name: str, record_property: Callable[[str, object], None]) -> None:
    record_property("metamorphic", proved(*PROPERTIES[name], share=SHARE))


@pytest.mark.parametrize("name", PROPERTIES)
def test_a_planted_mistake_shows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousandth too much in the first entry of every gradient; of a cell of one's own alone,
    where the other side is a shipped one."""
    right = rnngrad.gradients

    def planted(problem: Any) -> dict[str, Any]:
        found = dict(right(problem))
        if name in OF_OWN_CELLS and not _net(problem).cell.own:
            return found
        for key, gradient in arrays(found).items():
            found[key] = np.array(gradient)
            found[key].flat[0] += 1e-3
        return found

    monkeypatch.setattr(rnngrad, "gradients", planted)
    with pytest.raises(AssertionError):
        proved(*PROPERTIES[name], planted=True)


def _net(problem: Any) -> Problem:
    return problem if isinstance(problem, Problem) else problem.net
