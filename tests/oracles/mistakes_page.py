"""docs/mistakes.md as the catalogue makes it: python tests/oracles/mistakes_page.py."""

from __future__ import annotations

from rnngrad.analyses.checking.catalogue import CATALOGUE, Mistake
from rnngrad.analyses.checking.wording import Bite

HEAD = """\
# The mistakes that `check` knows

`rnngrad check SPEC --against FILE` checks somebody else's gradients: arrays by the names of
[results.md](results.md) in a `.npz`, `.json` or `.yaml`; or a function, named
`--against student.py:backward`, called as `backward(weights, inputs, targets, h_0)` and returning a
dict of them. A function is code: it runs with your rights, in a process of its own, and only
because you name it ([check.md](check.md)).
`--random 20` runs it on 20 random nets of the same kind as well, and reports the smallest on which
it fails.

A number typed by hand is right to half a unit of its last digit, `0.0213` from 0.02125 to 0.02135;
integers and zeros are exact, and fewer than three significant digits decide nothing in your favour.
Other arrays are right to 1e-9 of the largest entry of their step's row, float32 to 1e-4, or to
`--rtol`. Where the net itself makes more of rounding than that, the report says so.

A wrong array is fitted against the mistakes below, and the one is named that gives just these
numbers. "Sheet" is the equation of exercise sheet 7 that the mistake breaks. The numbers in the
last column are steps, filled in for T = 3.

One mistake that explains all the wrong arrays goes before one for each; the specific before the
general (`truncated` and `clipped` after the others, `scaled` last). Where two still give the same
numbers, both are listed as candidates and none is named; nothing is named where none fits.

In gru, lstm and stacks a mistake is made at every layer and gate alike: σ' stands for all the
cell's derivatives (σ' of the gates, tanh' of the candidate and of c_t), W_hhᵀ for each gate's block
transposed, h_0 for c_0 too where ∂L/∂s_0 is left out, and a path that is cut takes c with it. What
you are told is then in words about gates. `sheet-eq-32` is of one layer of rnn alone, `gate-order`
of gru and lstm alone.

| id | what it looks like | sheet | what you are told |
| --- | --- | --- | --- |
"""


def page() -> str:
    """The whole page."""
    return HEAD + "".join(_row(mistake) for mistake in CATALOGUE.values())


def _row(mistake: Mistake) -> str:
    bite = Bite(3, 3, True, 2, "")
    cells = (
        f"`{mistake.bug}`", mistake.looks_like, mistake.equation or "none", mistake.explain(bite)
    )  # fmt: skip
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


if __name__ == "__main__":
    import sys

    sys.stdout.write(page())
