"""How the gradient flows: the section of that name in ``derive``, as blocks and as data."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from math import isfinite, isnan

import numpy as np

from rnngrad.analyses.derive import Derivation
from rnngrad.analyses.flow import GradientFlow
from rnngrad.analyses.horizons import Horizon
from rnngrad.analyses.notation import Notation
from rnngrad.analyses.selection import Selection
from rnngrad.arithmetic.arrays import Array
from rnngrad.views.blocks import Block, Column, Lines, Table
from rnngrad.views.numbers import GAP, decades, from_log10, grouped, kept, number, settled
from rnngrad.views.to_json import finite, nested

ACROSS, DOWN = 64, 24
"""Signs a line and lines of the credit map."""

SHADES = ((-1.0, "█"), (-3.0, "▓"), (-8.0, "▒"), (-16.0, "░"), (-np.inf, "·"))
"""(log10 from the largest on, sign)"""


def blocks(result: Derivation, selection: Selection) -> Iterator[Block]:
    """Measures, the spectrum, and the credit map."""
    flow = GradientFlow(result, selection.full)
    if not flow.affordable:
        sizes = f"T = {grouped(flow.problem.steps)}, H = {flow.problem.hidden}"
        yield Lines((f"Gradient flow is not computed unasked for {sizes}; --full does.",))
        return
    if isnan(flow.rate):
        yield Lines(("Gradient flow is undefined: the chain holds what is not a number.",))
        return
    yield _measures(flow)
    if flow.sampled or flow.sampled_paths:
        yield Lines((_sample(flow),))
    if flow.problem.state_size > 1:
        yield _spectrum(flow, selection)
    if flow.problem.loss is not None and flow.problem.steps > 3:
        yield _credit_map(flow)


def _sample(flow: GradientFlow) -> str:
    """What was sampled, in one line."""
    parts = []
    if flow.sampled:
        count, size = len(flow.lyapunov.exponents), flow.problem.state_size
        parts.append(f"{count} of {grouped(size)} exponents")
    if flow.sampled_paths:
        parts.append(f"{len(flow.sampled_steps)} of {grouped(flow.losses)} losses")
    return f"A sample: {', '.join(parts)}; --full has all."


def _measures(flow: GradientFlow) -> Table:
    exponents, spread = flow.lyapunov.exponents, flow.lyapunov.spread
    h = Notation(flow.problem).state
    rows = [
        ("growth rate", number(settled(flow.rate)), f"ln of the mean factor a step: {flow.regime}"),
        ("largest exponent", _exponent(exponents[0]), _give_or_take(spread[0])),
    ]
    if len(exponents) > 1 and not flow.sampled:
        condition, taking_part = flow.end.log10_condition[0], flow.end.participation[0]
        size = "not known" if isnan(condition) else from_log10(float(condition))
        rows += [
            ("smallest exponent", _exponent(exponents[-1]), _give_or_take(spread[-1])),
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
    columns = (Column("gradient flow", right=False), Column("is"), Column("which is", words=True))
    return Table("Gradient flow", columns, tuple(rows), notes if len(rows) > 6 else ())


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


def _spectrum(flow: GradientFlow, selection: Selection) -> Table:
    found = flow.lyapunov
    columns = (Column("i"), Column("λ_i"), Column("±"), Column("factor a step"))
    rows = []
    for i in kept(len(found.exponents), selection.full):
        if i is None:
            rows.append((GAP,) * 4)
            continue
        value = float(found.exponents[i])
        spread = float(found.spread[i])
        give = number(round(spread, 6)) if isfinite(spread) else ""
        factor = "" if isnan(value) else from_log10(value / np.log(10.0))
        rows.append((str(i + 1), _exponent(value), give, factor))
    return Table("Lyapunov spectrum (natural log per step)", columns, tuple(rows), _notes(flow))


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
            f"rounding decides what is left of them."
        )
    steps = f"{found.interval:.3g}"
    notes.append("One QR a step." if steps == "1" else f"One QR for {steps} steps on average.")
    return tuple(notes)


# ---------------------------------------------------------------------------- the credit map


def _credit_map(flow: GradientFlow) -> Table:
    rows, steps = list(flow.credit_rows()), flow.problem.steps
    finite_ones = [float(row[np.isfinite(row)].max()) for _, row in rows]
    top = max(finite_ones, default=0.0)
    lines = [(str(t), _shaded(row[: t + 1], steps + 1, top)) for t, row in _spread_out(rows, DOWN)]
    legend = ", ".join(
        f"{sign} {'from' if np.isfinite(least) else 'less'}"
        + (f" 1e{least:+.0f}" if np.isfinite(least) else "")
        for least, sign in SHADES
    )
    note = f"Of the largest, {from_log10(top)}: {legend}; blank is an exact 0 or k > t."
    h = Notation(flow.problem).state
    title = f"Credit map: ‖∂L_t/∂{h}_k‖, k = 0 to {grouped(steps)} from left to right"
    return Table(title, (Column("t"), Column("k", right=False)), tuple(lines), (note,))


def _spread_out(rows: list[tuple[int, Array]], most: int) -> list[tuple[int, Array]]:
    if len(rows) <= most:
        return rows
    return [rows[int(i)] for i in np.linspace(0, len(rows) - 1, most)]


def _shaded(row: Array, width: int, top: float) -> str:
    """A sign for every k, or for the largest of several."""
    across = min(width, ACROSS)
    edges = [width * i // across for i in range(across + 1)]
    cells = (row[low:high] for low, high in pairwise(edges) if low < len(row))
    return "".join(_shade(float(np.max(cell)) - top) for cell in cells)


def _shade(log10: float) -> str:
    if not log10 > -np.inf:
        return " "
    return next(sign for least, sign in SHADES if log10 >= least)


# ---------------------------------------------------------------------------- data


def data(result: Derivation, selection: Selection) -> dict[str, object] | None:
    """The key ``gradient_flow`` of derive's JSON; None where it is not computed unasked."""
    flow = GradientFlow(result, selection.full)
    if not flow.affordable:
        return None
    found = flow.lyapunov
    shown: dict[str, object] = {
        "rate": finite(flow.rate),
        "regime": flow.regime,
        "lyapunov": {
            "exponents": nested(found.exponents),
            "spread": nested(found.spread),
            "not_known": int(np.isnan(found.exponents).sum()),
            "warmup": found.warmup,
            "steps_per_qr": found.interval,
            "trace": {"t": found.steps.tolist(), "largest": nested(found.trace[:, 0])},
        },
    }
    if flow.sampled or flow.sampled_paths:
        shown["sampled"] = {
            "exponents": len(found.exponents) if flow.sampled else None,
            "steps": flow.sampled_steps.tolist() if flow.sampled_paths else None,
        }
    if selection.full or (flow.problem.steps <= 10_000 and not flow.sampled):
        shown["log10_step_norms"] = nested(flow.log10_step_norms)
        shown["log10_condition"] = nested(flow.shape.log10_condition)
        shown["participation"] = nested(flow.shape.participation)
    if flow.problem.loss is not None:
        shown["omega"] = finite(float(np.nansum(flow.omega)))
    shown["horizons"] = _horizon_data(flow)
    return shown


def _horizon_data(flow: GradientFlow) -> dict[str, object]:
    return {
        horizon.format: {
            "median": finite(horizon.median),
            "low": finite(horizon.low),
            "high": finite(horizon.high),
            "reaching_h_0": horizon.reaching,
            "losses": horizon.losses,
        }
        for horizon in flow.horizons
    }
