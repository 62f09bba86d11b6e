"""The verbs of the Python API, whose results can be looked at in a notebook, and whose errors name
their arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from rnngrad import files
from rnngrad.analyses.derivation import derive as deriving
from rnngrad.analyses.derivation.derive import BatchDerivation as _BatchDerivation
from rnngrad.analyses.derivation.derive import BidirectionalDerivation as _BidirectionalDerivation
from rnngrad.analyses.derivation.derive import Derivation as _Derivation
from rnngrad.analyses.flow import stability
from rnngrad.arguments import checked, spoken
from rnngrad.arithmetic.arrays import Array
from rnngrad.errors import escaped
from rnngrad.net.batch import Batch, BidirectionalBatch
from rnngrad.net.bidirectional import Bidirectional
from rnngrad.net.problem import Problem
from rnngrad.views.notebook import Shown, library
from rnngrad.views.report import Report

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from rnngrad.views.pictures.picture import Picture
    from rnngrad.views.pictures.plotting import Plot


class Document(Shown, dict[str, object]):
    """The document that ``--json`` prints, as a dict, and in a notebook the command's tables.

    ``as_text()``, ``as_latex()``, ``as_markdown()`` and ``as_html()`` are the tables;
    ``to_pandas()`` has the rows of CSV, ``plot("page.pdf", what=())`` its pictures (the extra
    ``plot``).
    """

    def __init__(
        self, document: Mapping[str, object], report: Callable[[], Report], drawn: object = None
    ) -> None:
        super().__init__(document)
        self._report, self._drawn = report, drawn

    def __repr__(self) -> str:
        told = [f"{key} {self[key]}" for key in ("verdict", "points") if key in self]
        told += [f"{len(value)} {key}" for key in ("quantities", "rows", "steps")
                 if isinstance(value := self.get(key), list)]  # fmt: skip
        return f"<rnngrad.Document {self.get('command')}: {', '.join(told)}>"

    _repr_pretty_ = Shown._repr_pretty_  # before __repr__, as IPython looks for both

    def report(self) -> Report:
        return self._report()

    @spoken
    def plot(
        self,
        file: str | PathLike[str] | None = None,
        *,
        what: Iterable[str] = (),
        force: bool = False,
    ) -> Any:
        """Its pictures on one page, Matplotlib's Figure; also as a file that ends in .png, .svg or
        .pdf, which is overwritten with ``force`` alone. ``what``: just these, by the names of
        ``--plot-what``."""
        from rnngrad.views.pictures.plotting import named, plotted

        def found() -> Iterable[Picture]:
            every = self.report().pictures()
            return named(what, str(self.get("command")), self._drawn, every)

        return plotted(found if what else self.report().pictures, file, force)


class _Result(Shown):
    """A mapping from the names of quantities to arrays that can be looked at."""

    def report(self) -> Report:
        return self._shown(())

    def _shown(self, names: Sequence[str]) -> Report:
        """Of these quantities, or of all."""
        raise NotImplementedError

    @spoken
    def to_pandas(self: Any, *names: str) -> Any:
        """These quantities, or all that the tables show, a row a number; one alone whose columns
        have names, such as ``"truncation"`` and ``"horizon"``, as its table."""
        record = self.record(names[0]) if len(names) == 1 else None
        if record is not None and record.columns:
            table = library("pandas", "to_pandas").DataFrame(self[names[0]], columns=record.columns)
            if record.first_step is not None:
                table.index = table.index.set_names("t") + record.first_step
            return table.astype({"steps": int}) if "steps" in table else table
        return Document({}, lambda: self._shown(names)).to_pandas()

    @spoken
    def to_xarray(self: Any, name: str) -> Any:
        """One quantity as a DataArray, its axes named: t from its first step, k a step, lag, row, i
        and j from 0; columns that have names have them."""
        xarray, record = library("xarray", "to_xarray"), self.record(name)
        array, first = self[name], record.first_step
        lead = record.axis or ("t" if first is not None else "row" if record.columns else "")
        axes = [*([lead] if lead else []), "i", "j"][: array.ndim]
        if record.dims == ("T", "T+1"):
            axes = ["t", "k"]
        begins = [first or 0, 0, 0][: array.ndim]
        steps: dict[str, Any] = {axis: range(start, start + size) for axis, start, size
                                 in zip(axes, begins, array.shape, strict=True)}  # fmt: skip
        if record.columns:
            del steps[axes.pop()]
            axes, steps = [*axes, "column"], steps | {"column": list(record.columns)}
        attributes = {"symbol": record.symbol}
        return xarray.DataArray(array, coords=steps, dims=axes, name=name, attrs=attributes)


class Derivation(_Result, _Derivation):
    """Everything that ``rnngrad derive`` shows of one problem.

    A mapping from the names of the quantities to arrays, each computed when it is asked for
    (``result["log10_paths"]``, (T, T+1)), and from those of ``on_request``, which it does not list
    (``result["dL_da"]``, ``result["truncation"]``); ``loss`` is L, or None without targets;
    ``lines`` are the sheet's subtasks, ``path_sums`` the summands of ∂L/∂W_hh and ∂L/∂W_xh.

    In a notebook it shows its tables. ``as_text()``, ``as_markdown()`` and ``as_html()`` are those,
    ``as_latex()`` is the sheet to hand in, ``explain("a6")`` one derivative written out;
    ``to_pandas("dL_dh")`` has one row for each number (``quantity``, ``t``, ``i``, ``j``,
    ``value``), and ``to_xarray("dL_dh")`` the array with its axes named (t, k, i, j; lag, row).
    ``plot.credit_map()`` and similar methods return the pictures, each Matplotlib's Figure.
    """

    def __repr__(self) -> str:
        return f"<rnngrad.Derivation {self.problem.words()}, {_loss(self.loss)}>"

    def report(self) -> Report:
        from rnngrad.analyses.derivation.selection import select
        from rnngrad.views.derivation.report import report as shown

        return shown(self, select(self, (), None, False), {})

    def as_latex(self) -> str:
        from rnngrad.views.formats.to_latex import render
        from rnngrad.views.homework.sheet import Sheet
        from rnngrad.views.report import Screen

        sheet = self.report()._replace(blocks=Sheet(self).blocks)
        return "".join(render(sheet, Screen()))

    @property
    def plot(self) -> Plot:
        """Its pictures (the extra ``plot``): ``result.plot.credit_map(ax=None)`` and its like
        return Matplotlib's Figure, ``result.plot("page.pdf")`` has all that fit on one page."""
        from rnngrad.views.pictures.plotting import Plot

        return Plot(self)

    def _repr_latex_(self) -> str:
        """The subtasks' equations, for what reads LaTeX between dollars."""
        from rnngrad.views.formats.to_markdown import formulas
        from rnngrad.views.homework.sheet import Sheet
        from rnngrad.views.report import Screen

        sheet, screen = Sheet(self), Screen(math="dollars")
        blocks = (sheet.subtask(line)._replace(title="") for line in sheet.lines)
        return "\n".join(formulas(block, screen) for block in blocks)

    @spoken
    def explain(self, name: str) -> Document:
        """One derivative written out, as ``--explain`` does. Raises UsageError for no subtask."""
        from rnngrad.views.homework.explain import explained

        report = explained(self, name)
        return Document(report.document(), lambda: report)

    @spoken
    def truncation(self, *steps: int) -> Array:
        """What it costs ∂L/∂W_hh if each loss keeps its last k steps, for these k (1, 2, 4 … by
        default) and T: rows of k, relative error and cosine, (n, 3)."""
        from rnngrad.analyses.derivation.selection import kept_of
        from rnngrad.chains.lags import lags

        if not steps:
            return self["truncation"]
        kept = kept_of(steps, self.problem)
        found = lags(self.problem, self.passes.forward, self.passes.backward, kept=kept)
        assert found is not None
        return np.column_stack(found.truncation)

    def _shown(self, names: Sequence[str]) -> Report:
        from rnngrad.analyses.derivation.selection import computed, select
        from rnngrad.views.derivation.report import report as shown

        selection = select(self, names, None, False)
        return shown(self, selection, computed(self, selection, every=True))


class BatchDerivation(_Result, _BatchDerivation):
    """Everything that ``rnngrad derive`` shows of a batch.

    A mapping from the names of the parameters' gradients to arrays, those of L
    (``result["dL_dW_hh"]``); ``loss`` is L, ``sequences`` has a ``Derivation`` of each sequence, of
    bidirectional layers a ``BidirectionalDerivation``. It is shown as a ``Derivation`` is: its
    tables in a notebook, ``as_text()``, ``as_latex()``, ``as_markdown()``, ``as_html()``,
    ``to_pandas("dL_dW_hh")``, ``to_xarray("dL_dW_hh")``. Pictures are of one sequence:
    ``result.sequences[0].plot``.
    """

    def __repr__(self) -> str:
        return f"<rnngrad.BatchDerivation {self.batch.words()}, {_loss(self.loss)}>"

    @cached_property
    def sequences(self) -> tuple[Derivation, ...] | tuple[BidirectionalDerivation, ...]:
        """Each by itself."""
        if isinstance(self.batch, BidirectionalBatch):
            return tuple(map(BidirectionalDerivation, self.batch.each))
        return tuple(map(Derivation, self.batch.sequences))

    def _shown(self, names: Sequence[str]) -> Report:
        from rnngrad.analyses.derivation.selection import select_of_batch
        from rnngrad.views.derivation.batch import report as shown

        selection = select_of_batch(self, names, False, {})
        return shown(self, selection, {name: self[name] for name in selection.names})


class BidirectionalDerivation(_Result, _BidirectionalDerivation):
    """Everything that ``rnngrad derive`` shows of a bidirectional net.

    A mapping from names to arrays (``result["dL_dW_hh_reverse"]``, ``result["log10_chain"]``);
    ``loss`` is L, ``halves`` has a ``Derivation`` of each direction of each layer by its name
    (``result.halves["reverse"]``), in its own time and with ∂L/∂h_t as it comes from above. It is
    shown as a ``Derivation`` is. Pictures are of one half: ``result.halves["forward"].plot``.
    """

    def __repr__(self) -> str:
        named = self.problem.words("bidirectional, ")
        return f"<rnngrad.BidirectionalDerivation {named}, {_loss(self.loss)}>"

    @cached_property
    def halves(self) -> Mapping[str, Derivation]:
        """Each by itself."""
        found = {half.name: Derivation(one.problem) for half, one in self.run()}
        for (_, one), derivation in zip(self.run(), found.values(), strict=True):
            derivation.passes = one
        return found

    def _shown(self, names: Sequence[str]) -> Report:
        from rnngrad.analyses.derivation.selection import select_of_bidirectional
        from rnngrad.views.derivation.bidirectional import report as shown

        selection = select_of_bidirectional(self, names, False, {})
        return shown(self, selection, {name: self[name] for name in selection.names})


def _loss(loss: float | None) -> str:
    return "no loss" if loss is None else f"loss {loss:.6g}"


@overload
def derive(problem: Problem) -> Derivation: ...
@overload
def derive(problem: Batch) -> BatchDerivation: ...
@overload
def derive(problem: Bidirectional) -> BidirectionalDerivation: ...
@checked
def derive(
    problem: Problem | Batch | Bidirectional,
) -> Derivation | BatchDerivation | BidirectionalDerivation:
    """Every quantity of ``problem`` by name, each computed when it is asked for; of a batch the
    gradients of the parameters, and each sequence in ``sequences``; of a bidirectional net also
    ``halves``, each direction by itself.

    >>> import rnngrad
    >>> net = {"weights": {"W_xh": 1, "W_hh": 0.5}, "inputs": [1, 1], "targets": [0, 0]}
    >>> rnngrad.derive(rnngrad.load(net))["dL_dh"].shape
    (3, 1)

    Raises QuantityError for a name that does not exist, or not for this net.
    """
    if isinstance(problem, Bidirectional):
        return BidirectionalDerivation(problem)
    return BatchDerivation(problem) if isinstance(problem, Batch) else Derivation(problem)


@checked
def check(
    problem: Problem | Batch | Bidirectional,
    against: Mapping[str, Any] | str | PathLike[str] | None = None,
) -> Document:
    """The report that ``rnngrad check --json`` prints.

    Without ``against`` it is on rnngrad's own gradients, else on those: arrays by the names of the
    contract (``{"dL_dW_hh": …}``) or spelled as people do (``{"dWhh": …}``), or the path of a .npz,
    .json, .yaml or .safetensors with them. Of a batch the parameters' gradients are those of its L,
    and arrays with a step axis have the axes of the spec.

    >>> import rnngrad
    >>> net = {"weights": {"W_xh": 1, "W_hh": 0.5}, "inputs": [1, 1], "targets": [0, 0]}
    >>> rnngrad.check(rnngrad.load(net))["verdict"]
    'pass'

    Raises QuantityError for names that do not exist, or not for this net, or two for one gradient,
    UsageError where there is nothing to check, SpecError for a file that cannot be read.
    """
    from rnngrad.analyses.checking.old_results import changes
    from rnngrad.views.check import report as shown
    from rnngrad.views.pictures.checks import CheckedNet
    from rnngrad.views.pictures.kinds import pictures

    whose, old = "rnngrad's own gradients", None
    if against is None:
        from rnngrad.analyses.checking.batches import own_checked

        checked = own_checked(problem)
    else:
        from rnngrad.analyses.checking.batches import check_given

        if isinstance(against, Mapping):
            whose = "the gradients given"
            checked = check_given(problem, against)
        else:
            from rnngrad.files.submitted.framework_gradients import gradients_of

            one = problem if isinstance(problem, Problem) else problem.net
            given = gradients_of(one, fspath(against))
            whose = escaped(fspath(against))
            checked = check_given(problem, given.arrays, given.twice, framework=given.framework)
            if given.made is not None:
                old = changes(given.made, problem, checked).data
    heading = (f"{escaped(problem.name)}: {whose}",)
    net = CheckedNet(problem if isinstance(problem, Problem) else problem.net, tuple(checked))
    whole = shown(checked, heading=heading, hide_expected=False, of=problem, old=old)
    whole = whole._replace(pictures=lambda: pictures("errors", net))
    return Document(whole.document(), lambda: whole, net if isinstance(problem, Problem) else None)


@checked
def sweep(
    problem: Problem | Batch | Bidirectional | Sequence[Problem | Batch | Bidirectional],
    scales: str | float | Iterable[float],
    seeds: int = 1,
    *,
    steps: Iterable[int] = (),
    activations: Iterable[str] = (),
    relative_to: str = "weights",
    steady: float | None = None,
    critical_rtol: float | None = None,
    gate: str | None = None,
    over: str | None = None,
    executor: Executor | None = None,
    workers: int = 1,
    bracket: float | None = None,
) -> Document:
    """Norms, rates, exponents and the critical scale as W_hh is scaled, for so many seeds.

    Returns what ``rnngrad sweep --json`` prints. Several problems need different names. A batch is
    taken as its sequences, each a row, as seeds are; a bidirectional net as its halves, each with
    its own name, and W_hh of all of them is scaled. ``gate``: only its rows of W_hh are
    scaled. ``scales``: numbers, or a text such as ``"0.1:4:40"``. ``relative_to``: ``"weights"``,
    ``"spectral-radius"`` or ``"sigma-max"``. ``steady``: |rate| up to which the regime is steady,
    by default 0.01. ``critical_rtol``: width of a critical scale's bracket, relative to it, by
    default 1e-5 (``bracket`` is its old name). ``over``: two swept axes such as ``"scale,seed"``,
    of which ``plot()`` then draws a map besides, and ``plot(what=["map"])`` the map alone.
    ``executor``: any ``concurrent.futures.Executor``, with so many ``workers``. Raises
    UsageError for what cannot be swept.

    >>> import rnngrad
    >>> net = {"activation": "identity", "weights": {"W_xh": 1, "W_hh": 0.5}, "inputs": [1, 0, 0]}
    >>> report = rnngrad.sweep(rnngrad.load(net), [1, 2, 4])
    >>> [row["regime"] for row in report["rows"]]
    ['vanishing', 'steady', 'exploding']
    """
    from rnngrad.analyses.sweep.sweep import swept
    from rnngrad.views.pictures import rate_map
    from rnngrad.views.sweeps.report import report as shown

    width = critical_rtol if bracket is None else bracket
    own = {"steady": steady, "critical_rtol": width}
    axes = None if over is None else rate_map.axes(over)
    done = swept(
        problem, scales, seeds, steps=steps, activations=activations, relative_to=relative_to,
        gate=gate, executor=executor, workers=workers,
        **{name: value for name, value in own.items() if value is not None},
    )  # fmt: skip
    if axes is not None:
        rate_map.check_swept(axes, done.plan)
    whole = shown(done, False, axes)
    return Document(whole.document(), lambda: whole, rate_map.Swept(done, axes))


@checked
def report(
    problem: Problem | Sequence[Problem], scales: str | float | Iterable[float] | None = None
) -> str:
    """The page that ``rnngrad report`` writes: one HTML file that needs no network.

    ``scales``: those of the slider, numbers or a text such as ``"0.1:4:40"``; by default as many as
    take about half a minute. Several problems are told apart by their names.

    >>> import rnngrad
    >>> net = {"weights": {"W_xh": 1, "W_hh": 0.5}, "inputs": [1, 1], "targets": [0, 0]}
    >>> rnngrad.report(rnngrad.load(net), [0.5, 2])[:15]
    '<!DOCTYPE html>'

    Raises UsageError for wrong scales, and for problems with the same name.
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


gradients, load = spoken(deriving.gradients), spoken(files.load)
log10_chain, log10_paths = spoken(deriving.log10_chain), spoken(deriving.log10_paths)
lyapunov_spectrum = spoken(stability.lyapunov_spectrum)
for _function in (gradients, load, log10_chain, log10_paths, lyapunov_spectrum):
    _function.__module__ = __name__  # where it is found, by pickle too
