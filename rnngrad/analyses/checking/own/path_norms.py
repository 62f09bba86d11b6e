"""log10_chain and log10_paths against explicit Jacobians, and what no complex step can see.

Where every row ∂L_t/∂s_k was found right, each from the row after it (``own.every_row``), by no
more than rounding adds up to on the way, ``log10_paths`` are the lengths of these rows: they need
no second product of Jacobians, which would take as long as all of them.
"""

from __future__ import annotations

import numpy as np

from rnngrad.analyses.checking.comparing.tolerance import LOG10_ATOL
from rnngrad.analyses.checking.comparing.verdicts import Checked, Verdict
from rnngrad.analyses.checking.own.checker import Checker
from rnngrad.analyses.checking.own.every_row import MISS
from rnngrad.analyses.checking.own.work import CHAIN, EXPLICIT
from rnngrad.analyses.checking.references import products
from rnngrad.analyses.checking.references.products import Explicit
from rnngrad.arithmetic.scaled import Scaled, scaled

OF_THE_ROWS = "lengths of every ∂L_t/∂{}_k"


def explicit(checker: Checker, *, paths: bool) -> Explicit:
    """What explicit Jacobians make of those of the two that are tested, once; of ``log10_paths``
    where it is asked for, or at once where there are no rows to take their place."""
    found, setting = checker.explicit, checker.setting
    if found is None or (paths and not found.paths.size):
        stride, direct = None, None
        if found is None and "log10_chain" in checker.tested:
            stride = products.chain_stride(setting)
        if paths or not products.by_rows(checker.plan, checker.paths is not None):
            direct = _direct(checker)
        with checker.within(EXPLICIT):
            more = products.explicit(setting, stride, direct)
        checker.explicit = more if found is None else found._replace(paths=more.paths)
    assert checker.explicit is not None
    return checker.explicit


def _direct(checker: Checker) -> Scaled | None:
    problem = checker.setting.problem
    if "log10_paths" not in checker.tested or problem.loss is None:
        return None
    slopes = checker.setting.output_slopes
    return scaled(slopes @ problem.weights["W_hy"] if problem.has_readout else slopes)


def log10_chain(checker: Checker) -> Checked:
    """The largest singular value of J_T ⋯ J_{k+1}, at every step or at one in so many."""
    stride = products.chain_stride(checker.setting)
    expected = explicit(checker, paths=False).chain.copy()
    with checker.within(CHAIN):
        got = np.asarray(checker.tested["log10_chain"], dtype=np.float64)
    title = products.TITLE if stride == 1 else f"{products.TITLE}, one step in {stride}"
    if got.shape == expected.shape:
        unseen = checker.blindly(np.arange(len(expected)), checker.setting.problem.steps)
        apart = ~((got == expected) | (np.abs(got - expected) <= LOG10_ATOL))
        expected = np.where(unseen & apart, np.inf, expected)
    if stride > 1 and got.shape == expected.shape:
        skipped = np.arange(len(expected)) % stride != 0
        skipped[-1] = False
        expected = np.where(skipped, got, expected)
    entry = checker.array("log10_chain", title, expected, np.zeros_like(expected), got=got)
    return explained(entry, checker, of_loss=False)


def log10_paths(checker: Checker, rows: Checked | None) -> Checked:
    """The lengths of ∂L_t/∂h_t · J_t ⋯ J_{k+1}: of the ``rows`` themselves where these are right,
    or from explicit Jacobians."""
    steps, every_row = checker.setting.problem.steps, checker.every_row
    title, miss = products.TITLE, None
    if every_row is not None and rows is not None and _right(rows, steps):
        title, miss = OF_THE_ROWS.format(checker.plan.state), MISS
        expected = every_row.lengths.copy()
    else:
        expected = explicit(checker, paths=True).paths.copy()
    later = np.arange(steps + 1) > np.arange(1, steps + 1)[:, np.newaxis]
    with checker.within("log10_paths"):
        got = np.asarray(checker.tested["log10_paths"], dtype=np.float64)
    if got.shape == expected.shape:
        agree = (got == expected) | (np.abs(got - expected) <= LOG10_ATOL)
        ends = np.arange(1, steps + 1)
        unseen = np.array([checker.unseen(k, ends) for k in range(steps + 1)]).T
        expected = np.where(unseen & ~agree & ~later, np.inf, expected)
    entry = checker.array("log10_paths", title, expected, np.zeros_like(expected), got=got)
    return explained(entry._replace(miss=miss), checker)


def _right(rows: Checked, steps: int) -> bool:
    """Whether so many errors as the largest that was seen leave a length right."""
    seen = rows.max_rel_error
    return rows.verdict is Verdict.PASS and seen is not None and seen * steps <= LOG10_ATOL


def explained(entry: Checked, checker: Checker, *, of_loss: bool = True) -> Checked:
    """An undecided entry with the reason, where it is beyond the range of floats."""
    if entry.verdict is not Verdict.INCONCLUSIVE:
        return entry
    beyond, blind = np.flatnonzero(checker.too_saturated), np.flatnonzero(checker.blind)
    if len(beyond) and of_loss:
        reason = (
            f"the read-out of step {beyond[0] + 1} is saturated: ∂L_t/∂h_t is below the range of "
            "floats, where a complex step does not reach"
        )
        return entry._replace(reason=reason)
    if len(blind):
        reason = (
            f"a gate of step {blind[0] + 1} is saturated: its slope is below the range of floats, "
            "where a complex step does not reach"
        )
        return entry._replace(reason=reason)
    return entry
