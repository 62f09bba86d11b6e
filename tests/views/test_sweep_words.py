"""The words below a sweep's table say what the rows say, and no more than was looked for."""

from __future__ import annotations

import rnngrad
from rnngrad.analyses.sweep import Part
from rnngrad.analyses.sweeping import Row
from rnngrad.views.sweep_words import words

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
