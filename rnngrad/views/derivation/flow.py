"""How the gradient flows: four sections of ``derive`` as blocks, and all of it as data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from math import isfinite, isnan

import numpy as np

from rnngrad.analyses.derivation.notation import Notation
from rnngrad.analyses.flow.credit_map import credit_grid
from rnngrad.analyses.flow.flow import EXPONENTS, GradientFlow
from rnngrad.analyses.flow.horizons import Horizon
from rnngrad.arithmetic.arrays import finite_or_none
from rnngrad.views.blocks import Block, Column, Fitted, Lines, Table
from rnngrad.views.derivation import lags
from rnngrad.views.derivation.view import View
from rnngrad.views.formats.to_json import nested
from rnngrad.views.numbers import decades, from_log10, grouped, number, settled

TITLE = "Gradient flow: growth rate, exponents, horizons"
COLUMNS = (Column("measure", right=False), Column("value"), Column("meaning", words=True))

NARROWEST, DOWN = 16, 24
"""Signs a line at least and lines at most of the credit map."""

GAP = 2
"""Blanks between two columns."""

SHADES = ((-1.0, "█"), (-3.0, "▓"), (-8.0, "▒"), (-16.0, "░"), (-np.inf, "·"))
"""(log10 from the largest on, sign)"""


def measures(view: View) -> Iterator[Block]:
    """Growth rate, exponents, condition, horizons, Ω; and what clipping would do."""
    flow = view.flow
    if isnan(flow.rate):
        yield from _missing(flow)
        return
    yield _measures(flow) if flow.affordable else Table(TITLE, COLUMNS, (_rate(flow),))
    yield from _clipping(flow)
    if not flow.affordable:
        yield from _missing(flow)
    elif flow.sampled_exponents or flow.sampled_lags:
        yield Lines((_sample(flow),))


def spectrum(view: View) -> Iterator[Block]:
    """The largest Lyapunov exponents."""
    return _part(view, lambda flow: [_spectrum(flow)] if flow.problem.state_size > 1 else [])


def truncation(view: View) -> Iterator[Block]:
    """What truncation to the last k steps would cost, and the shares by lag."""
    return _part(view, lags.blocks)


def credit_map(view: View) -> Iterator[Block]:
    """‖∂L_t/∂s_k‖ as a picture."""

    def drawn(flow: GradientFlow) -> list[Block]:
        return [_credit_map(flow)] if flow.problem.steps > 3 else []

    return _part(view, drawn)


def _part(view: View, made: Callable[[GradientFlow], Iterable[Block]]) -> Iterator[Block]:
    """The blocks of one section; where the chain does not allow them or they would take too long,
    the reason, unless the section of the measures has said it."""
    flow = view.flow
    if flow.affordable and not isnan(flow.rate):
        yield from made(flow)
    elif not view.shows("flow"):
        yield from _missing(flow)


def _missing(flow: GradientFlow) -> Iterator[Lines]:
    if isnan(flow.rate):
        yield Lines(("Gradient flow is undefined: the chain holds what is not a number.",))
        return
    sizes = f"T = {grouped(flow.problem.steps)}, H = {flow.problem.hidden}"
    yield Lines((f"The rest of the flow is not computed unasked for {sizes}; --full does.",))


def _sample(flow: GradientFlow) -> str:
    """What was sampled, in one line."""
    parts = []
    if flow.sampled_exponents:
        count, size = len(flow.lyapunov.exponents), flow.problem.state_size
        parts.append(f"{count} of {grouped(size)} exponents")
    if flow.sampled_lags:
        only = "" if flow.sampled_paths else " for the lags"
        parts.append(f"{len(flow.sampled_steps)} of {grouped(flow.losses)} losses{only}")
    return f"A sample: {', '.join(parts)}; --full has all."


def _clipping(flow: GradientFlow) -> Iterator[Lines]:
    """What the usual thresholds of the gradient's norm would do, in one line."""
    factors = flow.clipped
    if not factors:
        return
    norm = f"‖∂L/∂W‖ = {number(flow.gradient_norm)}"
    cut = [(f"{limit:g}", f"{factor:.2g}") for limit, factor in factors.items() if factor < 1]
    if not cut:
        yield Lines((f"{norm}: clipping at {min(factors):g} or more changes nothing.",))
        return
    limits, by = zip(*cut, strict=True)
    yield Lines((f"{norm}: clipping at {', '.join(limits)} scales it by {', '.join(by)}.",))


def _rate(flow: GradientFlow) -> tuple[str, str, str]:
    rate = number(settled(flow.rate))
    return "growth rate", rate, f"ln of the mean factor a step: {flow.regime}"


def _measures(flow: GradientFlow) -> Table:
    exponents, spread = flow.lyapunov.exponents, flow.lyapunov.spread
    h = Notation(flow.problem).state
    rows = [
        _rate(flow),
        ("largest exponent", _exponent(exponents[0]), _give_or_take(spread[0])),
    ]
    if 1 < len(exponents) == flow.problem.state_size:
        rows.append(("smallest exponent", _exponent(exponents[-1]), _give_or_take(spread[-1])))
    if flow.problem.state_size > 1 and not flow.sampled:
        condition, taking_part = flow.end.log10_condition[0], flow.end.participation[0]
        size = "not known" if isnan(condition) else from_log10(float(condition))
        rows += [
            (f"σ_max/σ_min of ∂{h}_T/∂{h}_0", size, "condition number"),
            ("(Σσ²)²/Σσ⁴", number(float(taking_part)), f"directions that take part, of "
             f"{flow.problem.state_size}"),
        ]  # fmt: skip
    notes: tuple[str, ...] = ()
    if flow.problem.loss is None:
        rows += [_horizon_of_the_state(horizon, h) for horizon in flow.horizons]
        notes = (
            f"A horizon is the lag from which on ‖∂{h}_T/∂{h}_{{T−lag}}‖ stays below rounding.",
        )
    else:
        rows += [_horizon(horizon, h) for horizon in flow.horizons]
        notes = (
            f"A horizon is the lag from which on ‖∂L_t/∂{h}_{{t−lag}}‖ stays below the "
            f"rounding of ‖∂L_t/∂{h}_t‖.",
        )
        total = float(np.nansum(flow.omega))
        rows.append(("Ω", number(total), "Pascanu's penalty: 0 if lengths are kept"))
    return Table(TITLE, COLUMNS, tuple(rows), notes if len(rows) > 6 else ())


def _exponent(value: float) -> str:
    return "not known" if isnan(value) else number(settled(float(value)))


def _give_or_take(spread: float) -> str:
    if not isfinite(spread):
        return "natural log per step"
    return f"natural log per step, ± {number(round(float(spread), 6))}"


def _horizon_of_the_state(horizon: Horizon, h: str) -> tuple[str, str, str]:
    name = f"horizon in {horizon.format}"
    if not isfinite(horizon.low):
        return name, "> T", f"{h}_T still feels {h}_0"
    return name, f"{horizon.low:g}", f"steps that {h}_T looks back"


def _horizon(horizon: Horizon, h: str) -> tuple[str, str, str]:
    name = f"horizon in {horizon.format}"
    if not isfinite(horizon.low):
        return name, "> T", f"every loss reaches beyond {h}_0"
    high = f"beyond {h}_0" if not isfinite(horizon.high) else f"{horizon.high:g}"
    middle = f"{horizon.median:g}" if isfinite(horizon.median) else "> t"
    beyond = ""
    if horizon.reaching:
        beyond = f" ({grouped(horizon.reaching)} of {grouped(horizon.losses)})"
    return name, middle, f"steps, median; {horizon.low:g} to {high}{beyond}"


def _spectrum(flow: GradientFlow) -> Table:
    found = flow.lyapunov
    columns = (Column("i"), Column("λ_i"), Column("±"), Column("factor a step"))
    rows = []
    shown = len(found.exponents) if flow.asked is not None else EXPONENTS
    for i in range(min(shown, len(found.exponents))):
        value = float(found.exponents[i])
        spread = float(found.spread[i])
        give = number(round(spread, 6)) if isfinite(spread) else ""
        factor = "" if isnan(value) else from_log10(value / np.log(10.0))
        rows.append((str(i + 1), _exponent(value), give, factor))
    notes = _notes(flow)
    if len(rows) < flow.problem.state_size and not flow.sampled_exponents:
        size = grouped(flow.problem.state_size)
        notes = (f"The {len(rows)} largest of {size}; --exponents all shows all.", *notes)
    return Table("Lyapunov spectrum (natural log per step)", columns, tuple(rows), notes)


def _notes(flow: GradientFlow) -> tuple[str, ...]:
    """How the largest exponent settled, and how often a QR was needed."""
    found, notes = flow.lyapunov, []
    picked = sorted({int(i) for i in np.linspace(0, len(found.steps) - 1, 5)})
    if len(found.steps) > 4:
        trail = ", ".join(
            f"{decades(float(found.trace[i, 0]))} (t = {grouped(int(found.steps[i]))})"
            for i in picked
        )
        notes.append(f"λ_1 on its way: {trail}.")
    unknown = int(np.isnan(found.exponents).sum())
    if unknown:
        notes.append(
            f"{unknown} of {len(found.exponents)} are not known: units die and come back, and "
            f"what is left of them is below rounding."
        )
    steps = f"{found.interval:.3g}"
    notes.append("One QR a step." if steps == "1" else f"One QR for {steps} steps on average.")
    return tuple(notes)


# ---------------------------------------------------------------------------- the credit map


def _credit_map(flow: GradientFlow) -> Fitted:
    h, steps = Notation(flow.problem).state, flow.problem.steps
    title = f"Credit map: ‖∂L_t/∂{h}_k‖, k = 0 to {grouped(steps)} from left to right"
    label = max(len(str(t)) for t in (*flow.path_steps, 1))
    return Fitted(title, lambda width: _drawn(flow, title, max(width - label - GAP, NARROWEST)))


def _drawn(flow: GradientFlow, title: str, across: int) -> Table:
    """The credit map with so many signs a line."""
    grid = credit_grid(flow, DOWN, across)
    top = grid.largest
    lines = [(str(t), "".join(_shade(float(cell) - top) for cell in row).rstrip())
             for t, row in zip(grid.steps, grid.log10, strict=True)]  # fmt: skip
    legend = ", ".join(
        f"{sign} {'from' if np.isfinite(least) else 'less'}"
        + (f" 1e{least:+.0f}" if np.isfinite(least) else "")
        for least, sign in SHADES
    )
    note = f"Of the largest, {from_log10(top)}: {legend}; blank is an exact 0 or k > t."
    return Table(title, (Column("t"), Column("k", right=False)), tuple(lines), (note,))


def _shade(log10: float) -> str:
    if not log10 > -np.inf:
        return " "
    return next(sign for least, sign in SHADES if log10 >= least)


# ---------------------------------------------------------------------------- data


def data(flow: GradientFlow) -> dict[str, object]:
    """The key ``gradient_flow`` of derive's JSON; the rate alone where the rest is not computed
    unasked."""
    shown: dict[str, object] = {"rate": finite_or_none(flow.rate), "regime": flow.regime}
    if flow.problem.loss is not None:
        shown["gradient_norm"] = finite_or_none(flow.gradient_norm)
        shown["clipping"] = [
            {"threshold": limit, "factor": factor} for limit, factor in flow.clipped.items()
        ]
    if not flow.affordable:
        return shown
    found = flow.lyapunov
    shown["lyapunov"] = {
        "exponents": nested(found.exponents),
        "spread": nested(found.spread),
        "not_known": int(np.isnan(found.exponents).sum()),
        "warmup": found.warmup,
        "steps_per_qr": found.interval,
        "trace": {"t": found.steps.tolist(), "largest": nested(found.trace[:, 0])},
    }
    if flow.sampled_exponents or flow.sampled_lags:
        steps = flow.sampled_steps.tolist()
        shown["sampled"] = {
            "exponents": len(found.exponents) if flow.sampled_exponents else None,
            "steps": steps if flow.sampled_paths else None,
            "lags": steps if flow.sampled_lags else None,
        }
    short = flow.problem.steps <= 10_000
    if flow.full or (short and not flow.sampled):
        shown["log10_step_norms"] = nested(flow.log10_step_norms)
        shown["log10_condition"] = nested(flow.shape.log10_condition)
        shown["participation"] = nested(flow.shape.participation)
    if flow.problem.loss is not None:
        shown["omega"] = finite_or_none(float(np.nansum(flow.omega)))
    shown["horizons"] = horizon_data(flow.horizons)
    if flow.full or short:
        shown |= lags.data(flow)
    if flow.problem.loss is not None:
        grid = credit_grid(flow)
        shown["credit_map"] = {
            "t": list(grid.steps),
            "k": [[low, high - 1] for low, high in pairwise(grid.edges)],
            "log10": nested(grid.log10),
        }
    return shown


def horizon_data(found: Iterable[Horizon]) -> dict[str, object]:
    """The horizons by format."""
    return {
        horizon.format: {
            "median": finite_or_none(horizon.median),
            "low": finite_or_none(horizon.low),
            "high": finite_or_none(horizon.high),
            "reaching_h_0": horizon.reaching,
            "losses": horizon.losses,
        }
        for horizon in found
    }
