"""Which planted mistakes do the default gradient checkers pass? Writes the table of docs/check.md.

    python .ci/benchmarks/checkers.py            # prints the table
    python .ci/benchmarks/checkers.py --write    # and puts it into docs/check.md

Each checker gets the loss as a function of W_hh, and a wrong ∂L/∂W_hh as its gradient:

- autograd: ``autograd.test_util.check_grads(f, modes=["rev"], order=1)``, its own tolerances
- JAX: ``jax.test_util.check_grads(f, (W_hh,), order=1, modes=["rev"])``, in float64, likewise
- PyTorch: the rule of ``torch.autograd.gradcheck``, written out: central differences with
  eps = 1e-6, every entry, |analytic − numeric| ≤ 1e-5 + 1e-3·|numeric|
- rnngrad: ``check_own(problem, gradients={"dL_dW_hh": wrong})``
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from checking import planted  # noqa: E402
from oracles import nets, plain  # noqa: E402
from oracles.plain import Net  # noqa: E402
from rnngrad.analyses.checking.own.self_check import check_own  # noqa: E402

DOCS = ROOT / "docs" / "check.md"
START, END = "<!-- checkers: start -->", "<!-- checkers: end -->"

SMALLEST = 1e-9
"""A wrong path that changes the sum by less is no mistake in the sum."""

Checker = Callable[[Net, np.ndarray], bool]


def loss(net: Net, W_hh: np.ndarray) -> float:
    """L, in plain NumPy."""
    return float(np.sum(plain.real_forward(net | {"W_hh": W_hh})["losses"]))


def autograd_passes(net: Net, gradient: np.ndarray) -> bool:
    """HIPS autograd, with a primitive whose reverse rule is the gradient under test."""
    from autograd.extend import defvjp, primitive
    from autograd.test_util import check_grads

    planted_loss = primitive(lambda W: loss(net, W))
    defvjp(planted_loss, lambda ans, W: lambda g: g * gradient)
    np.random.seed(0)
    try:
        check_grads(planted_loss, modes=["rev"], order=1)(net["W_hh"])
    except AssertionError:
        return False
    return True


def jax_passes(net: Net, gradient: np.ndarray) -> bool:
    """JAX in float64, with a custom_vjp whose backward rule is the gradient under test."""
    import jax
    import jax.numpy as jnp
    from jax.test_util import check_grads

    @jax.custom_vjp
    def planted_loss(W: Any) -> Any:
        h, total = jnp.asarray(net["h_0"]), 0.0
        for t, x in enumerate(net["x"]):
            h = jnp.tanh(net["W_xh"] @ x + W @ h + net["b_h"])
            y = net["W_hy"] @ h + net["b_y"]
            total += net["loss_weights"][t] * jnp.sum((net["targets"][t] - y) ** 2)
        return total

    planted_loss.defvjp(lambda W: (planted_loss(W), None), lambda _, g: (g * gradient,))
    with jax.enable_x64(True):  # for these lines alone: Keras's own backend is in this process too
        try:
            check_grads(planted_loss, (jnp.asarray(net["W_hh"]),), order=1, modes=["rev"])
        except AssertionError:
            return False
    return True


def torch_passes(net: Net, gradient: np.ndarray) -> bool:
    """The rule of torch.autograd.gradcheck in its slow mode."""
    eps, W_hh = 1e-6, net["W_hh"]
    numeric = np.empty_like(W_hh)
    for index in np.ndindex(*W_hh.shape):
        step = np.zeros_like(W_hh)
        step[index] = eps
        numeric[index] = (loss(net, W_hh + step) - loss(net, W_hh - step)) / (2 * eps)
    return bool(np.all(np.abs(gradient - numeric) <= 1e-5 + 1e-3 * np.abs(numeric)))


def rnngrad_passes(net: Net, gradient: np.ndarray) -> bool:
    """This one."""
    (entry,) = check_own(nets.problem_of(net), gradients={"dL_dW_hh": gradient})
    return entry.verdict == "pass"


CHECKERS: dict[str, Checker] = {
    "autograd": autograd_passes,
    "JAX": jax_passes,
    "PyTorch's rule": torch_passes,
    "rnngrad": rnngrad_passes,
}


def _paths(net: Net, keep: int, first: int = 1) -> np.ndarray:
    """Σ_t Σ_{k ≥ first} S(t, k) with ``keep`` immediate partials for each loss."""
    problem = nets.problem_of(net)
    q = planted.right(problem)
    total = np.zeros_like(q["dL_dW_hh"])
    for t in range(1, problem.steps + 1):
        row = q["dLt_dht"][t - 1]
        for k in range(t, max(first - 1, t - keep), -1):
            at_a = q["dht_db_h"][k - 1] * row
            total += np.outer(at_a, q["h"][k - 1])
            row = at_a @ net["W_hh"]
    return total


def _right(net: Net) -> np.ndarray:
    return planted.right(nets.problem_of(net))["dL_dW_hh"]


def _one_entry(net: Net) -> np.ndarray:
    wrong = _right(net).copy()
    wrong[0, 0] += 3e-7 * np.max(np.abs(wrong))
    return wrong


MISTAKES: dict[str, Callable[[Net], np.ndarray]] = {
    "none: the right gradient": _right,
    "no path through earlier states": lambda net: _paths(net, 1),
    "truncated at 3 steps": lambda net: _paths(net, 3),
    "truncated at 8 steps": lambda net: _paths(net, 8),
    "truncated at 12 steps": lambda net: _paths(net, 12),
    "h_0's own term left out": lambda net: _paths(net, 99, first=2),
    "the gradient transposed": lambda net: _right(net).T,
    "one entry off by 3e-7 of the largest": _one_entry,
    "all zeros": lambda net: np.zeros_like(net["W_hh"]),
}


def _quiet(net: Net) -> Net:
    """A loss in small units: all losses times 1e-9."""
    return net | {"loss_weights": 1e-9 * net["loss_weights"]}


NETS: dict[str, Net] = {
    "T = 20, ‖W_hh‖₂ = 0.9": planted.net(steps=20, hidden=8, norm=0.9),
    "T = 20, ‖W_hh‖₂ = 0.3": planted.net(steps=20, hidden=8, norm=0.3),
    "the same, loss × 1e-9": _quiet(planted.net(steps=20, hidden=8, norm=0.3)),
}


def table() -> str:
    """A row a mistake and net: what each checker says, and how wrong it is."""
    lines = [
        f"| net | mistake in ∂L/∂W_hh | relative error | {' | '.join(CHECKERS)} |",
        f"| --- | --- | ---: | {' | '.join('---' for _ in CHECKERS)} |",
    ]
    for title, net in NETS.items():
        right = _right(net)
        for mistake, plant in MISTAKES.items():
            wrong = plant(net)
            error = float(np.max(np.abs(wrong - right)) / np.max(np.abs(right)))
            if 0 < error < SMALLEST:
                continue
            verdicts = [_said(check(net, wrong), error) for check in CHECKERS.values()]
            lines.append(f"| {title} | {mistake} | {error:.1e} | {' | '.join(verdicts)} |")
    return "\n".join(lines) + "\n"


def _said(passed: bool, error: float) -> str:
    wrong = error > 0
    if passed:
        return "**passed**" if wrong else "passed"
    return "caught" if wrong else "**failed**"


def main() -> None:
    """Print the table; with --write put it between the markers of docs/check.md."""
    text = table()
    sys.stdout.write(text)
    if "--write" in sys.argv:
        page = DOCS.read_text(encoding="utf-8")
        before, _, rest = page.partition(START)
        _, _, after = rest.partition(END)
        DOCS.write_text(f"{before}{START}\n{text}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
