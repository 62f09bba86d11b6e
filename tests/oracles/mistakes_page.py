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

`rnngrad check SPEC --against FILE` checks your gradients, arrays in a file or the results of a
function. [check.md](check.md) says how they are read and how exact they must be.

A wrong array is first compared with the mistakes of the table, then with those that are [found in
the equations](#mistakes-found-in-the-equations). A mistake is named if it gives exactly your
numbers. "Sheet" is the equation of exercise sheet 7 that the mistake breaks. The numbers in
the last column are steps, filled in for T = 3.

If one mistake explains all the wrong arrays, it is named, and not one for each array. A specific
mistake is preferred to a general one (`truncated` and `clipped` come after the others, `scaled` is
last). If two give the same numbers, both are listed as candidates and none is named.

In gru, lstm and stacks a mistake is made in every layer and gate: σ' stands for all the
cell's derivatives (σ' of the gates, tanh' of the candidate and of c_t), W_hhᵀ for each gate's block
transposed, h_0 also for c_0, and a path that is cut is cut for c too. The report
then speaks of gates. `sheet-eq-32` exists for one layer of rnn only, `gate-order`
for gru and lstm only.

| id | what it looks like | sheet | what you are told |
| --- | --- | --- | --- |
"""


FOUND = """
## Mistakes found in the equations

If nothing in the table fits, the mistake is looked for in the graph of the cell's own equations,
for published cells and for your own. Every partial ∂target/∂source of a step is replaced by terms
that people confuse with it: everywhere, only on the way back to the step before, or only where
the parameters enter. The sums over steps, losses and paths, and the gradient from step t + 1, are
changed in the same way. The examples are of lstm, and the words are those that `check` prints.

| family | id | `where` | what you are told |
| --- | --- | --- | --- |
{families}
Others of the kind: a neighbour's step (x_{{t+1}} for x_t), 1 − z for z, a term of a sum left out
or with the wrong sign, a number such as ½ too many, another gate's matrix, the output's or the
target's neighbouring step at ∂L_t/∂ỹ_t (ỹ_t = W_hy h_t + b_y). In a stack each is looked for in
all layers at once, and a wrong partial also in each single layer.

Arrays with a row for each step (`dL_dh`, `dL_dc`, `dL_dx`) are compared too. Such a row may have
been stored before or after the mistake was made at that step (clipping, a term left out). If your
`dL_dc` includes the path through h_t of the same step, the report says so: here c_t is a part of
the state s_t = (h_t, c_t), so ∂L/∂c_t holds h_t fixed. An array of zeros proves nothing. If the
mistake of the other arrays makes it zero, it gets the name of that mistake.

### How to read `where` and `with`

- `partial`, `used`, `right`: the local derivative, the term in your numbers, the right term.
  `"used": "0"` is a path left out, `"1"` a factor left out.
- `steps`: a factor for each step (or path) whose term does not enter with the factor 1: `{{"1":
  0}}` is step 1 missing, `{{"3": 2}}` step 3 twice. With `"terms": "L_t"` the factors belong to
  whole losses, with `"∂L_t/∂h_t"` to the losses on the way back only.
- `layer`: the layer of the mistake, if it is one of several (0 is the lowest).
- `sum`, or `clipped` and `by`: the term that was added up and never reset, or clipped; `limit` is
  the limit of clipping.
- `with`: the diagnosis of a second mistake. Both together give your numbers, and neither alone
  does.
- if `bug` is null: `right` lists the arrays that are right, `wrong_rows` the gates whose rows are
  wrong, `steps` the wrong rows of an array with steps. If `dL_dh` is given (for lstm also
  `dL_dc`), each row is compared with the one that follows from your row of the next step. So the
  report names the step of the first mistake.

### When a mistake is named

A wrong pass must give every array that you gave, also the right ones, within their tolerances. It
is named only if enough digits agree. Each wrong number counts the decimal digits by which its
error exceeds its tolerance, and their sum must exceed log10 of the number of trials (about 200
for rnn, 1000 for gru, 1500 for lstm; 100 times as many for pairs) by {margin:g}. A mistake of the
table needs {enough:g} digits. So a single number typed with three digits is not enough for a
name: mistakes that give it are listed as candidates. Zeros prove nothing.

### What is not found

- a mistake that is not in one place: a number added instead of multiplied, a bracket around the
  wrong terms (as in the misprinted equations (8) to (10) of a well-known course), the backward
  pass of another cell's equations, weights that were updated during the backward pass
- other factors than those above; limits of clipping that are not 1, 2, 2.5, 3, 5 or 8
  times a power of ten
- three mistakes at once; two mistakes of which one is a wrong name, or
  is made at a single step, unless the two show in different arrays
- some pairs: pairs are tried for {seconds:g} s, three times as long beyond 50 steps; if that is not
  enough for all, the report says so
- some factors of steps: they are fitted only if the numbers determine them (a bias of H units
  determines at most H). Otherwise only common sums are tried: the first or the last step
  missing, taken twice, or taken alone
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
    location = Location(3, 3, True, 2, "")
    words = mistake.explain(location)
    cells = (f"`{mistake.bug}`", mistake.looks_like, mistake.equation or "none", words)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


if __name__ == "__main__":
    import sys

    sys.stdout.write(page())
