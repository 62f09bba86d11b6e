"""The words below a sweep's table say what the rows say, and no more than was looked for."""

from __future__ import annotations

import numpy as np

import rnngrad
from rnngrad.analyses.sweep.critical_scales import Critical
from rnngrad.analyses.sweep.points import Row
from rnngrad.analyses.sweep.sweep import Part, kept, swept
from rnngrad.views.pictures.picture import Heat, Line
from rnngrad.views.pictures.rate_map import Swept, rate_map, scale_label
from rnngrad.views.pictures.sweeps import rate
from rnngrad.views.sweeps.tables import Scale
from rnngrad.views.sweeps.words import words

NET = {"weights": {"W_xh": 1, "W_hh": 1}, "activation": "identity", "inputs": [0, 0, 0]}


def part(scales: list[float], **changes: object) -> Part:
    found = rnngrad.sweep(rnngrad.load(NET), scales)["rows"]
    rows = tuple(Row(**{name: row[name] for name in Row._fields}) for row in found)
    return Part(3, "identity", rows, None, ())._replace(**changes)


def test_an_interrupted_sweep_claims_no_critical_scale() -> None:
    cut = list(words(part([0.5, 2.0], interrupted=True)))
    assert "Interrupted: the critical scale was not looked for to the end." in cut
    assert not any("no critical scale" in line for line in cut)
    assert any("no critical scale" in line for line in words(part([0.5, 2.0])))


def test_seeds_that_disagree_are_given_no_common_regime() -> None:
    both = part([0.5, 2.0])
    mixed = tuple(row._replace(scale=1.4, seed=seed) for seed, row in enumerate(both.rows))
    assert next(words(both._replace(rows=mixed))) == (
        "The gradient differs from seed to seed at 1.4."
    )
    assert next(words(both)) == "The gradient vanishes at 0.5; explodes at 2."


def test_in_how_many_seeds_it_is_so() -> None:
    """What the words say of a scale is what its row of the table says."""
    gone, blown = part([0.5, 2.0]).rows
    rows = [gone._replace(scale=1.0, seed=seed) for seed in range(3)]
    rows += [one._replace(scale=2.0, seed=i) for i, one in enumerate((gone, blown, gone))]
    rows += [blown._replace(scale=3.0, seed=seed) for seed in range(3)]
    rows += [one._replace(scale=4.0, seed=i) for i, one in enumerate((blown, blown, gone))]
    seeds = part([1.0])._replace(rows=tuple(rows))
    assert next(words(seeds)) == (
        "The gradient vanishes at 1 to 2 (in at least 2 of 3 seeds); explodes at 3 to 4 (in at "
        "least 2 of 3 seeds)."
    )
    assert next(words(seeds._replace(rows=tuple(rows[-3:])))) == (
        "The gradient explodes at 4 (in 2 of 3 seeds)."
    )
    found = Critical(3, "identity", 1.5, 1.5, 1.5, (1.5,), 1, 3)
    for critical, said in (
        (found, "Critical scale: 1.5, in 1 of 3 seeds; the others have none."),
        (found._replace(seeds=2, low=1.0),
         "Critical scale: 1.5, the median of 2 of 3 seeds, between 1 and 1.5; the others have "
         "none."),
        (found._replace(seeds=3, crossings=(1.0, 1.5, 1.5)),
         "Critical scale: 1.5, the median of 3 seeds, between 1.5 and 1.5."),
    ):  # fmt: skip
        assert list(words(seeds._replace(critical=critical)))[1] == said


TANH = {**NET, "activation": "tanh", "weights": {"W_xh": 1, "W_hh": 1}, "inputs": [1, 1, 1]}


def said(spec: dict[str, object], scales: list[float]) -> str:
    found = rnngrad.sweep(rnngrad.load(spec), scales)["rows"]
    rows = tuple(Row(**{name: row[name] for name in Row._fields}) for row in found)
    return "\n".join(words(Part(3, str(spec["activation"]), rows, None, ())))


def test_slopes_that_count_as_exact_zeros_are_said_to() -> None:
    """A tanh whose log10 slope is some −10^15 has no zero in its chain, whatever the table says."""
    limit = "is an exact zero, or comes of slopes σ' below 2^(-2^40), which count as exact zeros."
    assert f"-inf, first at scale 1e+15, {limit}" in said(TANH, [0.0, 1.0, 1e15, 1e20])
    assert f"-inf, first at |scale| 1e+14, {limit}" in said(TANH, [-1e14, 1.0, 1e15])
    assert "exact zero" not in said(TANH, [0.0, 1.0, 1e9])
    dead = {**TANH, "activation": "relu", "inputs": [-1, -1, -1]}
    assert "exact zero" not in said(dead, [0.5, 1.0])
    assert "exact zero" not in said({**TANH, "activation": "identity"}, [0.0, 1.0])


def test_what_is_compared_by_size_is_called_so() -> None:
    linear = {**NET, "inputs": [1, 1, 1]}
    assert "overflows from |scale| 1e+200 on." in said(linear, [-1e250, -1e200, 1.0])
    assert "overflows from scale 1e+200 on." in said(linear, [1.0, 1e200, 1e250])
    assert "At |scale| 10 the units are saturated" in said(TANH, [-10.0, 1.0])
    assert "At scale 10 the units are saturated" in said(TANH, [1.0, 10.0])


def test_a_seed_whose_chain_is_exactly_0_counts_in_the_median() -> None:
    """relu's units die in one of three seeds: its rate is −∞, not left out."""
    spec = {
        "activation": "relu", "seed": 3, "sizes": {"inputs": 3, "hidden": 5, "outputs": 2},
        "weights": {
            name: {"init": kind} for name, kind in (
                ("W_xh", "xavier_uniform"), ("W_hh", "orthogonal"), ("W_hy", "xavier_uniform"),
            )
        },
        "inputs": {"random": "normal", "steps": 10}, "targets": {"zeros": 10},
    }  # fmt: skip
    done = swept(rnngrad.load(spec), [2.0], 3)
    rates = [row.rate for row in done.rows]
    assert rates.count(None) == 1
    middle = sorted(-np.inf if rate is None else rate for rate in rates)[1]
    for column in ("rate", "log10_chain_norm", "lyapunov_max"):
        known = [-np.inf if (v := getattr(row, column)) is None else v for row in done.rows]
        assert Scale(2.0, done.rows).median(column) == sorted(known)[1]
    picture = next(rate(Swept(done)))
    (line,) = (mark for mark in picture.marks if isinstance(mark, Line))
    assert line.y == [middle]
    assert "at 1 point the chain is exactly 0" in picture.notes[0]
    (seeds,) = rate_map(Swept(done, ("seed", "scale")))
    (heat,) = (mark for mark in seeds.marks if isinstance(mark, Heat))
    assert sorted(heat.z[0]) == sorted(-np.inf if r is None else r for r in rates)
    assert seeds.finding.startswith("The gradient vanishes in 2 of 3 cells")


def test_what_a_scale_of_kept_rows_is_of_is_said_where_it_is_known() -> None:
    rnn = swept(rnngrad.load(NET), [1.0])
    assert scale_label(kept(rnn.rows)) == scale_label(rnn) == "scale of W_hh"
    gated = tuple(row._replace(spectral_radius=None) for row in rnn.rows)
    assert scale_label(kept(gated)) == "scale of the recurrent parameters"
