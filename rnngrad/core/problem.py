"""The problem: a net, its weights, one sequence. Everything the core needs and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rnngrad.core.activations import Activation
from rnngrad.core.arrays import Array
from rnngrad.core.cells import Cell
from rnngrad.core.losses import Loss
from rnngrad.core.outputs import Output
from rnngrad.errors import UsageError


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """One net, its weights and one sequence of T steps; every array float64 and read-only.

        h_t = σ(W_xh x_t + W_hh h_{t−1} + b_h)       W_xh (H, I)   W_hh (H, H)   b_h (H,)
        y_t = g(W_hy h_t + b_y)                      W_hy (O, H)   b_y (O,)
        L   = Σ_t L_t,   L_t = loss_weights[t−1] · ℓ(target_t, y_t)

    ``weights`` maps the names above to arrays (``W_hy`` and ``b_y`` may be absent together: then
    y_t = g(h_t)). ``x`` (T, I), ``h_0`` (H,). ``targets`` (T, O), ``loss`` and ``loss_weights``
    (T,) (0 where a step does not count, 1/n each for a mean) are None together when there is no
    loss. ``draw`` rebuilds the problem under another seed; it is None where nothing is random.
    ``lengthen`` rebuilds it with so many steps; it is None where a sequence is given, not drawn.
    """

    name: str
    cell: Cell
    activation: Activation
    output: Output
    weights: Mapping[str, Array]
    x: Array
    h_0: Array
    loss: Loss | None = None
    targets: Array | None = None
    loss_weights: Array | None = None
    seed: int = 0
    draw: Callable[[int], Problem] | None = field(default=None, repr=False)
    lengthen: Callable[[int], Problem] | None = field(default=None, repr=False)

    @property
    def steps(self) -> int:
        """T"""
        return int(self.x.shape[0])

    @property
    def inputs(self) -> int:
        """I"""
        return int(self.x.shape[1])

    @property
    def hidden(self) -> int:
        """H"""
        return int(self.h_0.shape[0])

    @property
    def outputs(self) -> int:
        """O"""
        return int(self.weights["b_y"].shape[0]) if self.has_readout else self.hidden

    @property
    def state_size(self) -> int:
        """S, the length of the recurrent state; H for rnn."""
        return self.hidden

    @property
    def has_readout(self) -> bool:
        """Whether y_t goes through W_hy and b_y."""
        return "W_hy" in self.weights

    def redraw(self, seed: int) -> Problem:
        """The same spec with its random numbers drawn from another seed."""
        if self.draw is None:
            raise UsageError(f"nothing in '{self.name}' is random: another seed changes nothing")
        return self.draw(seed)
