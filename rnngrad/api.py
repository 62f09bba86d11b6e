"""The verbs of the Python API that need both files and analyses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike, fspath
from typing import Any

from rnngrad.analyses.checking.document import document
from rnngrad.net.batch import Batch
from rnngrad.net.problem import Problem


def check(
    problem: Problem | Batch, against: Mapping[str, Any] | str | PathLike[str] | None = None
) -> dict[str, object]:
    """The report that ``rnngrad check --json`` prints.

    Without ``against`` it is on rnngrad's own gradients, else on those: arrays by the names of the
    contract (``{"dL_dW_hh": …}``) or spelled as people do (``{"dWhh": …}``), or the path of a .npz,
    .json, .yaml or .safetensors with them. Of a batch the parameters' gradients are those of its L,
    and whatever has a step axis has the sequences where the spec has them.

    >>> import rnngrad
    >>> net = {"weights": {"W_xh": 1, "W_hh": 0.5}, "inputs": [1, 1], "targets": [0, 0]}
    >>> rnngrad.check(rnngrad.load(net))["verdict"]
    'pass'

    Raises QuantityError for names that do not exist, or not for this net, or two for one gradient,
    UsageError where there is nothing to check, SpecError for a file that cannot be read.
    """
    if against is None:
        from rnngrad.analyses.checking.batches import check_own_batch
        from rnngrad.analyses.checking.own.own import check_own

        own = check_own(problem) if isinstance(problem, Problem) else check_own_batch(problem)
        return document(own)
    from rnngrad.analyses.checking.batches import check_given

    if isinstance(against, Mapping):
        return document(check_given(problem, against))
    from rnngrad.files.submitted.framework_gradients import gradients_of

    net = problem if isinstance(problem, Problem) else problem.net
    given = gradients_of(net, fspath(against))
    return document(check_given(problem, given.arrays, given.twice, framework=given.framework))


def report(
    problem: Problem | Sequence[Problem], scales: str | float | Iterable[float] | None = None
) -> str:
    """The page that ``rnngrad report`` writes: one HTML file that opens offline.

    ``scales``: those of the slider, numbers or a text such as ``"0.1:4:40"``; by default as many as
    take some half a minute at most. Several problems are told apart by their names.

    >>> import rnngrad
    >>> net = {"weights": {"W_xh": 1, "W_hh": 0.5}, "inputs": [1, 1], "targets": [0, 0]}
    >>> rnngrad.report(rnngrad.load(net), [0.5, 2])[:15]
    '<!DOCTYPE html>'

    Raises UsageError for scales that are none, and for problems with one name.
    """
    from rnngrad.analyses.overview import overview
    from rnngrad.analyses.sweep.scaled_chains import affordable_scales
    from rnngrad.analyses.sweep.scales import scales_of
    from rnngrad.analyses.sweep.sweep import by_name
    from rnngrad.net.batch import one_sequence
    from rnngrad.views.page.report import report as page

    named = by_name(problem, "report")
    problems = {name: one_sequence(one, "report") for name, one in named.items()}
    scaled = [one for one in problems.values() if one.cell.scaled]
    wanted = affordable_scales(scaled) if scales is None else scales_of(scales)
    return "".join(page(overview(problems, wanted)))
