"""log10_chain and log10_paths against explicit Jacobians, and what no complex step can see."""

from __future__ import annotations

import numpy as np

from rnngrad.analyses.checking.comparing.tolerance import LOG10_ATOL
from rnngrad.analyses.checking.comparing.verdicts import Checked, Verdict
from rnngrad.analyses.checking.own.checker import Checker
from rnngrad.analyses.checking.own.work import CHAIN, EXPLICIT
from rnngrad.analyses.checking.references import products
from rnngrad.analyses.checking.references.products import Explicit
from rnngrad.analyses.checking.references.tangent import output_slopes
from rnngrad.arithmetic.scaled import scaled


def explicit(checker: Checker) -> Explicit:
    """What explicit Jacobians make of those of the two that are tested, once."""
    if checker.explicit is None:
        setting, problem = checker.setting, checker.setting.problem
        stride = products.chain_stride(setting) if "log10_chain" in checker.tested else None
        direct = None
        wanted = "log10_paths" in checker.tested and "log10_paths" not in checker.plan.left_out
        if wanted and problem.loss is not None:
            slopes = output_slopes(setting)
            direct = scaled(slopes @ problem.weights["W_hy"] if problem.has_readout else slopes)
        with checker.within(EXPLICIT):
            checker.explicit = products.explicit(setting, stride, direct)
    return checker.explicit


def log10_chain(checker: Checker) -> Checked:
    """The largest singular value of J_T ⋯ J_{k+1}, at every step or at one in so many."""
    stride, expected = products.chain_stride(checker.setting), explicit(checker).chain.copy()
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


def log10_paths(checker: Checker) -> Checked:
    """The lengths of ∂L_t/∂h_t · J_t ⋯ J_{k+1}, from explicit Jacobians."""
    steps, expected = checker.setting.problem.steps, explicit(checker).paths.copy()
    later = np.arange(steps + 1) > np.arange(1, steps + 1)[:, np.newaxis]
    with checker.within("log10_paths"):
        got = np.asarray(checker.tested["log10_paths"], dtype=np.float64)
    if got.shape == expected.shape:
        agree = (got == expected) | (np.abs(got - expected) <= LOG10_ATOL)
        rows = np.arange(1, steps + 1)
        unseen = np.array([checker.unseen(k, rows) for k in range(steps + 1)]).T
        expected = np.where(unseen & ~agree & ~later, np.inf, expected)
    entry = checker.array("log10_paths", products.TITLE, expected, np.zeros_like(expected), got=got)
    return explained(entry, checker)


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
