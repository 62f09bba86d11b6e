"""The first lines of a derivation: what one wants to know before reading on.

Nothing that takes long is computed for it alone. What no section shown needs either, and would take
more than a second or two, is not in it; its line then says which section has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from math import inf, isfinite

from rnngrad.analyses.derivation.notation import Notation
from rnngrad.analyses.derivation.paths import largest_path
from rnngrad.analyses.derivation.selection import quick_paths
from rnngrad.analyses.flow.stability import LN_10
from rnngrad.arithmetic.arrays import frobenius
from rnngrad.views.blocks import Block, Column, Table
from rnngrad.views.derivation.heading import title
from rnngrad.views.derivation.view import View
from rnngrad.views.numbers import from_log10, grouped, number, percent, settled

NORMS = 180
"""Signs of the line of norms: three lines of a screen of 80 columns."""


LEADING = 3
"""Exponents that are shown."""


def summary(view: View) -> Iterator[Block]:
    """The net's name and sizes; then a line for each of loss, gradients, growth, horizon, path."""
    yield title(view.result)
    rows = [("loss", _loss(view))]
    if view.result.problem.loss is not None:
        rows.append(("‖∂L/∂W‖", _norms(view)))
    rows.append(("gradient", _growth(view)))
    rows += [("exponents", line) for line in _exponents(view)]
    rows.append(("horizon", _horizon(view)))
    if view.result.problem.loss is not None:
        rows.append(("largest path", _path(view)))
    if view.left_out:
        names = ", ".join(section.name for section in view.left_out)
        rows.append(("not shown", f"{names}: --section NAME, --full"))
    columns = (Column("", right=False), Column("", words=True))
    yield Table("Summary", columns, tuple(rows))


def _loss(view: View) -> str:
    loss = view.result.loss
    if view.result.problem.upstream:
        return "not known: ∂L/∂h_t is given (upstream)"
    return "none: there are no targets" if loss is None else number(loss)


def _norms(view: View) -> str:
    """The norm of each parameter's gradient; where they are many, of the first, and of all."""
    norms = {name: frobenius(one) for name, one in view.result.weights.items()}
    every = [f"{name}\N{NO-BREAK SPACE}{number(norm)}" for name, norm in norms.items()]
    together = f"; together {number(view.flow.gradient_norm)}"
    if len(", ".join(every) + together) <= NORMS:
        return ", ".join(every) + together
    ends = accumulate(len(text) + 2 for text in every)
    shown = [text for text, end in zip(every, ends, strict=True) if end <= NORMS - 70]
    more = f", {len(every) - len(shown)} more (--section parameters)"
    return ", ".join(shown) + more + together


def _growth(view: View) -> str:
    """What happens to a gradient on its way from h_T back to h_0."""
    flow = view.flow
    if flow.sampled and not view.shows("chain", "flow"):
        return "not computed here; --section chain does"
    h = Notation(flow.problem).state
    chain = f"∂{h}_{flow.problem.steps}/∂{h}_0"
    if flow.regime is None:
        return f"not known: {chain} holds what is not a number"
    if flow.rate == -inf:
        return f"vanishing: {chain} is exactly 0"
    factor = from_log10(settled(flow.rate) / LN_10)
    norm = from_log10(settled(flow.log10_end))
    return f"{flow.regime}: a factor {factor} a step, ‖{chain}‖ =\N{NO-BREAK SPACE}{norm}"


def _exponents(view: View) -> Iterator[str]:
    """The leading exponents, where the tables of the flow are far from here: of a long sequence or
    a large net."""
    flow = view.flow
    far = flow.sampled or bool(view.left_out)
    if not (far and flow.affordable and view.shows("flow", "spectrum")):
        return
    if flow.regime is None:
        return
    found = flow.lyapunov
    known = [number(settled(float(one))) for one in found.exponents[:LEADING] if isfinite(one)]
    if known:
        spread = float(found.spread[0])
        known[0] += f" ± {number(round(spread, 6))}" if isfinite(spread) else ""
        size = grouped(flow.problem.state_size)
        yield f"{', '.join(known)} a step ({len(known)} of {size})"


def _horizon(view: View) -> str:
    """How many steps back a gradient stays above rounding, in each format of numbers."""
    flow = view.flow
    if not flow.affordable:
        return "not computed unasked; --full does"
    cheap = not flow.sampled and (flow.problem.loss is None or quick_paths(flow.problem))
    if not cheap and not view.shows("flow", "map"):
        return "not computed here; --section flow does"
    h = Notation(flow.problem).state
    if flow.regime is None:
        return "not known"
    if not flow.horizons:
        return f"none: no loss has a gradient at {h}_t that is finite and not 0"
    losses = flow.horizons[0].losses
    of = f"median of {grouped(losses)} losses" if losses > 1 else ""
    if not any(isfinite(one.median) for one in flow.horizons):
        return f"beyond {h}_0 in every format{of and f' ({of})'}"
    back = [f"{one.median:g}" if isfinite(one.median) else f"beyond {h}_0" for one in flow.horizons]
    formats = [f"{one.format} {lag}" for one, lag in zip(flow.horizons, back, strict=True)]
    return f"{', '.join(formats)} (steps{of and f'; {of}'})"


def _path(view: View) -> str:
    """From which loss to which use of which matrix, and how much of ∂L/∂W comes that way."""
    computed = view.selection.paths and (view.shows("paths") or quick_paths(view.result.problem))
    if not computed:
        return "not computed here; --section paths does"
    found = largest_path(view.result.path_sums)
    if found is None:
        return "none: every path is 0 or not finite"
    weight, t, k, log10_norm, share = found
    whose = f" {view.result.of_one}" if view.result.of_one else ""
    of = f", {percent(share)} of ∂L/∂{weight}{whose}" if isfinite(share) else ""
    return f"L_{t} to {weight} at step {k}: norm {from_log10(log10_norm)}{of}"
