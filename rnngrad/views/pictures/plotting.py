"""Pictures from Python: ``plot.credit_map()`` and its like, each returning Matplotlib's Figure."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from rnngrad.analyses.derivation.derive import Derivation
from rnngrad.analyses.flow.cliff import parameters
from rnngrad.analyses.flow.flow import GradientFlow
from rnngrad.arguments import spoken
from rnngrad.errors import OutputError, UsageError
from rnngrad.views.pictures.kinds import PICTURES, chosen, of_verb, pictures
from rnngrad.views.pictures.nets import Nets
from rnngrad.views.pictures.picture import Picture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Plot:
    """The pictures of one derivation, and of others beside it.

    Called, it puts all that fit on one page: ``plot("page.pdf", what=["reach", "credit-map"])``.
    Each kind has a method of its name; with ``ax`` it draws into these axes, the first picture
    where there are several. All return the Figure. Raises UsageError where Matplotlib (the extra
    ``plot``) is missing, for a kind that does not exist, or not for this net.
    """

    def __init__(self, result: Derivation, *beside: Derivation) -> None:
        self._flows = tuple(map(GradientFlow, _told_apart((result, *beside))))

    def __repr__(self) -> str:
        names = ", ".join(repr(flow.problem.name) for flow in self._flows)
        return f"<rnngrad.Plot of {names}: plot(), or plot.reach() and other kinds>"

    @spoken
    def beside(self, *others: Derivation) -> Plot:
        """The same with other nets in the same pictures."""
        return Plot(*(flow.result for flow in self._flows), *others)

    @spoken
    def __call__(
        self,
        file: str | PathLike[str] | None = None,
        *,
        what: Iterable[str] = (),
        step: int | None = None,
        cliff: str | None = None,
        force: bool = False,
    ) -> Figure:
        """All on one page, also as a file that ends in .png, .svg or .pdf, which is overwritten
        with ``force`` alone. ``what``: just these; ``step``: the unrolled net around it; ``cliff``:
        the two parameters of that picture."""
        _check_file(file, force)
        named = chosen((what,) if isinstance(what, str) else what, "derive")
        names = named or [
            name
            for name in of_verb("derive")
            if not all(PICTURES[name].why_not(flow.problem) for flow in self._flows)
            and (cliff is not None or not PICTURES[name].asked)
        ]
        found = [one for name in names for one in self._pictures(name, step, cliff)]
        return _paged(found, file)

    @spoken
    def unrolled(self, ax: Axes | None = None, *, step: int | None = None) -> Figure:
        """The unrolled net around a step, the last 8 steps by default."""
        return self._drawn("unrolled", ax, step)

    @spoken
    def credit_map(self, ax: Axes | None = None) -> Figure:
        """How much of each loss reaches each earlier step."""
        return self._drawn("credit-map", ax)

    @spoken
    def reach(self, ax: Axes | None = None) -> Figure:
        """How far back the last state reaches."""
        return self._drawn("reach", ax)

    @spoken
    def truncation(self, ax: Axes | None = None) -> Figure:
        """What keeping only the last k steps of each loss costs."""
        return self._drawn("truncation", ax)

    @spoken
    def paths(self, ax: Axes | None = None) -> Figure:
        """The paths that ∂L/∂W is the sum of."""
        return self._drawn("paths", ax)

    @spoken
    def gates(self, ax: Axes | None = None) -> Figure:
        """The gates over time, and the gradient that passes through them."""
        return self._drawn("gates", ax)

    @spoken
    def spectrum(self, ax: Axes | None = None) -> Figure:
        """The Lyapunov exponents."""
        return self._drawn("spectrum", ax)

    @spoken
    def eigenvalues(self, ax: Axes | None = None) -> Figure:
        """The eigenvalues of W_hh and of the Jacobians, and the unit circle."""
        return self._drawn("eigenvalues", ax)

    @spoken
    def cliff(self, over: str, ax: Axes | None = None) -> Figure:
        """The loss over two parameters, ``"W_hh[0,0]=1:7,b_h[0]"``."""
        return self._drawn("cliff", ax, cliff=over)

    def _drawn(
        self, name: str, ax: Axes | None, step: int | None = None, cliff: str | None = None
    ) -> Figure:
        found, drawing = self._pictures(name, step, cliff), _drawing()
        figure: Figure = drawing.figure_of(found) if ax is None else drawing.into(ax, found[0])
        return figure

    def _pictures(self, name: str, step: int | None, cliff: str | None) -> list[Picture]:
        lacking = [PICTURES[name].why_not(flow.problem) for flow in self._flows]
        if all(lacking):
            raise UsageError(f"there is no picture '{name}': {lacking[0]}")
        if PICTURES[name].asked and cliff is None:
            raise UsageError(f"the picture '{name}' needs two parameters: cliff='W_hh[0,0],b_h[0]'")
        steps = min(flow.problem.steps for flow in self._flows)
        if step is not None and not 1 <= step <= steps:
            raise UsageError(f"step {step}: the steps are 1 to {steps}")
        over = None if cliff is None else parameters(cliff)
        return list(pictures(name, Nets(self._flows, step, over)))


def _told_apart(results: Iterable[Derivation]) -> Iterator[Derivation]:
    """Those that have a name that was there before are numbered: rnn, rnn (2)."""
    seen = Counter[str]()
    for one in results:
        name = one.problem.name
        seen[name] += 1
        again = replace(one.problem, name=f"{name} ({seen[name]})")
        yield one if seen[name] == 1 else type(one)(again)


def named(
    what: Iterable[str], verb: str, result: Any, every: Iterable[Picture]
) -> Iterator[Picture]:
    """Those of a result of check or sweep that have these names, or else of ``every``; UsageError
    for a name that none has."""
    for name in chosen((what,) if isinstance(what, str) else what, verb):
        lacking = PICTURES[name].why_not(result.problem) if hasattr(result, "problem") else ""
        found = pictures(name, result) if result and not lacking else every
        ours = [one for one in found if one.name == name]
        if not ours:
            asked = "it needs two axes: over='scale,seed'" if PICTURES[name].asked else ""
            why = lacking or asked or "plot() draws all that there are"
            raise UsageError(f"there is no picture '{name}' of this: {why}")
        yield from ours


def plotted(
    found: Callable[[], Iterable[Picture]], file: str | PathLike[str] | None, force: bool
) -> Figure:
    """Pictures on one page, also as a file; UsageError where there are none."""
    _check_file(file, force)
    pictures = list(found())
    if not pictures:
        raise UsageError("there is no picture of this")
    return _paged(pictures, file)


def _paged(found: Sequence[Picture], file: str | PathLike[str] | None) -> Figure:
    drawing = _drawing()
    if file is not None:
        path = Path(fspath(file))
        try:
            path.write_bytes(drawing.drawn(found, _ending(path)))
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error.strerror}") from None
    figure: Figure = drawing.figure_of(found)
    return figure


def _ending(path: Path) -> str:
    return path.suffix.lower().removeprefix(".")


def _check_file(file: str | PathLike[str] | None, force: bool) -> None:
    """Before anything is computed."""
    if file is None:
        return
    path = Path(fspath(file))
    if _ending(path) not in ("png", "svg", "pdf"):
        raise UsageError(f"{path}: the file's name must end in .png, .svg or .pdf")
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; name a file in it")
    if path.exists() and not force:
        raise OutputError(f"{path}: exists already; force=True overwrites it")
    if not path.parent.is_dir():
        raise OutputError(f"{path}: there is no folder '{path.parent}'")


def _drawing() -> ModuleType:
    """What draws, where Matplotlib is there."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise UsageError("plot needs Matplotlib: pip install 'rnngrad[plot]'") from None
    from rnngrad.views.pictures.by_matplotlib import page

    return page
