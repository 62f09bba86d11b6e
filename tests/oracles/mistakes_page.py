"""docs/mistakes.md as the catalogue and the graph of the equations make it:
python tests/oracles/mistakes_page.py > docs/mistakes.md"""

from __future__ import annotations

import numpy as np

import rnngrad
from rnngrad.analyses.checking.diagnosing.catalogue import CATALOGUE, Mistake
from rnngrad.analyses.checking.diagnosing.diagnosing import ENOUGH
from rnngrad.analyses.checking.diagnosing.wording import Location
from rnngrad.analyses.derivation.quantities import Passes
from rnngrad.analyses.mistakes.agreeing import MARGIN
from rnngrad.analyses.mistakes.parameter_sums import of_steps
from rnngrad.analyses.mistakes.searching import SECONDS, Search
from rnngrad.analyses.mistakes.words import Found

HEAD = """\
# The mistakes that `check` knows

`rnngrad check SPEC --against FILE` checks somebody else's gradients: arrays by the names of
[results.md](results.md) in a `.npz`, `.json` or `.yaml`; or a function, named
`--against student.py:backward`, called as `backward(weights, inputs, targets, h_0)` and returning a
dict of them. A function is code: it runs with your rights, in a process of its own, and only
because you name it ([check.md](check.md)).
`--trials 20` runs it on 20 random nets of the same kind as well, and reports the smallest on which
it fails.

A number typed by hand is right to half a unit of its last digit, `0.0213` from 0.02125 to 0.02135;
integers and zeros are exact, and a number with fewer than three significant digits never passes.
Other arrays are right to 1e-9 of the largest entry of their step's row, float32 to 1e-4, or to
`--rtol`. Where the net itself makes more of rounding than that, the report says so.

A wrong array is compared with the mistakes of the table first, then with those that are [found in
the equations](#mistakes-found-in-the-equations). A mistake is named if it gives exactly your
numbers. "Sheet" is the equation of exercise sheet 7 that the mistake breaks. The numbers in
the last column are steps, filled in for T = 3.

If one mistake explains all the wrong arrays, it is named, and not one for each array. A specific
mistake is preferred to a general one (`truncated` and `clipped` come after the others, `scaled` is
last). If two give the same numbers, both are listed as candidates and none is named.

In gru, lstm and stacks a mistake is made at every layer and gate alike: σ' stands for all the
cell's derivatives (σ' of the gates, tanh' of the candidate and of c_t), W_hhᵀ for each gate's block
transposed, h_0 for c_0 too where ∂L/∂s_0 is left out, and a path that is cut takes c with it. What
you are told is then in words about gates. `sheet-eq-32` is of one layer of rnn alone, `gate-order`
of gru and lstm alone.

| id | what it looks like | sheet | what you are told |
| --- | --- | --- | --- |
"""


FOUND = """
## Mistakes found in the equations

Where nothing in the table fits, the mistake is looked for in the graph of the cell's own
equations, a published cell's or one of your own. Every ∂target/∂source of a step is replaced by
what people take for it, everywhere, on the way back to the step before alone, or where the
parameters are met alone; the sums over steps, losses and paths and what comes back from step t +
1 likewise. The examples are of lstm, and the words are those that `check` prints.

| family | id | `where` | what you are told |
| --- | --- | --- | --- |
{families}
Others of the kind: a neighbour's step (x_{{t+1}} for x_t), 1 − z for z, a term of a sum left out
or with the wrong sign, a number such as ½ too many, another gate's matrix, the output's or the
target's neighbouring step at ∂L_t/∂ỹ_t (ỹ_t = W_hy h_t + b_y). In a stack each is looked for in
all layers alike, and a wrong partial in one layer alone too.

The mistakes of the table above are made in the same way: each is a wrong pass with some partials,
terms of sums or losses replaced, so that one engine makes them all.

Arrays with a row a step (`dL_dh`, `dL_dc`, `dL_dx`) count as evidence as well. It does not matter
whether such a row was kept before or after something was done with it (clipped, forgotten). A
`dL_dc` that holds the way through h_t of the same step is told by name: ∂L/∂c_t is here that of a
part of the state s_t = (h_t, c_t). An array of zeros proves nothing, and takes the name that the
other arrays have where that mistake makes it zero.

### How to read `where` and `with`

- `partial`, `used`, `right`: the local derivative, what your numbers hold in its place, what
  belongs there. `"used": "0"` is a path left out, `"1"` a factor left out.
- `steps`: step (or path) to the factor with which its term enters, where that is not 1: `{{"1":
  0}}` is step 1 missing, `{{"3": 2}}` step 3 twice. `"terms": "L_t"` says that whole losses do,
  `"∂L_t/∂h_t"` that they do on the way back alone.
- `layer`: the layer in which it is made, where that is one of several (0 is the lowest).
- `sum`, or `clipped` and `by`: what was added up and never reset, or clipped; `limit` stands
  beside.
- `with`: the diagnosis of a second mistake. Both together give your numbers, and neither alone
  does.
- with `bug` null: `right` lists the arrays that are right, `wrong_rows` the gates whose rows are
  wrong, `steps` the wrong rows of an array step by step. With `dL_dh` (lstm: `dL_dc` too) given,
  each row is compared with what follows from your own row after it: so you are told the step at
  which it breaks.

### When a mistake is named

A wrong pass must make every array that was given, the right ones too, to their own tolerance. It
is named only where the digits that agree outnumber the trials: each wrong number counts the
decimal digits by which its error exceeds its tolerance, and their sum must exceed log10 of the
number of trials (some 200 for rnn, 1000 for gru, 1500 for lstm; 100 times as many for pairs) by
{margin:g}. A mistake of the table needs {enough:g} digits. A single number typed with three
digits therefore names nothing: what would give it is listed as a candidate. Zeros prove nothing.

### What is not found

- what is no mistake of one place: a number added where it should multiply, a bracket around the
  wrong terms (as in the misprinted equations (8) to (10) of a well-known course), the backward
  pass of another cell's equations, weights that were updated on the way
- factors of your own other than those above; limits of clipping that are not 1, 2, 2.5, 3, 5 or 8
  times a power of ten
- three mistakes at once; two of which one is another name in the place of the right one, or
  stands at a single step, unless each shows in arrays of its own
- pairs are tried for {seconds:g} s, three times as long beyond 50 steps; where time does not
  suffice for all, the report says so
- factors of steps are fitted only where the numbers determine them: a bias of H units tells at
  most H steps apart. Else the sums are tried that people make: the first or the last step
  missing, twice, alone
"""

EXAMPLES = (
    ("a path left out", "∂c_t/∂c_{t−1}", "0"),
    ("a factor left out", "∂h_t/∂c_t", "o_t"),
    ("another name", "∂c_t/∂i_t", "i_t"),
    ("the same of another step", "∂c_t/∂f_t", "c_t"),
    ("the wrong sign", "∂c_t/∂g_t", "−i_t"),
    ("a slope left out", "∂f_t/∂a_t", "1"),
    ("a slope at the function's output", "∂g_t/∂a_t", "tanh'(tanh(a_t))"),
    ("a slope twice", "∂i_t/∂a_t", "σ'(a_t)^2"),
    ("the function for its slope", "∂o_t/∂a_t", "o_t"),
    ("a matrix transposed", "∂a_t/∂h_{t−1}", "W_hiᵀ"),
    ("its diagonal alone", "∂a_t/∂h_{t−1}", "diag(W)"),
)


def page() -> str:
    """The whole page."""
    return HEAD + "".join(_row(mistake) for mistake in CATALOGUE.values()) + _found()


def _found() -> str:
    search = Search([], [], Passes(rnngrad.load(_lstm())))
    rows = []
    every = [one.found for one in search.elements]
    for family, partial, used in EXAMPLES:
        one = next(
            found for found in every
            if (found.where.get("partial"), found.where.get("used")) == (partial, used)
        )  # fmt: skip
        rows.append(_of(family, one))
    kept = next(one for one in every if one.bug == "carry-not-reset")
    clipped = next(one for one in every if one.bug == "clipped-on-the-way")
    rows += [_of("a carry kept", kept), _of("clipped in the loop", clipped)]
    for family, factors in (("= for +=", [1, 0, 0]), ("a step missing", [0, 1, 1])):
        rows.append(_of(family, of_steps(np.array(factors))))
    return FOUND.format(families="".join(rows), margin=MARGIN, enough=ENOUGH, seconds=SECONDS)


def _of(family: str, found: Found) -> str:
    where = ", ".join(f"`{key}`: {value}" for key, value in found.where.items())
    return f"| {family} | `{found.bug}` | {where} | {found.words} |\n"


def _lstm() -> dict[str, object]:
    rng = np.random.default_rng(0)
    weights = {"W_xh": (8, 3), "W_hh": (8, 2), "b_h": (8,), "W_hy": (2, 2), "b_y": (2,)}
    return {
        "cell": "lstm",
        "weights": {name: rng.normal(size=shape) for name, shape in weights.items()},
        "inputs": rng.normal(size=(3, 3)),
        "targets": rng.normal(size=(3, 2)),
    }


def _row(mistake: Mistake) -> str:
    bite = Location(3, 3, True, 2, "")
    cells = (
        f"`{mistake.bug}`", mistake.looks_like, mistake.equation or "none", mistake.explain(bite)
    )  # fmt: skip
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


if __name__ == "__main__":
    import sys

    sys.stdout.write(page())
