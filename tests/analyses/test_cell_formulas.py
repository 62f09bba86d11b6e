"""Every formula that is shown, evaluated as text against complex steps: of gru, lstm and stacks of
many sizes, and of every cell that comes with rnngrad."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterable
from functools import partial, reduce
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rnngrad
from oracles import formula_text, plain
from oracles.any_cell import ONE_OR_TWO
from oracles.examples import quarter_of
from oracles.one_step import OneStep, rows_of_gate
from oracles.uneven_nets import any_net
from rnngrad.algebra import derivatives
from rnngrad.analyses.derivation import step_partials, step_text
from rnngrad.analyses.derivation.chain_rules import first_use, loss_steps
from rnngrad.analyses.derivation.derive import Derivation
from rnngrad.analyses.derivation.formulas import (
    Line,
    Path,
    paths_to_state,
    paths_to_weight,
    state_formula,
    weight_formula,
)
from rnngrad.analyses.derivation.notation import Notation, raised
from rnngrad.analyses.derivation.selection import computed, select
from rnngrad.arithmetic.functions import FUNCTIONS, sigmoid
from rnngrad.cells import CELLS
from rnngrad.net.cells import lengths
from rnngrad.views.derivation.report import report
from rnngrad.views.formats.names import FORMATS
from rnngrad.views.report import Screen

OUTPUTS = {"identity": "squared_error", "tanh": "mean_squared_error", "softmax": "cross_entropy",
           "sigmoid": "binary_cross_entropy"}  # fmt: skip
OLD = ["gru", "lstm", "rnn"]
PARTIAL = re.compile(r"∂(⁺?)(.+)/∂(.+)")
STEP = re.compile(r"^(\w+?[⁰¹²³⁴-⁹]*)_(\d+)$")


def net(cell: str, hidden: list[int], steps: int, seed: int, **others: object) -> rnngrad.Problem:
    """A random net with these layers; I = 2, O = 3 unless it has no read-out."""
    rng = np.random.default_rng(seed)
    inputs, outputs = others.pop("sizes", (2, 3))
    layers = []
    for below, units in zip([inputs, *hidden], hidden, strict=False):
        shapes = CELLS[cell].parameters.items()
        layers.append({n: rng.normal(0, 0.8, lengths(s, {"H": units, "I": below}))
                       for n, s in shapes})  # fmt: skip
    readout = others.pop("readout", True)
    outputs = outputs if readout else hidden[-1]
    weights = {"layers": layers} if len(hidden) > 1 else layers[0]
    if readout:
        weights["W_hy"], weights["b_y"] = (
            rng.normal(size=(outputs, hidden[-1])),
            rng.normal(size=outputs),
        )
    spec = {
        "name": "net",
        "cell": cell,
        "weights": weights,
        "inputs": rng.normal(size=(steps, inputs)),
        "targets": rng.dirichlet(np.ones(outputs), steps),
    }
    if others.pop("start", False):
        spec["h_0"] = rng.normal(size=sum(hidden))
        if cell == "lstm":
            spec["c_0"] = rng.normal(size=sum(hidden))
    if "output_activation" in others:
        spec["loss"] = OUTPUTS[others["output_activation"]]
    return rnngrad.load(spec | others)


@st.composite
def nets(draw: st.DrawFn) -> rnngrad.Problem:
    cell = draw(st.sampled_from(OLD))
    hidden = draw(st.lists(st.integers(1, 3), min_size=2 if cell == "rnn" else 1, max_size=3))
    steps = draw(st.integers(1, 3))
    return net(
        cell, hidden, steps, draw(st.integers(0, 2**32 - 1)),
        sizes=draw(st.sampled_from([(2, 3), (1, 1)])),
        readout=draw(st.booleans()),
        start=draw(st.booleans()),
        output_activation=draw(st.sampled_from(sorted(OUTPUTS))),
        loss_steps=draw(st.sampled_from(["all", "last", [1]])),
        loss_reduction=draw(st.sampled_from(["sum", "mean"])),
    )  # fmt: skip


class Proof:
    """Reads the formulas of one derivation and knows what the names in them stand for."""

    def __init__(self, result: Derivation) -> None:
        self.result, self.problem = result, result.problem
        self.steps = OneStep(self.problem)

    def sides(self, line: Line, t: int) -> list[np.ndarray]:
        """Every side of the equation of a line, at step t."""
        formula = line.formula.replace("/O", f"/{self.problem.outputs}")
        if line.id == "a3":
            formula = self.sized(formula)
        slopes = {"σ": self.sigma_slope, "g": self.g_slope}
        known = {name: record.f for name, record in FUNCTIONS.items()}
        slopes |= {name: partial(_slope, f) for name, f in known.items()}
        functions = {name: partial(_real, f) for name, f in known.items()} | {"σ": sigmoid}
        shown = shown_at(self.result, line, t)
        rows = len(shown) if shown.ndim else 1
        reader = formula_text.Reader(lambda name: self.lookup(name, t), slopes, functions, rows,
                                     self.blocks(line))  # fmt: skip
        return [*self.meant(line, t), *(reader.value(side) for side in formula.split(" = "))]

    def meant(self, line: Line, t: int) -> list[np.ndarray]:
        """What the symbol itself stands for, where it is a partial within step t."""
        found = PARTIAL.fullmatch(line.symbol)
        if found is None or found[2][0] == "L":
            return []
        meant = self.partial(found[2], found[3], t, immediate=bool(found[1]))
        by_row = found[3] in self.problem.weights and self.result.value_shape(line)[1:] == (
            self.problem.weights[found[3]].shape
        )
        matrix = by_row and self.problem.weights[found[3]].ndim == 2
        return [self.compact(meant, found[3]) if matrix else meant]

    def compact(self, by_weight: np.ndarray, weight: str) -> np.ndarray:
        """(H, size of W) -> each row of W with the unit that it belongs to; others are zero."""
        rows, columns = self.problem.weights[weight].shape
        hidden = len(by_weight)
        full = by_weight.reshape(hidden, rows, columns)
        own = np.arange(rows) % hidden
        assert not full[own[np.newaxis] != np.arange(hidden)[:, np.newaxis]].any()
        return full[own, np.arange(rows)]

    def blocks(self, line: Line) -> list[int] | None:
        """How large the parts of the state are, where a line is blocks of them."""
        layer = self.problem.layers[int(line.id.partition(".")[2] or 0)]
        parts = [columns.stop - columns.start for columns in layer.state]
        whole = self.problem.depth == 1 or line.id[0] == "g"
        return parts if len(parts) > 1 and whole else None

    def total(self, paths: Iterable[Path]) -> np.ndarray:
        """The sum over paths; 0 where there is none."""
        found = np.zeros(())
        for path in paths:
            factors = [self.partial(p.top, p.bottom, 0, immediate=p.immediate)
                       for p in (*path.head, *path.tail)]  # fmt: skip
            found = found + reduce(np.matmul, factors)
        return found

    def sized(self, formula: str) -> str:
        """[0, 0, W_hy] and the 1 of no read-out at all: zeros and units of the right size."""
        formula = re.sub(r"· 1$", "· E_1", formula).replace(", 1]", ", E_1]")
        zeros = iter(range(self.problem.depth))
        return re.sub(r"(?<=[\[ ])0(?=,)", lambda _: f"O_{next(zeros)}", formula)

    def sigma_slope(self, a: np.ndarray) -> np.ndarray:
        """σ is what the heading says: the gates' sigmoid in gru and lstm."""
        rnn = self.problem.cell.name == "rnn"
        return self.slope(self.problem.activation.name if rnn else "sigmoid", a)

    def g_slope(self, a: np.ndarray) -> np.ndarray:
        return self.slope(self.problem.output.name, a)

    def slope(self, name: str, a: np.ndarray) -> np.ndarray:
        return plain.activate(name, a + 1e-30j, plain.COMPLEX).imag / 1e-30

    def lookup(self, name: str, t: int) -> np.ndarray:
        partial = PARTIAL.fullmatch(name)
        if partial is not None:
            return self.partial(partial[2], partial[3], t, immediate=bool(partial[1]))
        head = name.partition(".")[0]
        cell = self.problem.cell
        if head in cell.equations.parameters or name in self.problem.weights:
            return rows_of_gate(self.problem, name)
        letter, index = name.rsplit("_", 1)
        if letter in ("O", "E"):
            top = self.problem.outputs
            return np.eye(top) if letter == "E" else np.zeros((top, self.hidden(int(index))))
        at = int(index) if index.isdigit() else t
        if letter in cell.equations.sizes and letter != "x":
            return self.steps.value(at, _general(name))
        known = {"y": lambda: self.result["y"][at - 1], "t": lambda: self.problem.targets[at - 1],
                 "x": lambda: self.problem.x[at - 1]}  # fmt: skip
        return known[letter]() if letter in known else self.steps.value(at, _general(name))

    def hidden(self, at: int) -> int:
        return int(self.steps.cuts[at + 1] - self.steps.cuts[at])

    def partial(self, top: str, bottom: str, t: int, *, immediate: bool) -> np.ndarray:
        if top == "L":
            return np.ones(())
        found = STEP.match(top)
        t = int(found[2]) if found else t
        if top[0] == "L":
            return self.result["dL_dy"][t - 1]
        if top[0] == "y":
            return self.of_the_readout(bottom, t)
        if bottom in self.problem.weights:
            return self.steps.by_weight(t, _general(top), bottom)
        earlier = STEP.match(bottom)
        below = f"{earlier[1]}_{{t−1}}" if earlier else bottom
        return self.steps.partial(t, _general(top), below, immediate=immediate)

    def of_the_readout(self, bottom: str, t: int) -> np.ndarray:
        """∂y_t/∂s_t or ∂y_t/∂h_t: only the top layer's h has a part in it."""
        a_y = self.result.passes.forward.a_y[t - 1]
        name = self.problem.output.name
        columns = [plain.activate(name, a_y + 1e-30j * unit, plain.COMPLEX).imag / 1e-30
                   for unit in np.eye(len(a_y))]  # fmt: skip
        slope = np.array(columns).T
        slope = slope @ self.problem.weights["W_hy"] if "W_hy" in self.problem.weights else slope
        parts = self.steps.parts(_general(bottom))
        top = self.steps.parts(f"{self.problem.cell.parts[0]}_t")[-1]
        sizes = [len(self.steps.value(t, part)) for part in parts]
        blocks = [slope if part == top else np.zeros((len(a_y), size))
                  for part, size in zip(parts, sizes, strict=True)]  # fmt: skip
        return np.concatenate(blocks, axis=1)


def _real(f: Callable[[np.ndarray], np.ndarray], a: np.ndarray) -> np.ndarray:
    return f(np.asarray(a, complex)).real


def _slope(f: Callable[[np.ndarray], np.ndarray], a: np.ndarray) -> np.ndarray:
    return f(a + 1e-30j).imag / 1e-30


def _general(name: str) -> str:
    return re.sub(r"_\d+$", "_t", name)


def agree(computed: np.ndarray, shown: np.ndarray) -> bool:
    """The same numbers; a diagonal matrix may be given by its diagonal."""
    if computed.ndim == 2 and shown.ndim == 1 and computed.shape == (len(shown),) * 2:
        shown = np.diag(shown)
    if computed.ndim == 0:
        computed = np.full(shown.shape, computed)  # 0, a sum without a path
    if computed.size != shown.size:
        return False
    scale = max(float(np.abs(shown).max()), 1e-3)
    return bool(np.abs(computed.ravel() - shown.ravel()).max() <= 1e-11 * scale)


def shown_at(result: Derivation, line: Line, t: int) -> np.ndarray:
    """The value of a line; of one that holds for every t that of step t."""
    value = result.value(line)
    if line.own is not None:
        scale = max(float(np.abs(value[t - 1]).max()), 1e-300)
        assert np.abs(result.value_at(line, t) - value[t - 1]).max() <= 1e-14 * scale
    every = line.own is not None or line.id == "a4"
    return value[t - 1] if every else value


def wrong_lines(problem: rnngrad.Problem, first: int = 1) -> list[str]:
    """The lines whose formula and value differ, from step ``first`` on."""
    result = rnngrad.derive(problem)
    proof, wrong = Proof(result), []
    for line in result.lines:
        if "Σ" in line.formula or "does not count" in line.formula:
            continue
        every = line.own is not None or line.id == "a4"
        for t in range(first, problem.steps + 1) if every else [problem.steps]:
            shown = shown_at(result, line, t)
            sides = proof.sides(line, t)
            if not all(agree(side, shown) for side in sides):
                wrong.append(f"{line.id} {line.symbol} at {t}")
    return wrong


@given(nets())
@settings(max_examples=quarter_of(60))
def test_every_formula_is_its_value(problem: rnngrad.Problem) -> None:
    assert wrong_lines(problem) == []


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_a_scalar_net_is_written_without_diag_and_still_right(cell: str) -> None:
    problem = net(cell, [1], 3, 5, sizes=(1, 1), start=True)
    result = rnngrad.derive(problem)
    assert not any("diag" in line.formula for line in result.lines)
    assert wrong_lines(problem) == []


@pytest.mark.cases(12)
@pytest.mark.parametrize(("name", "layers"), ONE_OR_TWO)
def test_every_formula_of_every_cell_is_its_value(name: str, layers: int) -> None:
    """Sizes of every letter differ, so that none can stand for another. Of one layer of rnn
    ``test_formulas`` reads the sheet's own notation."""
    if (name, layers) == ("rnn", 1):
        return
    assert wrong_lines(any_net(name, layers, steps=2), first=2) == []


RULES = ["_of_factor", "_of_quotient", "_of_power", "negative"]


@pytest.mark.parametrize("rule", RULES)
def test_a_wrong_rule_of_the_algebra_is_seen(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each rule in turn gives its result twice: that must not pass."""
    right = getattr(derivatives, rule)

    def twice(*arguments: object) -> object:
        found = right(*arguments)
        return None if found is None else derivatives.Add((found, found))

    monkeypatch.setattr(derivatives, rule, twice)
    cell = {"_of_quotient": "minlstm", "_of_power": "rg_lru"}.get(rule, "gru")
    assert wrong_lines(afresh(cell)) != []


def test_a_slope_of_another_function_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(step_text._BY_VALUE, "tanh", step_text._BY_VALUE["σ"])
    assert wrong_lines(any_net("lstm", 1)) != []


def test_a_way_that_is_forgotten_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each link of gru and lstm in turn is not there, in text and value."""
    for name in ("gru", "lstm"):
        problem = any_net(name, 2, steps=1)
        graph = step_partials.graph_of(problem.cell)
        for key, links in graph.links.items():
            for at in range(len(links)):
                without = {**graph.links, key: [*links[:at], *links[at + 1 :]]}
                with monkeypatch.context() as patch:
                    patch.setattr(graph, "links", without)
                    patch.setattr(graph, "_measured", {})
                    try:
                        wrong = wrong_lines(problem)
                    except (ValueError, StopIteration, KeyError):
                        continue
                    assert wrong, (name, links[at])


def afresh(name: str) -> rnngrad.Problem:
    """A net whose cell was read from its file now, nothing of it computed yet."""
    problem = any_net(name, 1)
    return dataclasses.replace(problem, cell=dataclasses.replace(problem.cell))


@pytest.mark.cases(12)
@pytest.mark.parametrize(("name", "layers"), ONE_OR_TWO)
def test_every_cell_has_its_report(name: str, layers: int) -> None:
    """The tables on 80 columns, in ASCII too, a step alone, and JSON."""
    result = rnngrad.derive(any_net(name, layers))
    for step in (None, 2):
        selection = select(result, (), step, False)
        shown = report(result, selection, computed(result, selection, every=True))
        for screen in (Screen(), Screen(unicode=False)):
            text = "".join(FORMATS["table"](shown, screen))
            assert max(map(len, text.splitlines())) <= 80
            assert screen.unicode or (text.isascii() and "?" not in text)
        document = json.loads("".join(FORMATS["json"](shown, Screen())))
        assert len(document["spec"]["equations"]) == len(result.problem.cell.equations.equations)
        assert set(document["quantities"]) <= set(result)
    for name_of, array in result.items():
        assert array.shape == result.record(name_of).shape(result.problem)
        assert np.isfinite(array[~np.isnan(array)]).all() or name_of.startswith("log10_")


def test_what_is_spelled_out_is_proved_too() -> None:
    """Every line of a small net is read as text: none hides behind a Σ."""
    for cell in OLD:
        lines = rnngrad.derive(net(cell, [2, 1], 2, 1)).lines
        assert not any("Σ" in line.formula for line in lines)


@given(nets())
@settings(max_examples=30)
def test_long_sums_are_those_paths(problem: rnngrad.Problem) -> None:
    """What Σ and ∏ stand for in a long net, path by path."""
    result = rnngrad.derive(problem)
    proof, counting = Proof(result), loss_steps(problem)
    state = Notation(problem).state
    for name in (n for n in problem.weights if n.startswith(("W_xh", "W_hh"))):
        paths = paths_to_weight(name, counting, first_step=first_use(problem, name), state=state)
        assert agree(proof.total(paths), result[f"dL_d{name}"])
    for k in range(problem.steps + 1):
        for end in problem.cell.parts:
            paths = paths_to_state(k, counting, state=state, end=end, seen="h")
            assert agree(proof.total(paths), result[f"dL_d{end}"][k])


def test_a_loss_does_not_reach_c_of_its_own_step() -> None:
    assert state_formula(1, [1, 2], state="s", end="c") == "∂L_2/∂y_2 · ∂y_2/∂s_2 · ∂s_2/∂c_1"
    assert state_formula(2, [1, 2], state="s", end="c") == "0"


def test_long_sums_name_the_state() -> None:
    steps = list(range(1, 51))
    assert state_formula(1, steps, state="s", end="c") == (
        "Σ_{t=2..50} ∂L_t/∂y_t · ∂y_t/∂s_t · ∏_{j=2..t} ∂s_j/∂s_{j−1} · ∂s_1/∂c_1"
    )
    assert weight_formula("W_hh.1", steps, 2, state="s") == (
        "Σ_{t=2..50} ∂L_t/∂y_t · ∂y_t/∂s_t · "
        "Σ_{k=2..t} (∏_{j=k+1..t} ∂s_j/∂s_{j−1}) · ∂⁺s_k/∂W_hh.1"
    )


def test_the_blocks_of_a_deep_stack_follow_the_rule() -> None:
    """Too many to be spelled out: the rule that is shown, block by block."""
    problem = net("lstm", [1, 2, 1, 1, 1], 2, 4, start=True)
    result = rnngrad.derive(problem)
    proof = Proof(result)
    (a4,) = (line for line in result.lines if line.id == "a4")
    assert a4.formula == (
        "block (l, m) = ∂sˡ_t/∂hˡ⁻¹_t ⋯ ∂hᵐ_t/∂sᵐ_{t−1} for m < l, ∂sˡ_t/∂sˡ_{t−1} for m = l, "
        "0 for m > l"
    )
    jacobian, cuts = result["dht_dhprev"][1], 2 * proof.steps.cuts
    for top in range(5):
        for bottom in range(5):
            block = jacobian[cuts[top] : cuts[top + 1], cuts[bottom] : cuts[bottom + 1]]
            names = [f"{'h' if at < top else 's'}{raised(at + 1)}_t"
                     for at in range(top, bottom - 1, -1)]  # fmt: skip
            names.append(f"s{raised(bottom + 1)}_{{t−1}}")
            factors = [proof.partial(a, b, 2, immediate=False) for a, b in pairwise(names)]
            meant = reduce(np.matmul, factors) if bottom <= top else np.zeros(block.shape)
            assert agree(meant, block), (top, bottom)


@pytest.mark.parametrize("cell", OLD)
@pytest.mark.parametrize("hidden", [[3], [2, 1, 2]])
def test_which_lines_exist(cell: str, hidden: list[int]) -> None:
    lines = [line.id for line in rnngrad.derive(net(cell, hidden, 3, 0)).lines]
    assert len(lines) == len(set(lines))
    layers = [f".{at}" for at in range(len(hidden))] if len(hidden) > 1 else [""]
    expected = {"a1", "a2", "a3", "a4", "a5", "a6"}
    expected |= {f"{b}{layer}" for b in ("b3", "b4") for layer in layers}
    expected |= {"b1", "b2"} if len(hidden) == 1 else set()
    expected |= {"c5", "c6"} if cell == "lstm" else set()
    assert {x for x in lines if not x.startswith("g")} == expected
    assert any(x.startswith("g") for x in lines) == (cell != "rnn" or len(hidden) > 1)
    assert (
        sorted(lines[: len(expected)], key=lambda x: x.partition(".")[0]) == lines[: len(expected)]
    )


@pytest.mark.parametrize("cell", OLD)
def test_a_single_step_without_targets(cell: str) -> None:
    problem = dataclasses.replace(
        net(cell, [2, 3], 1, 2), loss=None, targets=None, loss_weights=None
    )
    result = rnngrad.derive(problem)
    assert {line.id for line in result.lines if not line.id.startswith("g")} == {"a4"}
    assert wrong_lines(problem) == []


def test_values_are_right_where_a_gate_is_saturated() -> None:
    """1 − z² of a unit at 40 is e⁻⁸⁰, no difference of equals."""
    problem = net("gru", [1], 1, 0, sizes=(1, 1))
    weights = {name: np.zeros_like(value) for name, value in problem.weights.items()}
    weights |= {"b_xh": np.array([0.0, 40.0, 20.0])}
    result = rnngrad.derive(dataclasses.replace(problem, weights=weights))
    values = {line.symbol: result.value(line).ravel() for line in result.lines}
    assert values["∂h_t/∂n_t"] == pytest.approx(np.exp(-40), rel=1e-14)
    assert values["∂n_t/∂r_t"] == 0.0
    assert values["∂⁺h_t/∂W_xh"][2] == pytest.approx(
        np.exp(-40) * 4 * np.exp(-40) * problem.x[0, 0], rel=1e-14
    )
