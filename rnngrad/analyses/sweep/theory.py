"""What theory says about a sweep, beside what was measured. ``docs/theory.md`` has the statements
with their constants, conditions and sources."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from statistics import median
from typing import NamedTuple

from rnngrad.analyses.sweep import mean_field
from rnngrad.analyses.sweep.critical_scales import WIDTH, Critical, Gap, closed_in
from rnngrad.analyses.sweep.mean_field import Ensemble
from rnngrad.analyses.sweep.points import Net, Row
from rnngrad.analyses.sweep.scaling import kind_of
from rnngrad.arithmetic.functions import ACTIVATIONS
from rnngrad.chains.matrix_norms import eigenvector_condition

HOLDS, NOT_VIOLATED, DOES_NOT_APPLY = "holds", "not violated", "does not apply"


SEEDS = 5
"""Nets that are looked at for what the rows do not tell: eigenvectors, moments of W_hh."""


class Statement(NamedTuple):
    """``scale``: where the statement puts the critical scale, if anywhere; ``verdict``: one of the
    three; ``why``: in words."""

    id: str
    claim: str
    scale: float | None
    verdict: str
    why: str


class Measured(NamedTuple):
    """The rows of one length and activation, their critical scale, and its nets, one a seed."""

    rows: Sequence[Row]
    critical: Critical | None
    nets: Callable[[], Iterable[Net]]


def statements(measured: Measured) -> tuple[Statement, ...]:
    """The bound, the eigenvalues, and mean field, each with its verdict."""
    nets = list(islice(measured.nets(), SEEDS))
    if not nets[0].problem.single_rnn:
        return _nothing(kind_of(nets[0].problem))
    return _bound(measured), _eigenvalues(measured, nets), _mean_field(measured, nets)


BOUND = "(γ·σ_max)^T bounds the chain, so it vanishes below 1/(γ·σ_max)"
EIGENVALUES = "A linear net turns at 1/ρ(W_hh) as T → ∞"
MEAN_FIELD = "Mean field, for normal weights: λ = ½ ln(g²⟨φ'²⟩) as H → ∞"


def _nothing(kind: str) -> tuple[Statement, ...]:
    """All three are about one layer whose Jacobian is diag(σ'(a_t)) W_hh."""
    why = f"it is about ∂h_t/∂h_{{t−1}} = diag(σ'(a_t)) W_hh, which {kind} does not have"
    claims = (("bound", BOUND), ("eigenvalues", EIGENVALUES), ("mean field", MEAN_FIELD))
    return tuple(Statement(id_, claim, None, DOES_NOT_APPLY, why) for id_, claim in claims)


def _bound(measured: Measured) -> Statement:
    """γ·σ_max < 1 suffices for vanishing."""
    steepest = ACTIVATIONS[measured.rows[0].activation].steepest
    units = [r.sigma_max / abs(r.scale) for r in measured.rows if r.sigma_max and r.scale]
    claim = BOUND
    if not units:
        return Statement("bound", claim, None, DOES_NOT_APPLY, "W_hh is 0 at every scale")
    scale = 1.0 / (steepest * median(units))
    sure = [r for r in measured.rows if r.sigma_max is not None and steepest * r.sigma_max < 1]
    if not sure:
        return Statement("bound", claim, scale, NOT_VIOLATED, "no swept |scale| is below it")
    why = f"γ·σ_max < 1 in {_counted(sure)}, and the chain shrinks in every one"
    return Statement("bound", claim, scale, HOLDS, why)


def _counted(rows: Sequence[Row]) -> str:
    return "1 row" if len(rows) == 1 else f"{len(rows)} rows"


def _eigenvalues(measured: Measured, nets: list[Net]) -> Statement:
    """1/ρ(W_hh): exact for a linear net as T → ∞, and for no other."""
    claim = EIGENVALUES
    radii = [
        r.spectral_radius / abs(r.scale) for r in measured.rows if r.spectral_radius and r.scale
    ]
    if not radii:
        return Statement("eigenvalues", claim, None, DOES_NOT_APPLY, "ρ(W_hh) is 0")
    scale, found = 1.0 / median(radii), measured.critical
    slopes = {row.mean_slope for row in measured.rows}
    if slopes != {1.0}:
        why = "σ' is not 1 throughout, and with σ' eigenvalues bound nothing"
        return Statement("eigenvalues", claim, scale, DOES_NOT_APPLY, why)
    if found is None:
        return Statement("eigenvalues", claim, scale, NOT_VIOLATED, "no zero in the swept range")
    worst = max(eigenvector_condition(net.problem.weights["W_hh"]) for net in nets)
    least = math.exp(-math.log(worst) / found.steps) if math.isfinite(worst) else 0.0
    why = f"at T = {found.steps:,} non-normality allows {least:.4g} to 1 times that"
    inside = least * (1 - 1e-4) <= found.value / scale <= 1 + 1e-4
    verdict = HOLDS if inside and least > 0.5 else NOT_VIOLATED
    return Statement("eigenvalues", claim, scale, verdict, why)


def _mean_field(measured: Measured, nets: list[Net]) -> Statement:
    """λ(g) for independent normal weights."""
    claim = MEAN_FIELD
    ensembles = [mean_field.ensemble(net.problem) for net in nets]
    reasons = [one.why_not for one in ensembles if one.why_not]
    if reasons:
        return Statement("mean field", claim, None, DOES_NOT_APPLY, reasons[0])
    gain, drive = _moments(nets, ensembles)
    activation, first = ACTIVATIONS[measured.rows[0].activation], measured.rows[0]
    by_scale = _medians(measured.rows)
    off = {
        scale: abs(mean_field.exponent(activation, abs(scale) * gain, drive) - measured_one)
        for scale, measured_one in by_scale.items()
        if scale and math.isfinite(measured_one)
    }
    if not off:
        return Statement("mean field", claim, None, DOES_NOT_APPLY, "no exponent is finite")
    worst = max(off, key=lambda scale: off[scale])
    size = nets[0].problem.hidden
    where = f"at scale {worst:g} (H = {size}, T = {first.steps:,})"
    why = f"λ is off by at most {off[worst]:.2g}, {where}"
    verdict = HOLDS if off[worst] <= 0.03 + 1 / math.sqrt(size) else NOT_VIOLATED

    def rate(scale: float) -> float:
        return mean_field.exponent(activation, scale * gain, drive)

    return Statement("mean field", claim, _root(rate, sorted(map(abs, off))), verdict, why)


def _moments(nets: Sequence[Net], ensembles: Sequence[Ensemble]) -> tuple[float, float]:
    """Gain at scale 1 and drive, medians over the nets."""
    gain = median(one.gain / net.unit for one, net in zip(ensembles, nets, strict=True))
    return gain, median(one.drive for one in ensembles)


def mean_field_exponents(nets: Iterable[Net], scales: Sequence[float]) -> list[float] | None:
    """λ of mean field theory at each scale; None where it has nothing to say of the nets."""
    some = list(islice(nets, SEEDS))
    if not some or not some[0].problem.single_rnn:
        return None
    ensembles = [mean_field.ensemble(net.problem) for net in some]
    if any(one.why_not for one in ensembles):
        return None
    gain, drive = _moments(some, ensembles)
    activation = ACTIVATIONS[some[0].setting.activation]
    return [mean_field.exponent(activation, abs(scale) * gain, drive) for scale in scales]


def _medians(rows: Sequence[Row]) -> dict[float, float]:
    """scale -> the largest exponent, median over seeds."""
    by_scale: dict[float, list[float]] = {}
    for row in rows:
        largest = row.value("lyapunov_max")
        if largest is not None:
            by_scale.setdefault(row.scale, []).append(largest)
    return {scale: median(values) for scale, values in by_scale.items()}


def _root(rate: Callable[[float], float], scales: Sequence[float]) -> float | None:
    """Where the theory's exponent passes 0 within the swept range."""
    low, high = scales[0], scales[-1]
    before, after = rate(low), rate(high)
    if not before < 0 <= after:
        return None
    from rnngrad.analyses.sweep.points import Setting

    return closed_in(Gap(Setting(0, 1, ""), low, high, before, after), rate, 10 * WIDTH).value
