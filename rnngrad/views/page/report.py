"""The report: what one looks at first is at the top, and every table is there, folded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from math import isfinite
from typing import NamedTuple

import numpy as np

from rnngrad.analyses.checking.comparing.verdicts import worst
from rnngrad.analyses.derivation.notation import Notation
from rnngrad.analyses.derivation.selection import select
from rnngrad.analyses.flow.stability import LN_10
from rnngrad.analyses.overview import Looked, Overview
from rnngrad.analyses.sweep.scaled_chains import ScaledChain
from rnngrad.analyses.sweep.scaling import what_is_scaled
from rnngrad.views.blocks import Block, Column, Table
from rnngrad.views.check import report as check_report
from rnngrad.views.derivation.sections import SECTIONS
from rnngrad.views.derivation.view import View, blocks_of, view_of
from rnngrad.views.numbers import from_log10, grouped, number, settled
from rnngrad.views.page.blocks import html
from rnngrad.views.page.page import page, text
from rnngrad.views.pictures.by_matplotlib.words import lowered
from rnngrad.views.pictures.checks import CheckedNet
from rnngrad.views.pictures.kinds import pictures
from rnngrad.views.pictures.nets import Nets, of_a_net
from rnngrad.views.pictures.picture import Level, Line, Picture, on_one_scale
from rnngrad.views.pictures.rate_map import Swept
from rnngrad.views.pictures.svg.figure import figure, figures
from rnngrad.views.pictures.svg.marks import Choice
from rnngrad.views.pictures.svg.words import said
from rnngrad.views.pictures.words import called, growth
from rnngrad.views.provenance import provenance

OPEN = ("derivation", "parameters", "flow")
"""Sections of derive that are read; the others are folded, and the map is a picture."""

DRAWN = ("map",)

OF_A_NET = ("unrolled", "credit-map", "truncation", "paths", "gates")
"""Pictures of each net; how far it reaches is drawn with its scales."""


class Shown(NamedTuple):
    """One net of the page: ``key`` begins its ids, ``level`` is that of its headings."""

    net: Looked
    view: View
    key: str
    level: int


def report(found: Overview) -> Iterator[str]:
    """The page, piece by piece."""
    several = len(found.nets) > 1
    shown = [
        Shown(net, view_of(net.result, select(net.result, (), None, False)), f"n{i}", 2 + several)
        for i, net in enumerate(found.nets, start=1)
    ]
    of = [provenance(net.result.problem) for net in found.nets]
    yield from page(_title(shown), _body(found, shown), script=True, provenance=of)


def _title(shown: Sequence[Shown]) -> str:
    if len(shown) > 1:
        return f"{len(shown)} nets: where their gradients go"
    return f"{called(shown[0].net.result.problem)}: where its gradients go"


def _body(found: Overview, shown: Sequence[Shown]) -> Iterator[str]:
    yield f"<h1>{text(_title(shown))}</h1>\n"
    if len(shown) == 1:
        yield f'<p class="finding">{said(growth([shown[0].view.flow]))}</p>\n'
    if found.interrupted:
        yield '<p class="bad">Interrupted: what is missing here was not computed.</p>\n'
    if len(shown) > 1:
        yield html(_beside(shown))
        yield from _beside_each_other(found, shown)
        yield _choice_of_net(shown)
    for one, drawn in zip(shown, _drawn(shown), strict=True):
        yield from _net(one, drawn, found, alone=len(shown) == 1)
    yield (
        '<p class="note">Made by rnngrad. The page loads nothing from anywhere. '
        "rnngrad derive, check and sweep have every number of it.</p>\n"
    )


# ---------------------------------------------------------------------------- several nets


def _beside(shown: Sequence[Shown]) -> Table:
    """A row a net."""
    columns = (
        Column("net", right=False), Column("cell", right=False), Column("T"), Column("H"),
        Column("loss"), Column("factor a step"), Column("gradient", right=False, coloured="flow"),
        Column("check", right=False, coloured="verdict"),
    )  # fmt: skip
    return Table("The nets beside each other", columns, tuple(map(_row, shown)))


def _row(one: Shown) -> tuple[str, ...]:
    problem, flow = one.net.result.problem, one.view.flow
    hidden = " + ".join(str(layer.hidden) for layer in problem.layers)
    loss = one.net.result.loss
    return (
        called(problem), problem.cell.name, grouped(problem.steps), hidden,
        "" if loss is None else number(loss), _factor(flow.rate), flow.regime or "not known",
        str(worst(entry.verdict for entry in one.net.checked)) if one.net.checked else "",
    )  # fmt: skip


def _factor(rate: float) -> str:
    return from_log10(settled(rate) / LN_10)


def _beside_each_other(found: Overview, shown: Sequence[Shown]) -> Iterator[str]:
    """Their reach in one picture, their rates in another."""
    nets = Nets(tuple(one.view.flow for one in shown))
    drawn = [*pictures("reach", nets)]
    drawn += [] if found.sweep is None else pictures("rate", Swept(found.sweep))
    yield from figures(drawn, "all", 3)


def _choice_of_net(shown: Sequence[Shown]) -> str:
    names = "".join(f"<option>{text(called(one.net.result.problem))}</option>" for one in shown)
    return (
        '<div class="asked" data-asks="net" hidden><label for="net">One of them in detail</label>'
        f'<select id="net">{names}</select></div>\n'
    )


# ---------------------------------------------------------------------------- one net


def _drawn(shown: Sequence[Shown]) -> list[list[Picture]]:
    """The pictures of each net, with one scale of colours for all maps."""
    found = [[*of_a_net(one.view.flow, one.view.selection, OF_A_NET)] for one in shown]
    scaled = iter(on_one_scale(chain.from_iterable(found)))
    return [list(islice(scaled, len(some))) for some in found]


def _net(one: Shown, drawn: Sequence[Picture], found: Overview, *, alone: bool) -> Iterator[str]:
    problem = one.net.result.problem
    yield f'<section class="net" id="{one.key}" aria-label="{text(called(problem))}">\n'
    if not alone:
        yield f"<h2>{text(called(problem))}</h2>\n"
    yield from _blocks("summary", one)
    yield from _blocks("equations", one)
    yield f"<h{one.level}>What passes on the way back</h{one.level}>\n"
    yield from figures(drawn, one.key, one.level + 1)
    yield from _scales(one, found if alone else None)
    for name in OPEN:
        yield from _blocks(name, one)
    yield from _check(one)
    yield from _folded(one)
    yield "</section>\n"


def _blocks(name: str, one: Shown) -> Iterator[str]:
    """One section of derive, if there is such a section of this net; its title stands above."""
    section = SECTIONS[name]
    if not section.exists(one.net.result.problem):
        return
    blocks = [*blocks_of(section, one.view._replace(left_out=()))]
    for block in blocks[1:] if name == "summary" else blocks:
        yield html(block, one.level)


def _folded(one: Shown) -> Iterator[str]:
    """What is left of derive's sections, each to be opened."""
    for section in one.view.sections:
        if section.name not in ("summary", "equations", *OPEN, *DRAWN):
            blocks = [*blocks_of(section, one.view)]
            if blocks:
                inside = "".join(html(block, one.level + 1) for block in blocks)
                name = section.shows[0].upper() + section.shows[1:]
                yield f"<details><summary>{text(name)}</summary>\n{inside}</details>\n"
    if one.view.left_out:
        names = ", ".join(section.name for section in one.view.left_out)
        yield (
            f'<p class="note">Of {grouped(one.net.result.problem.steps)} steps these tables are '
            f"left out: {text(names)}. rnngrad derive --section has them.</p>\n"
        )


def _check(one: Shown) -> Iterator[str]:
    """The verdict, and how it was come by."""
    if not one.net.checked:
        return
    problem = one.net.result.problem
    heading = ("Are these gradients right?", *one.net.words)
    blocks: list[Block] = [
        *check_report(one.net.checked, heading=heading, hide_expected=False, of=problem).blocks()
    ]
    for block in blocks:
        yield html(block, one.level)
    of = CheckedNet(one.net.result.problem, one.net.checked)
    yield from figures(pictures("errors", of), f"{one.key}-check", one.level + 1)


# ---------------------------------------------------------------------------- scales


def _scales(one: Shown, found: Overview | None) -> Iterator[str]:
    """How far it reaches, a curve a scale, with a slider to choose one; the rate beside it."""
    h = one.level
    flow, chains = one.view.flow, one.net.chains
    reach = next(pictures("reach", Nets((flow,))))
    names = what_is_scaled(one.net.result.problem.cell) if chains else ""
    yield f"<h{h}>{'As ' + said(names) + ' grows' if chains else 'How far it reaches'}</h{h}>\n"
    yield '<div class="pictures">\n'
    if chains:
        at = next(i for i, chain in enumerate(chains) if chain.scale == 1.0)
        words = tuple(_in_words(one, chain) for chain in chains)
        yield (
            f'<div>\n<div class="asked" data-asks="scale" hidden>'
            f'<label for="{one.key}-scale">Scale of {said(names)}</label>'
            f'<input type="range" id="{one.key}-scale" min="0" max="{len(chains) - 1}" step="1" '
            f'value="{at}" aria-valuetext="{text(words[at])}">'
            f'<output for="{one.key}-scale">{text(words[at])}</output></div>\n'
        )
        lines = tuple(
            Line(f"{chain.scale:.3g}", np.arange(len(chain.log10_chain), dtype=float),
                 chain.log10_chain[::-1]) for chain in chains
        )  # fmt: skip
        floors = tuple(mark for mark in reach.marks if isinstance(mark, Level))
        ends = f"{chains[0].scale:.3g} to {chains[-1].scale:.3g}"
        note = f"A line is a scale of {names}, {ends}; the strong one is 1."
        yield figure(
            reach._replace(marks=(*lines, *floors), notes=(*reach.notes, note)),
            f"{one.key}-reach", Choice(words, at), h + 1,
        )  # fmt: skip
        yield "</div>\n"
    else:
        yield figure(reach, f"{one.key}-reach", level=h + 1)
    if found is not None and found.sweep is not None:
        for i, picture in enumerate(pictures("rate", Swept(found.sweep)), start=1):
            yield figure(picture, f"{one.key}-rate-{i}", level=h + 1)
    yield "</div>\n"


def _in_words(one: Shown, chain: ScaledChain) -> str:
    """``0.84: vanishing, a factor 0.69 a step, ‖∂h₆₀/∂h₀‖ = 2.1e-10``"""
    s, steps = Notation(one.net.result.problem).state, one.net.result.problem.steps
    end = lowered(f"‖∂{s}_{steps}/∂{s}_0‖")
    if chain.regime is None:
        return f"{chain.scale:.3g}: {end} is not a number"
    norm = from_log10(settled(float(chain.log10_chain[0])))
    if not isfinite(chain.rate):
        return f"{chain.scale:.3g}: {chain.regime}, {end} = {norm}"
    return (
        f"{chain.scale:.3g}: {chain.regime}, a factor {_factor(chain.rate)} a step, {end} = {norm}"
    )
