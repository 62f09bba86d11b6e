"""How the gradient flows through one net: what ``derive`` shows under "gradient flow"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np

from rnngrad.analyses.derivation.derive import Derivation
from rnngrad.analyses.derivation.selection import affordable_paths
from rnngrad.analyses.flow.chain import Shape, chain_shape, omega_terms
from rnngrad.analyses.flow.horizons import Horizon, horizons, horizons_of_the_state, lag_profile
from rnngrad.analyses.flow.stability import growth_rate, regime
from rnngrad.arithmetic.arrays import Array, Integers, norm_of
from rnngrad.chains.lags import Lags, lags, lags_and_paths
from rnngrad.exponents.leading_exponents import leading_exponents
from rnngrad.exponents.lyapunov import Lyapunov, lyapunov

AFFORDABLE = 2e9
"""T·(S³ + 20,000) up to which all this is computed unasked: a few seconds."""

EXPONENTS, ROWS = 8, 24
"""What is sampled where that is too much: so many exponents, and so many losses."""

SAMPLED = 1e10
"""T·(H² of all matrices + 300,000) up to which at least that is: some ten seconds."""

LAGS = 5e9
"""T² times the recurrent parameters up to which truncation and shares by lag take all losses."""

CLIPPED_AT = (0.25, 1.0, 5.0)
"""The usual thresholds of the gradient's norm: PyTorch's word_language_model, Hugging Face's
Trainer, char-rnn."""


class GradientFlow:
    """Growth, exponents, the shape of the chain, horizons, lags and Ω of one derivation; what would
    take more than a few seconds, and is not wanted in ``full``, from a sample. ``exponents``: so
    many of them, whatever they take; all that are affordable by default. ``chain``: the norms of
    the whole chain are wanted besides. ``kept``: the steps that truncations keep, 1, 2, 4 … by
    default."""

    def __init__(
        self, result: Derivation, full: bool = False, exponents: int | None = None,
        chain: bool = False, kept: tuple[int, ...] = (),
    ) -> None:  # fmt: skip
        self.kept = kept
        self.result, self.problem, self.full = result, result.problem, full
        self.whole_chain = chain or full or self.problem.loss is None
        self.asked = self.problem.state_size if full else exponents

    @cached_property
    def sampled(self) -> bool:
        """Whether what needs every direction takes too long: the shape of the chain is not known
        then, and the exponents are those of a few directions unless all are asked for."""
        work = self.problem.steps * (self.problem.state_size**3 + 2e4)
        return not self.full and work > AFFORDABLE

    @cached_property
    def sampled_paths(self) -> bool:
        """Whether horizons and the credit map are those of a few losses."""
        slow = self.sampled or not affordable_paths(self.problem)
        return self.problem.loss is not None and not self.full and slow

    @cached_property
    def sampled_lags(self) -> bool:
        """Whether truncation and shares by lag are those of a few losses."""
        if self.problem.loss is None or self.full or self.sampled_paths:
            return self.sampled_paths
        cell, layers = self.problem.cell, self.problem.layers
        recurrent = sum(np.size(layer.own[name]) for layer in layers for name in cell.scaled)
        return self.problem.steps**2 * recurrent > LAGS and self.losses > ROWS

    @property
    def sampled_exponents(self) -> bool:
        """Whether there are not as many exponents as directions."""
        return self.sampled and (self.asked or EXPONENTS) < self.problem.state_size

    @property
    def affordable(self) -> bool:
        """Whether not even a sample takes too long."""
        if not self.sampled or self.asked is not None:
            return True
        weights = sum(layer.own[matrix.parameter].size for layer in self.problem.layers
                      for matrix in self.problem.cell.step.matrices)  # fmt: skip
        return self.problem.steps * (weights + 3e5) <= SAMPLED

    @property
    def losses(self) -> int:
        """How many losses count."""
        weights = self.problem.loss_weights
        return 0 if weights is None else int(np.count_nonzero(weights))

    @cached_property
    def sampled_steps(self) -> Integers:
        """The steps of ``ROWS`` losses, spread over all that count."""
        weights = self.problem.loss_weights
        counts = np.flatnonzero(np.zeros(0) if weights is None else weights) + 1
        at = np.linspace(0, len(counts) - 1, min(ROWS, len(counts))).astype(np.int64)
        return np.asarray(counts[at])

    @property
    def log10_step_norms(self) -> Array:
        """log10 ‖∂h_t/∂h_{t−1}‖ for t = 1 … T, (T,)."""
        return self.result.log10_step_norms

    @cached_property
    def log10_end(self) -> float:
        """log10 ‖∂h_T/∂h_0‖"""
        passes = self.result.passes
        return float(self.result["log10_chain"][0]) if self.whole_chain else passes.chain_end

    @cached_property
    def rate(self) -> float:
        """(1/T) ln ‖∂h_T/∂h_0‖"""
        return growth_rate(self.log10_end, self.problem.steps)

    @property
    def regime(self) -> str | None:
        """``vanishing``, ``steady`` or ``exploding``."""
        return regime(self.rate)

    @cached_property
    def lyapunov(self) -> Lyapunov:
        """The spectrum over all T steps from Q_0 = 1, or as many of it as are asked for; of a
        sample, the leading ones alone."""
        forward = self.result.passes.forward
        if self.sampled_exponents:
            return leading_exponents(self.problem, forward, self.asked or EXPONENTS)
        whole = lyapunov(self.problem, forward)
        first = slice(self.asked)
        return whole._replace(
            exponents=whole.exponents[first], spread=whole.spread[first],
            trace=whole.trace[:, first],
        )  # fmt: skip

    @cached_property
    def shape(self) -> Shape:
        """Condition and participation of ∂h_T/∂h_k, k = 0 … T."""
        return chain_shape(self.result.passes)

    @cached_property
    def end(self) -> Shape:
        """The same of ∂h_T/∂h_0 alone, in a fraction of the time."""
        return chain_shape(self.result.passes, whole=False)

    @cached_property
    def log10_paths(self) -> Array:
        """log10 ‖∂L_t/∂h_k‖, (T, T+1), or those of ``sampled_steps``, (n, T+1); there must be a
        loss. O(T²·H²) time, or O(n·T·H²)."""
        if self.sampled_paths:
            return self._of_some_losses[1]
        return self.result["log10_paths"]

    @property
    def path_steps(self) -> Sequence[int]:
        """The step t of each row of ``log10_paths``."""
        return (
            self.sampled_steps.tolist() if self.sampled_paths else range(1, self.problem.steps + 1)
        )

    def credit_rows(self) -> Iterator[tuple[int, Array]]:
        """(t, log10 ‖∂L_t/∂h_k‖ for k = 0 … T) for the losses that count."""
        for t, row in zip(self.path_steps, self.log10_paths, strict=True):
            if np.isfinite(row).any():
                yield t, row

    @cached_property
    def horizons(self) -> tuple[Horizon, ...]:
        """How far back the losses reach; without a loss, how far back the last state does."""
        if self.problem.loss is None:
            return horizons_of_the_state(self.result["log10_chain"])
        return horizons(self.log10_paths, self.path_steps)

    @cached_property
    def omega(self) -> Array:
        """Pascanu's Ω_t, (T,); empty without a loss."""
        return np.empty(0) if self.problem.loss is None else omega_terms(self.result.passes)

    @cached_property
    def lags(self) -> Lags | None:
        """What truncation costs, and the shares of ∂L/∂W_hh by lag; of the ``sampled_steps`` alone
        where ``sampled_lags``. None without a loss, or where nothing is recurrent."""
        if self.problem.loss is None:
            return None
        if self.sampled_paths:
            return self._of_some_losses[0]
        passes, some = self.result.passes, self.sampled_steps if self.sampled_lags else None
        return lags(self.problem, passes.forward, passes.backward, some, self.kept)

    @cached_property
    def _of_some_losses(self) -> tuple[Lags | None, Array]:
        passes, steps = self.result.passes, self.sampled_steps
        forward, back, direct = passes.forward, passes.backward, passes.direct
        return lags_and_paths(self.problem, forward, back, direct, steps, self.kept)

    @cached_property
    def lag_profile(self) -> Array:
        """log10 of how much of a loss is left so many steps back, (T+1,): the median over the
        losses; without a loss, of the last state."""
        if self.problem.loss is None:
            return self.result["log10_chain"][::-1].copy()
        return lag_profile(self.log10_paths, self.path_steps)

    @cached_property
    def gradient_norm(self) -> float:
        """‖∂L/∂W‖ of all parameters together; nan without a loss."""
        return float("nan") if self.problem.loss is None else norm_of(self.result.weights)

    @property
    def clipped(self) -> dict[float, float]:
        """Threshold -> what the gradient is multiplied by; nothing where its norm is not finite."""
        norm = self.gradient_norm
        if not np.isfinite(norm):
            return {}
        return {limit: limit / norm if norm > limit else 1.0 for limit in CLIPPED_AT}
