"""Pictures as data: their numbers are those of the analyses, or of something independent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import QuadMesh

import rnngrad
from rnngrad.analyses.checking.own.self_check import check_own
from rnngrad.analyses.flow.cliff import parameters
from rnngrad.analyses.flow.flow import GradientFlow
from rnngrad.analyses.sweep.critical_scales import gaps
from rnngrad.analyses.sweep.scales import scales_of
from rnngrad.analyses.sweep.sweep import SweepResult, result
from rnngrad.analyses.sweep.tasks import forget, plan, rows_of, zeros_of
from rnngrad.errors import UsageError
from rnngrad.views.pictures.by_matplotlib.page import drawn, page
from rnngrad.views.pictures.by_matplotlib.ticks import told_apart
from rnngrad.views.pictures.by_matplotlib.words import in_small_signs
from rnngrad.views.pictures.checks import CheckedNet
from rnngrad.views.pictures.kinds import PICTURES, chosen, of_verb, pictures
from rnngrad.views.pictures.nets import Nets
from rnngrad.views.pictures.of_nets import flow as flow_pictures
from rnngrad.views.pictures.picture import (
    Axis,
    Band,
    Bars,
    Graph,
    Heat,
    Level,
    Line,
    Mark,
    Picture,
    Region,
    notes_of,
)
from rnngrad.views.pictures.rate_map import Swept, _below, axes, check_swept
from rnngrad.views.pictures.svg.frame import frame_of
from rnngrad.views.pictures.svg.heat import colour_key
from rnngrad.views.pictures.to_rows import COLUMNS, rows
from rnngrad.views.pictures.words import rough

Spec = dict[str, Any]


def net(cell: str = "rnn", steps: int = 12, hidden: int = 4, **more: Any) -> Spec:
    W_xh: Spec = {"init": "uniform", "bound": 0.6}
    return {
        "name": f"a {cell}", "cell": cell, "seed": 1,
        "sizes": {"inputs": 2, "hidden": hidden, "outputs": 2},
        "weights": {"W_xh": W_xh, "W_hh": {"init": "orthogonal"}, "W_hy": {"init": "normal"}},
        "inputs": {"random": "normal", "steps": steps}, "targets": {"random": "normal"},
    } | more  # fmt: skip


def stack() -> Spec:
    layer = {"W_xh": {"init": "normal"}, "W_hh": {"init": "orthogonal"}}
    return net("gru") | {"weights": {"layers": [layer, layer], "W_hy": {"init": "normal"}}}


def flow_of(spec: Mapping[str, Any]) -> GradientFlow:
    return GradientFlow(rnngrad.derive(rnngrad.load(dict(spec))))


def shown(name: str, *specs: Mapping[str, Any], **more: Any) -> list[Picture]:
    return list(pictures(name, Nets(tuple(map(flow_of, specs)), **more)))


def only(name: str, *specs: Mapping[str, Any], **more: Any) -> Picture:
    (picture,) = shown(name, *specs, **more)
    return picture


def marks(picture: Picture, kind: type[Mark]) -> list[Any]:
    return [mark for mark in picture.marks if isinstance(mark, kind)]


# --- the numbers


def test_an_unrolled_net_has_the_jacobians_and_the_gradients_of_its_steps() -> None:
    flow = flow_of(net(steps=20))
    derived, picture = flow.result, only("unrolled", net(steps=20))
    (graph,) = marks(picture, Graph)
    states = [node for node in graph.nodes if node.round]
    assert [node.name for node in states] == [f"h_{t}" for t in range(12, 21)]
    norms = np.linalg.norm(derived["dL_dh"][12:], axis=1)
    np.testing.assert_allclose([node.value for node in states], norms, rtol=1e-13)
    back = [a for a in graph.arrows if a.start.round]
    sigma = [np.linalg.norm(J, 2) for J in derived["dht_dhprev"][12:]]
    np.testing.assert_allclose([10**a.log10 for a in back], sigma, rtol=1e-12)
    assert (back[0].start.name, back[0].end.name) == ("h_13", "h_12")
    down = [a for a in graph.arrows if not a.start.round]
    direct = np.linalg.norm(derived["dLt_dht"][12:], axis=1)
    np.testing.assert_allclose([10**a.log10 for a in down], direct, rtol=1e-12)
    assert picture.notes[0] == "Steps 13 to 20 of 20."


def test_a_window_lies_around_the_step_that_is_asked_for() -> None:
    (graph,) = marks(only("unrolled", net(steps=20), step=6), Graph)
    assert [n.name for n in graph.nodes if n.round] == [f"h_{t}" for t in range(2, 11)]
    (graph,) = marks(only("unrolled", net(steps=20), step=1), Graph)
    assert [n.name for n in graph.nodes if n.round] == [f"h_{t}" for t in range(9)]


def test_numbers_of_a_scalar_net_have_their_signs() -> None:
    spec = {"weights": {"W_xh": 1, "W_hh": -0.5}, "inputs": [1, 1, 1], "targets": [0, 2, 0]}
    derived = rnngrad.derive(rnngrad.load(dict(spec)))
    (graph,) = marks(only("unrolled", spec), Graph)
    values = [node.value for node in graph.nodes if node.round]
    np.testing.assert_allclose(values, derived["dL_dh"][:, 0], rtol=1e-13)
    first = graph.arrows[0]
    assert first.words == f"×{derived['dht_dhprev'][0, 0, 0]:.3g}".replace("-", "−")
    assert first.words.startswith("×−")


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_a_credit_map_is_log10_paths(cell: str) -> None:
    (heat,) = marks(only("credit-map", net(cell)), Heat)
    paths = rnngrad.log10_paths(rnngrad.load(net(cell)))
    np.testing.assert_array_equal(heat.z, paths)
    np.testing.assert_array_equal(heat.x, np.arange(13))
    np.testing.assert_array_equal(heat.y, np.arange(1, 13))


def test_a_large_map_is_thinned_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_pictures, "CELLS", 7)
    picture = only("credit-map", net(steps=30))
    (heat,) = marks(picture, Heat)
    paths = rnngrad.log10_paths(rnngrad.load(net(steps=30)))
    assert heat.z.shape == (7, 7)
    assert picture.notes == ("Thinned: 7 of 30 losses, a column has the largest of up to 5 steps.",)
    edges = [31 * i // 7 for i in range(8)]
    for cells, t in zip(heat.z, heat.y, strict=True):
        row = paths[int(t) - 1]
        for z, (low, high) in zip(cells, pairwise(edges), strict=True):
            known = row[low:high][~np.isnan(row[low:high])]
            assert np.isnan(z) if not known.size else z == known.max()


def test_maps_beside_each_other_have_one_scale_of_colours() -> None:
    """In every drawer: the same number is the same colour, and the bar says from where to where."""
    alone = [marks(only("credit-map", spec), Heat)[0] for spec in (net(), net("lstm"))]
    beside = [marks(one, Heat)[0] for one in shown("credit-map", net(), net("lstm"))]
    values = np.concatenate([one.z[np.isfinite(one.z)] for one in alone])
    ends = values.min(), values.max()
    assert alone[0].span != alone[1].span
    for one in beside:
        assert one.span == ends
    drawings = page(shown("credit-map", net(), net("lstm"))).axes
    maps = [c for axes in drawings for c in axes.collections if isinstance(c, QuadMesh)]
    limits = {(one.norm.vmin, one.norm.vmax) for one in maps if one.get_array().size > 100}
    assert len(limits) == 1
    bars = [child for axes in drawings for child in axes.child_axes]
    assert len(bars) == 2
    for bar in bars:
        said = [text.get_text().replace("−", "-") for text in bar.get_yticklabels()]
        assert np.isclose(float(said[0]), ends[0], rtol=5e-3)
        assert np.isclose(float(said[-1]), ends[1], rtol=5e-3)
    keys = ["".join(colour_key(one, frame_of(only("credit-map", net()), "k"), 0.0))
            for one in beside]  # fmt: skip
    assert keys[0] == keys[1]


def test_a_map_of_a_hundred_million_cells_is_thinned_and_says_so() -> None:
    spec = net(steps=10_000, hidden=2)
    picture = only("credit-map", spec)
    (heat,) = marks(picture, Heat)
    assert heat.z.shape == (24, 400)
    assert picture.notes[0].startswith("Thinned: 24 of 10,000 losses, a column has the largest of")


def test_what_would_take_long_is_not_computed_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the tables; 10,000 steps have 50 million paths."""
    said = "Not computed unasked for T = 10,000, H = 2; --full does."
    assert [p.finding for p in shown("paths", net(steps=10_000, hidden=2))] == [said]
    monkeypatch.setattr(GradientFlow, "affordable", False)
    for name in ("credit-map", "truncation", "spectrum"):
        picture = only(name, net())
        assert (picture.finding, picture.marks) == (
            "Not computed unasked for T = 12, H = 4; --full does.",
            (),
        )
    assert only("reach", net()).marks


def test_the_reach_has_a_line_a_net_and_the_formats_that_end() -> None:
    picture = only("reach", net("rnn"), net("lstm", steps=9))
    lines, levels = marks(picture, Line), marks(picture, Level)
    assert [line.name for line in lines] == ["a rnn", "a lstm"]
    for line, spec in zip(lines, (net("rnn"), net("lstm", steps=9)), strict=True):
        chain = rnngrad.log10_chain(rnngrad.load(dict(spec)))
        np.testing.assert_array_equal(line.y, chain[::-1])
        np.testing.assert_array_equal(line.x, np.arange(len(chain)))
    assert {level.name: level.y for level in levels} == {
        "bfloat16": pytest.approx(np.log10(2.0**-8)),
        "float32": pytest.approx(np.log10(2.0**-24)),
        "float64": pytest.approx(np.log10(2.0**-53)),
    }


def test_a_cliff_needs_a_loss_that_is_known() -> None:
    spec = {k: v for k, v in net().items() if k != "targets"} | {"upstream": {"random": "normal"}}
    spec["sizes"], spec["weights"] = {"inputs": 2, "hidden": 4}, dict(spec["weights"])
    del spec["weights"]["W_hy"]
    with pytest.raises(UsageError, match="has upstream gradients, but no loss"):
        shown("cliff", spec, cliff=parameters("W_hh[0,0],b_h[0]"))


def test_truncation_is_that_of_derive() -> None:
    picture = only("truncation", net())
    error, cosine = marks(picture, Line)
    found = flow_of(net()).lags
    assert found is not None
    steps, size = found.truncation.steps, found.truncation.rel_error
    np.testing.assert_array_equal(error.x, steps)
    np.testing.assert_array_equal(error.y, np.where(size < 2.0**-53, np.nan, size))
    np.testing.assert_array_equal(cosine.y, found.truncation.cosine)
    assert cosine.right
    together = only("truncation", net(), net("gru"))
    assert [line.name for line in marks(together, Line)] == ["a rnn", "a gru"]


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_the_paths_add_up_to_100_percent(cell: str) -> None:
    found = shown("paths", net(cell))
    assert [p.title.split("∂L/∂")[1].split()[0] for p in found] == ["W_hh", "W_xh"]
    for picture in found:
        (bars,) = marks(picture, Bars)
        assert bars.bars[0].start == 0.0
        assert all(one.end == other.start for one, other in pairwise(bars.bars))
        assert bars.bars[-1].end == pytest.approx(100.0, abs=1e-9)
        assert bars.bars[-1].name.endswith(" more")


def test_the_spectrum_is_that_of_derive_with_its_errors() -> None:
    (line,) = marks(only("spectrum", net(steps=40)), Line)
    exponents = rnngrad.lyapunov_spectrum(rnngrad.load(net(steps=40)))
    np.testing.assert_allclose(line.y, exponents, rtol=1e-12)
    np.testing.assert_allclose(line.x, [0.25, 0.5, 0.75, 1.0])
    np.testing.assert_array_equal(line.error, flow_of(net(steps=40)).lyapunov.spread)


@pytest.mark.parametrize("spec", [net(), net("lstm"), stack()], ids=["rnn", "lstm", "stack"])
def test_eigenvalues_are_those_of_the_jacobians(spec: Spec) -> None:
    picture = only("eigenvalues", spec)
    circle, points, *rest = marks(picture, Line)
    np.testing.assert_allclose(np.hypot(circle.x, circle.y), 1.0)
    derived = rnngrad.derive(rnngrad.load(spec))
    wanted = np.concatenate([np.linalg.eigvals(J) for J in derived["dht_dhprev"]])
    found = points.x + 1j * points.y
    assert np.abs(found[:, np.newaxis] - wanted).min(axis=1).max() < 1e-7
    assert len(found) == len(wanted)
    if spec["cell"] == "rnn":
        W = rnngrad.load(spec).weights["W_hh"]
        np.testing.assert_allclose(np.hypot(rest[0].x, rest[0].y), 1.0)  # orthogonal
        assert len(rest[0].x) == len(W)
    else:
        assert rest == []
    assert picture.square


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_gates_are_their_means(cell: str) -> None:
    *gates, passed = marks(only("gates", net(cell)), Line)
    problem = rnngrad.load(net(cell))
    assert [gate.name for gate in gates] == (["r", "z"] if cell == "gru" else ["i", "f", "o"])
    chain = rnngrad.log10_chain(problem)
    np.testing.assert_array_equal(passed.y, chain[1:])
    h = rnngrad.derive(problem)["h"]
    x, W, U = problem.x, problem.weights["W_xh"], problem.weights["W_hh"]
    size = 4 * [gate.name for gate in gates].index("o" if cell == "lstm" else "z")
    rows = slice(12, 16) if cell == "lstm" else slice(size, size + 4)  # rows i, f, g, o; r, z, n
    by_hand = 1 / (1 + np.exp(-(x @ W[rows].T + h[:-1] @ U[rows].T)))
    name = "o" if cell == "lstm" else "z"
    (one,) = [gate for gate in gates if gate.name == name]
    np.testing.assert_allclose(one.y, by_hand.mean(axis=1), rtol=1e-13)


def test_a_gate_is_what_multiplies_and_lies_between_0_and_1() -> None:
    cell = {
        "state": ["h"],
        "equations": [
            "f_t = hard_sigmoid(W_xf x_t + W_hf h_{t-1})",
            "u_t = 1 - f_t",  # a gate that is no function of a sum
            "p_t = f_t * u_t",  # between 0 and 1, and multiplies nothing
            "q_t = 3 + u_t",  # multiplies, and is above 1
            "g_t = tanh(W_xg x_t)",
            "h_t = f_t * h_{t-1} + u_t * g_t + 0.1 * q_t * g_t + W_p p_t",
        ],
    }
    names = ("W_xf", "W_hf", "W_xg", "W_p")
    spec = net() | {"cell": cell, "weights": {name: {"init": "normal"} for name in names}}
    spec |= {"sizes": {"inputs": 3, "hidden": 4}, "targets": {"zeros": 12}}
    *gates, _ = marks(only("gates", spec), Line)
    assert [gate.name for gate in gates] == ["f", "u"]
    np.testing.assert_allclose(gates[0].y + gates[1].y, 1.0, rtol=1e-13)


def test_each_layer_of_a_stack_has_its_gates() -> None:
    found = shown("gates", stack())
    assert [p.title for p in found] == [
        "Gates of layer 1 and the gradient they pass",
        "Gates of layer 2 and the gradient they pass",
    ]


def test_a_cliff_is_the_loss_of_the_net_with_two_numbers_moved() -> None:
    spec = net(steps=5)
    over = parameters("W_hh[0,1]=-2:2,b_h[2]")
    picture = only("cliff", spec, cliff=over)
    (heat,), (here,) = marks(picture, Heat), marks(picture, Line)
    problem = rnngrad.load(spec)
    weights = {name: W.copy() for name, W in problem.weights.items()}
    for j, i in ((0, 0), (3, 50), (60, 7)):
        weights["W_hh"][0, 1], weights["b_h"][2] = heat.x[i], heat.y[j]
        moved = {k: v for k, v in spec.items() if k not in ("inputs", "targets", "weights")}
        moved |= {"inputs": problem.x, "targets": problem.targets, "weights": weights}
        loss = rnngrad.gradients(rnngrad.load(moved))["loss"]
        assert heat.z[j, i] == pytest.approx(np.log10(loss), abs=1e-13)
    assert (heat.x[0], heat.x[-1]) == (-2, 2)
    assert (heat.y[0], heat.y[-1]) == (-1.5, 1.5)
    assert (here.x[0], here.y[0]) == (problem.weights["W_hh"][0, 1], 0.0)
    jumps = [np.abs(np.diff(heat.z, axis=axis)).max() for axis in (0, 1)]
    factor = 10 ** max(jumps)
    assert f"by up to {100 * (factor - 1):.2g} %, near" in picture.finding
    assert factor < 1.1
    (steep,) = shown("cliff", spec, cliff=parameters("W_hh[0,1]=-200:2,b_h[2]=-90:90"))
    (heat,) = marks(steep, Heat)
    jump = max(np.abs(np.diff(heat.z, axis=axis)).max() for axis in (0, 1))
    assert f"by a factor of up to {rough(jump)}, near" in steep.finding


def test_ticks_of_a_flat_map_differ() -> None:
    assert told_apart([1.24091, 1.2412, 1.2416, 1.24185]) == [
        "1.2409",
        "1.2412",
        "1.2416",
        "1.2418",
    ]
    assert told_apart([-5.71234, 0, 0.123456]) == ["−5.71", "0", "0.123"]


def test_a_cliff_beside_nets_without_its_parameters_is_of_the_others() -> None:
    over = parameters("W_hh[0,1],b_hh[2]")
    assert [one.of for one in shown("cliff", net(), net("gru", steps=3), cliff=over)] == ["a gru"]
    with pytest.raises(UsageError, match="no parameter is called 'b_hh'"):
        shown("cliff", net(), net("lstm"), cliff=over)


def test_one_picture_has_one_style_of_indices() -> None:
    picture = only("reach", net(steps=3))
    for x, label, log in (("W_f", "∂h_t", "log₁₀"), ("W_h", "∂hₜ", "log₁₀")):
        named = picture._replace(x=Axis(x), y=Axis("∂h_t, log10"), finding="", marks=(), notes=())
        assert in_small_signs(named).y.label == f"{label}, {log}"


# --- check


def test_errors_stand_beside_their_tolerances() -> None:
    problem = rnngrad.load(net("lstm"))
    checked = tuple(check_own(problem))
    (picture,) = pictures("errors", CheckedNet(problem, checked))
    (bars,), (tolerance,) = marks(picture, Bars), marks(picture, Line)
    assert [bar.name for bar in bars.bars] == [entry.name for entry in checked]
    for bar, entry in zip(bars.bars, checked, strict=True):
        assert bar.end == max(entry.max_rel_error or 0.0, 1e-18)
    assert dict(zip([b.name for b in bars.bars], tolerance.x, strict=True))["dL_dW_hh"] == 1e-9
    assert dict(zip([b.name for b in bars.bars], tolerance.x, strict=True))["log10_chain"] == 1e-8
    said = f"Of {len(checked)} quantities {len(checked)} pass, 0 fail, 0 cannot be decided."
    assert picture.finding == said


def test_hidden_errors_are_not_drawn() -> None:
    problem = rnngrad.load(net())
    (picture,) = pictures("errors", CheckedNet(problem, tuple(check_own(problem)), True))
    assert picture.marks == ()


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_differences_make_a_v_and_the_complex_step_does_not(cell: str) -> None:
    problem = rnngrad.load(net(cell))
    (picture,) = pictures("step-size", CheckedNet(problem, ()))
    central, one_sided, exact = marks(picture, Line)
    best = float(np.nanmin(central.y))
    assert 1e-13 < best < 1e-8
    assert central.y[0] > 1e3 * best < central.y[-1]
    falling = np.log10(central.y[2] / central.y[4])  # h from 1e-2 to 1e-3: error c h²
    assert falling == pytest.approx(2.0, abs=0.1)
    assert np.log10(one_sided.y[2] / one_sided.y[4]) == pytest.approx(1.0, abs=0.1)
    assert exact.y[exact.x < 1e-9].max() < 1e-13


# --- sweep


def swept(spec: Spec, scales: str, **more: Any) -> SweepResult:
    problem = rnngrad.load(spec)
    whole = plan({problem.name: problem}, scales_of(scales), more.pop("seeds", 1), **more)
    try:
        found = [row for task in rows_of(whole, None, 1) for row in task]
        return result(whole, found, list(zeros_of(whole, gaps(found), None, 1)))
    finally:
        forget()


def test_labels_have_the_cells_own_names() -> None:
    """What is scaled, and an activation only where the spec chooses it."""
    cell = {"state": ["h"], "equations": ["h_t = tanh(U h_{t-1} + V x_t)"]}
    own = net() | {"cell": cell, "weights": {"U": {"init": "normal"}, "V": {"init": "normal"}}}
    own |= {"sizes": {"inputs": 2, "hidden": 4}, "targets": {"zeros": 12}}
    for spec, label in ((own, "U"), (net("lstm"), "W_hh"), (net(), "W_hh")):
        (picture,) = pictures("rate", Swept(swept(spec, "0.5,1")))
        assert picture.x.label == f"scale of {label}"
        table = rnngrad.sweep(rnngrad.load(spec), [0.5, 1]).as_text()
        assert ("at T = 12, tanh" in table) == (spec["cell"] == "rnn")
    assert only("truncation", own, own | {"name": "b"}).title == "What truncation costs ∂L/∂U"
    assert only("truncation", own, net()).title == "What truncation costs the recurrent gradient"


def test_the_rate_against_the_scale() -> None:
    done = swept(net(), "0.1:4:9", seeds=3)
    (picture,) = pictures("rate", Swept(done))
    (line,), (band,) = marks(picture, Line), marks(picture, Band)
    for i, scale in enumerate(line.x):
        rates = [row.rate for row in done.rows if row.scale == scale]
        assert len(rates) == 3
        assert (band.low[i], line.y[i], band.high[i]) == tuple(sorted(rates))
    found = done.parts[0].critical
    assert found is not None
    names = {level.name.split(" ")[0]: level.x for level in marks(picture, Level)}
    assert names["critical"] == found.value
    sigma = {row.sigma_max / row.scale for row in done.rows if row.sigma_max}
    assert names["1/(γ·σ_max)"] == pytest.approx(1 / np.median(list(sigma)))
    assert [region.name for region in marks(picture, Region)] == ["vanishes", "explodes"]


def test_two_swept_axes_are_a_map() -> None:
    done = swept(net(), "0.5,1,2", steps=[4, 8, 12])
    (picture,) = pictures("rate", Swept(done))
    (heat,) = marks(picture, Heat)
    assert (heat.across, heat.down) == ((0.5, 1, 2), (4, 8, 12))
    rates = {(row.steps, row.scale): row.rate for row in done.rows}
    np.testing.assert_array_equal(
        heat.z, [[rates[steps, scale] for scale in (0.5, 1, 2)] for steps in (4, 8, 12)]
    )


@pytest.mark.parametrize(
    "over", [("scale", "seed"), ("seed", "steps"), ("activation", "scale"), ("steps", "activation")]
)
def test_any_two_swept_axes_are_a_map(over: tuple[str, str]) -> None:
    """A cell is the median over the seeds alone, and what else is swept has maps of its own; in CSV
    it stands at its values."""
    done = swept(net(), "0.5,1,2", seeds=3, steps=[4, 8], activations=["tanh", "sigmoid"])
    sizes = {"scale": 3, "seed": 3, "steps": 2, "activation": 2}
    apart = [name for name in ("scale", "steps", "activation") if name not in over]
    found = list(pictures("map", Swept(done, over)))
    assert len(found) == len({picture.of for picture in found})
    assert len(found) == np.prod([sizes[name] for name in apart])
    kinds = list(dict.fromkeys(tuple(getattr(r, name) for name in apart) for r in done.rows))
    for kind, picture in zip(kinds, found, strict=True):
        (heat,) = marks(picture, Heat)
        assert heat.z.shape == (sizes[over[1]], sizes[over[0]])
        table = {(x, y): value for _, _, _, _, x, y, value, *_ in rows([picture])}
        assert len(table) == heat.z.size
        ours = [r for r in done.rows if tuple(getattr(r, name) for name in apart) == kind]
        for (x, y), value in table.items():
            of_cell = [r.rate for r in ours if (getattr(r, over[0]), getattr(r, over[1])) == (x, y)]
            assert len(of_cell) == (1 if "seed" in over else 3)
            assert value == np.median(of_cell)
        gone = int((heat.z < -0.01).sum())
        assert picture.finding.startswith(f"The gradient vanishes in {gone} of {heat.z.size} cells")
        assert ("median over 3 seeds" in " ".join(picture.notes)) == ("seed" not in over)


def test_too_many_maps_are_refused() -> None:
    problem = rnngrad.load(net())
    whole = plan({problem.name: problem}, scales_of("0.1:2:13"), 2, steps=[4, 8])
    with pytest.raises(UsageError, match="a map for each of 13 scales, 13 in all; at most 12"):
        check_swept(("seed", "steps"), whole)
    forget()


def test_python_draws_a_map_too() -> None:
    problem = rnngrad.load(net())
    done = rnngrad.sweep(problem, [0.5, 1, 2], seeds=2, over="scale,seed")
    names = [picture.name for picture in done.report().pictures()]
    assert names == ["rate", "map"]
    for what, kinds in (["map"], 1), ("rate", 1), (["map", "rate"], 2):
        assert done.plot(what=what).get_size_inches()[0] == done.plot().get_size_inches()[0] / (
            2 // kinds
        )
    assert rnngrad.check(problem).plot(what="step-size").axes
    with pytest.raises(UsageError, match="no picture 'map' of this: it needs two axes: over="):
        rnngrad.sweep(problem, [0.5, 1]).plot(what=["map"])
    with pytest.raises(UsageError, match="derive draws it; sweep draws rate, map"):
        done.plot(what="reach")
    with pytest.raises(UsageError, match="only one seed is swept"):
        rnngrad.sweep(problem, [0.5, 1, 2], over="scale,seed")


def test_names_that_have_no_room_are_numbered() -> None:
    names = ("a_long_name_of_a_net", "another_long_name", "c")
    ticks, notes = _below(names)
    assert ticks == ((0.0, "1"), (1.0, "2"), (2.0, "3"))
    assert notes == ("Across: 1 a_long_name_of_a_net; 2 another_long_name; 3 c.",)
    assert _below(("rnn", "lstm")) == (((0.0, "rnn"), (1.0, "lstm")), ())
    ticks, _ = _below(tuple(np.geomspace(1.0, 1e5, 41)))
    assert sum(len(words) + 2 for _, words in ticks) <= 42


def test_a_line_parts_cells_below_0_from_others() -> None:
    """Every border between two cells of which one alone is below 0, and no other."""
    z = np.random.default_rng(1).normal(size=(5, 7))
    z[0, 3], z[2, 2] = np.nan, -np.inf
    heat = Heat("z", np.arange(7.0), np.arange(5.0), z)
    units = set()
    for x1, y1, x2, y2 in heat.partings(np.arange(8.0), np.arange(6.0)):
        assert (x1 == x2) != (y1 == y2)
        for a in np.arange(min(x1, x2), max(x1, x2)) if y1 == y2 else [x1]:
            for b in np.arange(min(y1, y2), max(y1, y2)) if x1 == x2 else [y1]:
                units.add(("-" if y1 == y2 else "|", int(a), int(b)))
    known = ~np.isnan(z)
    expected = {
        ("|", i + 1, j) for j in range(5) for i in range(6)
        if known[j, i] and known[j, i + 1] and (z[j, i] < 0) != (z[j, i + 1] < 0)
    } | {
        ("-", i, j + 1) for j in range(4) for i in range(7)
        if known[j, i] and known[j + 1, i] and (z[j, i] < 0) != (z[j + 1, i] < 0)
    }  # fmt: skip
    assert units == expected


def test_grey_tells_what_shrinks_from_what_grows() -> None:
    """Hatched arrows and regions; a map says that its two halves have scales of their own."""
    spec = {"weights": {"W_xh": 0.4, "W_hh": 1.25}, "inputs": [0.1, 0.9, 0.1], "targets": [1, 1, 1]}
    picture = only("unrolled", spec)
    (graph,) = marks(picture, Graph)
    assert any(a.log10 < 0 for a in graph.arrows)
    assert any(a.log10 > 0 for a in graph.arrows)
    arrows = page([picture]).axes[0].patches
    assert [bool(one.get_hatch()) for one in arrows] == [a.log10 < 0 for a in graph.arrows]
    (rate,) = pictures("rate", Swept(swept(net(), "0.1:4:9")))
    hatched = [bool(one.get_hatch()) for one in page([rate]).axes[0].patches]
    assert sorted(hatched) == [False, True]
    both = only("credit-map", spec)
    assert notes_of(both) == (*both.notes, "Colours below 0 and above it have a scale each: see "
                              "the bar.")  # fmt: skip
    assert notes_of(rate) == rate.notes


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("scale,sed", "no axis is called 'sed'; did you mean 'seed'"),
        ("scale", "expected two axes, such as scale,seed"),
        ("seed,seed", "expected two axes"),
        ("scale,steps", "only one length is swept"),
    ],
)
def test_axes_that_a_map_cannot_have(text: str, said: str) -> None:
    done = swept(net(), "0.5,1", seeds=2)
    with pytest.raises(UsageError) as error:
        check_swept(axes(text), done.plan)
    assert said in str(error.value)


def test_one_scale_and_several_lengths_are_a_line_against_the_length() -> None:
    (picture,) = pictures("rate", Swept(swept(net(), "1", steps=[4, 8, 12])))
    (line,) = marks(picture, Line)
    assert (picture.x.label, list(line.x)) == ("steps T", [4, 8, 12])


def of_training(names: Sequence[str], scales: str = "1") -> SweepResult:
    nets = {
        name: replace(rnngrad.load(net(steps=6, seed=i)), checkpoint=name)
        for i, name in enumerate(names)
    }
    whole = plan(nets, scales_of(scales))
    try:
        found = [row for task in rows_of(whole, None, 1) for row in task]
        return result(whole, found, [])
    finally:
        forget()


def test_checkpoints_at_one_scale_are_a_line_against_the_training() -> None:
    names = ["e=2-s=10.npz", "e=10-s=1.npz", "last.npz"]
    done = of_training(names)
    (picture,) = pictures("rate", Swept(done))
    rate, largest = marks(picture, Line)
    assert list(rate.x) == [1, 2, 3]
    assert list(rate.y) == [row.rate for row in done.rows]
    assert list(largest.y) == [row.lyapunov_max for row in done.rows]
    assert picture.x.ticks == ((1.0, "2-10"), (2.0, "10-1"), (3.0, "last"))
    assert "(e=2-s=10.npz) to" in picture.finding
    assert picture.finding.endswith("(last.npz).")


def test_checkpoints_at_several_scales_are_curves_against_the_scale() -> None:
    (picture,) = pictures("rate", Swept(of_training(["a1.npz", "a2.npz"], "0.5,1,2")))
    assert [line.name for line in marks(picture, Line)] == ["a1.npz", "a2.npz"]


# --- the table, and what there is nothing to be seen of


@pytest.mark.parametrize("name", PICTURES)
def test_every_kind_has_a_sentence_and_axes(name: str) -> None:
    problem = rnngrad.load(net("lstm"))
    results: dict[str, object] = {
        "derive": Nets((flow_of(net("lstm")),), cliff=parameters("W_hh[0,0],b_h[0]")),
        "check": CheckedNet(problem, tuple(check_own(problem))),
        "sweep": Swept(swept(net("lstm"), "0.5,1,2", seeds=2), ("scale", "seed")),
    }
    found = list(pictures(name, results[PICTURES[name].verb]))
    assert found
    for picture in found:
        assert picture.name == name
        assert picture.finding.endswith(".")
        assert picture.marks
        assert all("$" not in text for text in (picture.x.label, picture.y.label, picture.title))


DEAD = net(activation="relu")
DEAD["weights"] |= {
    "W_xh": {"init": "zeros"},
    "W_hh": {"init": "identity"},
    "b_h": {"init": "constant", "value": -1},
}
HUGE = net(activation="relu", steps=30)
HUGE["weights"] = HUGE["weights"] | {"W_hh": {"init": "normal", "std": 1e30}}
NOTHING = net() | {"weights": net()["weights"] | {"W_hh": {"init": "zeros"}}}


@pytest.mark.parametrize(
    ("spec", "ending"),
    [(DEAD, "png"), (HUGE, "png"), (NOTHING, "pdf"), (net(steps=1), "svg"),
     (net("lstm", steps=1), "png")],
)  # fmt: skip
def test_nets_that_die_overflow_or_end_at_once_are_drawn(spec: Spec, ending: str) -> None:
    found = Nets((flow_of(spec),), cliff=parameters("W_hh[0,0],b_h[0]"))
    names = [n for n in of_verb("derive") if not PICTURES[n].why_not(found.flows[0].problem)]
    every = [picture for name in names for picture in pictures(name, found)]
    assert all(picture.finding.endswith(".") for picture in every)
    assert drawn(every, ending)


def test_what_is_gone_is_said() -> None:
    assert only("reach", NOTHING).finding == "The gradient vanishes: ∂h_12/∂h_0 is exactly 0."
    assert only("truncation", NOTHING).finding == "One step has all of ∂L/∂W_hh."
    assert only("spectrum", NOTHING).finding == "Every direction dies: all exponents are −∞."
    said = "∂L/∂W_hh is 0 or not finite, so its paths have no shares."
    assert shown("paths", DEAD)[0].finding == said
    assert "holds what is not a number" in only("reach", HUGE).finding
    assert only("truncation", net(steps=1)).marks == ()


def test_findings_say_how_fast() -> None:
    half = {"activation": "identity", "weights": {"W_xh": 1, "W_hh": 0.5}, "targets": [0, 0, 0],
            "inputs": [1, 1, 1]}  # fmt: skip
    twice = half | {"weights": {"W_xh": 1, "W_hh": 2}}
    steady = half | {"weights": {"W_xh": 1, "W_hh": 1}}
    assert only("reach", half).finding == "The gradient vanishes, by a factor of 0.5 a step."
    assert only("reach", twice).finding == "The gradient explodes, by a factor of 2 a step."
    assert (
        only("reach", steady).finding == "The gradient keeps its size, with a factor of 1 a step."
    )


@pytest.mark.parametrize(
    ("log10", "sign", "text"),
    [(-3.0, 1, "0.001"), (-5, 1, "1e−5"), (np.log10(0.2), -1, "−0.2"), (-4000.5, 1, "3.162e−4001"),
     (-np.inf, 1, "0"), (np.inf, 1, "∞"), (np.nan, 1, "nan"), (12, 1, "1e+12")],
)  # fmt: skip
def test_rough_numbers(log10: float, sign: float, text: str) -> None:
    assert rough(log10, sign) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "takes two parameters"),
        ("W_hh[0,0]", "takes two parameters"),
        ("W_hh[0,0],b_h[0],b_y[0]", "takes two parameters"),
        ("W_hh[0;0],b_h[0]", "takes two parameters"),
        ("W_hh[0,0]=1,b_h[0]", "takes two parameters"),
        ("W_hh[0,0]=3:1,b_h[0]", "the range 3:1 must go upwards"),
        ("W_hh[0,0]=nan:1,b_h[0]", "must go upwards"),
    ],
)
def test_parameters_that_cannot_be_read(text: str, said: str) -> None:
    with pytest.raises(UsageError, match="--cliff") as error:
        parameters(text)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("W_hh[4,0],b_h[0]", "the entries of W_hh are W_hh[0,0] to W_hh[3,3]"),
        ("W_hh[0],b_h[0]", "the entries of W_hh are W_hh[0,0] to W_hh[3,3]"),
        ("W_hh[-1,0],b_h[0]", "the entries of W_hh are"),
        ("Whh[0,0],b_h[0]", "no parameter is called 'Whh'; did you mean 'W_hh'?"),
        ("b_h[0],b_h[0]=1:2", "b_h[0] stands twice"),
    ],
)
def test_parameters_that_the_net_does_not_have(text: str, said: str) -> None:
    with pytest.raises(UsageError, match="--cliff") as error:
        shown("cliff", net(), cliff=parameters(text))
    assert said in str(error.value)


# --- the numbers as rows


def as_rows(found: Sequence[Picture]) -> list[dict[str, Any]]:
    return [dict(zip(COLUMNS, row, strict=True)) for row in rows(found)]


def test_rows_have_every_number_of_a_picture() -> None:
    picture = only("credit-map", net())
    (heat,) = marks(picture, Heat)
    found = as_rows([picture])
    assert len(found) == 12 * 13 - 12 * 11 // 2  # k up to t alone
    for row in found:
        assert row["value"] == heat.z[int(row["y"]) - 1, int(row["x"])]
        assert (row["picture"], row["net"]) == ("credit-map", "a rnn")
    bars = as_rows(shown("paths", net())[:1])
    assert sum(row["value"] for row in bars if row["value"] is not None) == pytest.approx(100.0)
    spectrum = as_rows([only("spectrum", net(steps=40))])[0]
    assert spectrum["low"] < spectrum["y"] < spectrum["high"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("reech", "no picture is called 'reech'; did you mean 'reach'?"),
        ("xyz", "no picture is called 'xyz'; they are unrolled, credit-map"),
        ("rate", "sweep draws it; derive draws unrolled"),
    ],
)
def test_kinds_that_do_not_exist(name: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        chosen([name], "derive")
    assert said in str(error.value)


def test_mean_field_is_a_line_of_its_own_where_it_applies() -> None:
    """Of a linear net λ = ln(g·scale), g = √H times the standard deviation of W_hh."""
    spec = net(hidden=60, activation="identity")
    spec["weights"] |= {"W_hh": {"init": "normal", "std": 0.1}}
    done = swept(spec, "0.5,1,2")
    (picture,) = pictures("rate", Swept(done))
    _, theory = marks(picture, Line)
    W = rnngrad.load(spec).weights["W_hh"]
    gain = np.sqrt(60 * np.mean(W**2))
    np.testing.assert_allclose(theory.y, np.log(gain * np.array([0.5, 1, 2])), rtol=1e-12)
    assert theory.dashed
    (picture,) = pictures("rate", Swept(swept(net(), "1,2")))
    assert [line.name for line in marks(picture, Line)] == ["rate"]
