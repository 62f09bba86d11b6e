"""Nets as a report shows them: derived, checked, and under many scales of W_hh."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rnngrad.analyses.checking.batches import own_checked
from rnngrad.analyses.checking.comparing.verdicts import Checked, CutShortError
from rnngrad.analyses.checking.references.plan import plan as check_plan
from rnngrad.analyses.derivation.derive import Derivation, derive
from rnngrad.analyses.sweep.critical_scales import gaps
from rnngrad.analyses.sweep.scaled_chains import ScaledChain, scaled_chains, with_one
from rnngrad.analyses.sweep.sweep import SweepResult, result
from rnngrad.analyses.sweep.tasks import forget, plan, rows_of, zeros_of
from rnngrad.net.problem import Problem
from rnngrad.progress import Listener, reporting_to


class Looked(NamedTuple):
    """One net. ``words``: how it was checked. ``chains``: one a scale, in order."""

    result: Derivation
    checked: tuple[Checked, ...] = ()
    words: tuple[str, ...] = ()
    chains: tuple[ScaledChain, ...] = ()


class Overview(NamedTuple):
    """All nets. ``sweep``: the rates of those that have something to scale; None of none of them,
    or where no scales were wanted. ``interrupted``: Ctrl-C came, and what is missing was not
    computed."""

    nets: tuple[Looked, ...]
    sweep: SweepResult | None = None
    interrupted: bool = False


def overview(
    problems: Mapping[str, Problem], scales: Sequence[float], progress: Listener | None = None
) -> Overview:
    """Everything of each net, by name, unless Ctrl-C ends it: then what there is by then."""
    nets, swept = [Looked(derive(problem)) for problem in problems.values()], None
    try:
        with reporting_to(progress):
            for at, net in enumerate(nets):
                nets[at] = _scaled(net, scales)
            swept = _swept(problems, scales)
        for at, net in enumerate(nets):  # what may take longest, last
            nets[at] = _checked(net, progress)
    except CutShortError as cut:
        words = check_plan(nets[at].result.problem).words
        nets[at] = nets[at]._replace(checked=tuple(cut.checked), words=words)
        return Overview(tuple(nets), swept, interrupted=True)
    except KeyboardInterrupt:
        return Overview(tuple(nets), swept, interrupted=True)
    return Overview(tuple(nets), swept)


def _checked(net: Looked, progress: Listener | None) -> Looked:
    problem = net.result.problem
    words = check_plan(problem).words
    return net._replace(checked=tuple(own_checked(problem, progress=progress)), words=words)


def _scaled(net: Looked, scales: Sequence[float]) -> Looked:
    if not scales or not net.result.problem.cell.scaled:
        return net
    return net._replace(chains=tuple(scaled_chains(net.result.problem, with_one(scales))))


def _swept(problems: Mapping[str, Problem], scales: Sequence[float]) -> SweepResult | None:
    """The sweep, with its critical scales."""
    scaled = {name: problem for name, problem in problems.items() if problem.cell.scaled}
    if not scaled or not scales:
        return None
    whole = plan(scaled, tuple(scales))
    try:
        rows = [row for task in rows_of(whole) for row in task]
        return result(whole, rows, zeros_of(whole, gaps(rows)))
    finally:
        forget()
