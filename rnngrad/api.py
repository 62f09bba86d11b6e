"""The verbs of the Python API that need both files and analyses."""

from __future__ import annotations

from collections.abc import Mapping
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
