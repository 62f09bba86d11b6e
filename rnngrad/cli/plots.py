"""What stands behind ``--plot``, ``--plot-what`` and ``--plot-data``: which pictures, and where to.

Whatever can be refused is refused before anything is computed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rnngrad.errors import UsageError, did_you_mean
from rnngrad.views.pictures.kinds import PICTURES, chosen, of_verb

if TYPE_CHECKING:
    from rnngrad.net.problem import Problem
    from rnngrad.views.pictures.picture import Picture
    from rnngrad.views.pictures.rate_map import Over

ENDINGS = (".png", ".svg", ".pdf")


class Plots(NamedTuple):
    """The kinds that are drawn, and the files. ``asked``: the user named the kinds."""

    kinds: tuple[str, ...]
    asked: bool
    plot: Path | None
    data: Path | None

    def fitting(self, problems: Iterable[Problem]) -> Plots:
        """Those that there are of any of these nets; UsageError for one that was named."""
        nets, kinds = list(problems), []
        for name in self.kinds:
            lacking = [why for one in nets if (why := PICTURES[name].why_not(one))]
            if len(lacking) < len(nets):
                kinds.append(name)
            elif self.asked:
                raise UsageError(f"--plot-what {name}: there is no such picture: {lacking[0]}")
        return self._replace(kinds=tuple(kinds))

    def left_out(self, problems: Sequence[Problem]) -> Iterator[str]:
        """Which of several nets are not in which pictures, and why."""
        for name in self.kinds if len(problems) > 1 else ():
            for why in filter(None, map(PICTURES[name].why_not, problems)):
                yield f"note: not in the picture {name}: {why}"

    def staged(self, result: object) -> list[Callable[[], None]]:
        """Draw the pictures of a result, beside their places; the calls that this returns move them
        there."""
        from rnngrad.cli import output
        from rnngrad.views.pictures.kinds import pictures

        found = [picture for name in self.kinds for picture in pictures(name, result)]
        moves = []
        if self.plot is not None:
            image = _drawn(found, self.plot)
            moves.append(output.staged(self.plot, lambda file: file.write(image)))
        if self.data is not None:
            text = _numbers(found)
            moves.append(output.staged(self.data, lambda file: file.write(text)))
        return moves


def planned(
    verb: str,
    plot: Path | None,
    what: Sequence[str] | None,
    data: Path | None,
    force: bool,
    specs: Sequence[str],
    others: Mapping[str, Path | None],
) -> Plots | None:
    """What is asked for, checked; None where nothing is. ``others``: option -> what it writes."""
    from rnngrad.cli.output import check_writable

    kinds = chosen(what or (), verb)
    if plot is None and data is None:
        if kinds:
            raise UsageError("--plot-what chooses what --plot FILE draws; give one")
        return None
    _check_ending("--plot", plot, ENDINGS)
    _check_ending("--plot-data", data, (".csv",))
    _refuse_same({**others, "--plot": plot, "--plot-data": data})
    for path in (plot, data):
        check_writable(path, force)
        for spec in specs:
            check_writable(path, force, spec)
    if plot is not None:
        _need_matplotlib()
    unasked = tuple(name for name in of_verb(verb) if not PICTURES[name].asked)
    return Plots(kinds or unasked, bool(kinds), plot, data)


def told_apart(problems: Sequence[Problem], specs: Sequence[str]) -> list[Problem]:
    """The nets of a picture; those that share a name have the path of their spec, as in sweep."""
    for spec, times in Counter(specs).items():
        if times > 1:
            raise UsageError(f"'{spec}' is given {times} times; once is enough")
    names = Counter(one.name for one in problems)
    return [
        one if names[one.name] == 1 else replace(one, name=spec)
        for one, spec in zip(problems, specs, strict=True)
    ]


def over_swept(text: str | None, plots: Plots | None) -> tuple[Plots | None, Over | None]:
    """What ``--map`` adds: a picture, and the two axes that it is over."""
    from rnngrad.views.pictures.rate_map import axes

    if plots is None:
        if text is not None:
            raise UsageError("--map is for --plot FILE; give one")
        return None, None
    if text is None:
        if "map" in plots.kinds:
            raise UsageError("--plot-what map needs two axes: --map scale,seed")
        return plots, None
    kinds = dict.fromkeys((*plots.kinds, "map"))
    return plots._replace(kinds=tuple(kinds)), axes(text)


def _check_ending(option: str, path: Path | None, endings: Sequence[str]) -> None:
    if path is not None and path.suffix.lower() not in endings:
        hint = did_you_mean(path.suffix.lower(), endings)
        known = " or ".join([", ".join(endings[:-1]), endings[-1]] if endings[1:] else endings)
        raise UsageError(f"{option} {path}: the file's name must end in {known}{hint}")


def _refuse_same(files: Mapping[str, Path | None]) -> None:
    """UsageError where two options write to one file."""
    seen: dict[Path, str] = {}
    for option, path in files.items():
        if path is None:
            continue
        place = path.absolute()
        if place in seen:
            raise UsageError(f"{option} {path}: {seen[place]} writes to the same file")
        seen[place] = option


def _need_matplotlib() -> None:
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        raise UsageError(
            "--plot needs Matplotlib: pip install 'rnngrad[plot]'; --plot-data needs none"
        )


def _drawn(found: Sequence[Picture], path: Path) -> bytes:
    from rnngrad.views.pictures.by_matplotlib.page import drawn

    return drawn(found, path.suffix.lower().removeprefix("."))


def _numbers(found: Sequence[Picture]) -> bytes:
    from rnngrad.views.formats.to_csv import render
    from rnngrad.views.pictures.to_rows import report
    from rnngrad.views.report import Screen

    return "".join(render(report(found), Screen())).encode()
