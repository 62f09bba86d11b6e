"""The catalogue of known mistakes in formulas, each as what it multiplies a right path by.

A student who forgets σ' in ∂h_3/∂h_2 has the path times 1/σ'(h̃_3); one who takes it at h_3 has it
times σ'(h_3)/σ'(h̃_3); (32) as printed has it times ∂h_2/∂W_xh : ∂h_1/∂W_xh. So a wrong summand is
divided by each path that it could be, and the quotient is compared with the entries here, which
are formulas themselves and read by the same grammar.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rnngrad.analyses.derivation.chain_rules import of_the_sheet
from rnngrad.analyses.grading.reference import Task, Way
from rnngrad.net.problem import Problem


class Known(NamedTuple):
    """``ratio``: the wrong summand over the right one; ``hidden``: the hint without its formula."""

    bug: str
    ratio: str
    hint: str
    hidden: str


Steps = list[int | str]

THROUGH = "total-for-immediate"
"""A summand that is there besides the right one."""

FEW = 8
"""Steps of another place that a mistake is looked for at."""


def catalogue(problem: Problem, task: Task, way: Way) -> Iterator[Known]:
    """The mistakes that can be made on one path, the likelier first."""
    if task.every_step:
        yield from _slopes(problem, ["t"], task, way)
        yield from _tail(problem, task, "t", range(0))
        yield from _other_derivative(task)
        yield from _recurrence(1 if task.id == "a4" else 0)
        return
    steps = _steps_near(problem, way)
    slopes: Steps = []
    if way.t is not None and way.k is not None:
        slopes = list(range(way.t, way.k - (task.weight is not None), -1))
    yield from _slopes(problem, slopes, task, way)
    if way.t is not None and task.id not in ("a1", "a2"):
        yield from _output(problem, way.t)
    if task.weight is not None and way.k is not None:
        yield from _partials(task.weight, way, steps, of_the_sheet(problem))
        yield from _tail(problem, task, way.k, steps)
    if way.t is not None:
        yield from _losses(way.t, steps)
    if way.t is not None and way.k is not None:
        yield from _links(way, steps)
        yield from _recurrence(way.t - way.k)


def _steps_near(problem: Problem, way: Way) -> range:
    """All steps of a short net, the last few up to the path's own of a long one."""
    if problem.steps <= FEW:
        return range(1, problem.steps + 1)
    last = way.t or problem.steps
    return range(max(last - FEW, 1), last + 1)


def _before(step: int | str) -> str:
    return f"{{{step}−1}}" if isinstance(step, str) else str(step - 1)


def _after(step: int | str) -> str:
    return f"{{{step}+1}}" if isinstance(step, str) else str(step + 1)


def _link(step: int | str, task: Task, way: Way) -> str:
    """∂h_s/∂h_{s−1}, or ∂⁺h_s/∂W where the weight is differentiated by."""
    if task.weight is not None and (task.every_step or step == way.k):
        return f"∂⁺h_{step}/∂{task.weight}"
    return f"∂h_{step}/∂h_{_before(step)}"


def _slopes(problem: Problem, steps: Steps, task: Task, way: Way) -> Iterator[Known]:
    """σ' left out, taken at h_s instead of h̃_s, or at another step; once, or everywhere; or that
    of another function."""
    named = problem.activation.name
    for s in steps:
        where = f"in {_link(s, task, way)}"
        yield Known("missing-activation-derivative", f"1/σ'(a_{s})",
                    f"σ' is missing {where}", "σ' is missing in one factor")  # fmt: skip
        yield Known("activation-derivative-of-output", f"σ'(h_{s})/σ'(a_{s})",
                    f"σ' is taken at h_{s} {where}; it belongs at h̃_{s}",
                    "σ' is taken at the wrong place")  # fmt: skip
        yield Known("missing-activation-derivative", f"σ(a_{s})/σ'(a_{s})",
                    f"σ stands where σ' belongs {where}", "σ stands where σ' belongs")  # fmt: skip
        for name, slope in (("tanh", f"1 − h_{s}²"), ("sigmoid", f"h_{s}·(1 − h_{s})")):
            if name != named:
                yield Known("derivative-of-another-function", f"({slope})/σ'(a_{s})",
                            f"{slope} is the derivative of {name}; σ is {named} here",
                            f"the derivative is that of {name}; σ is {named} here")  # fmt: skip
                yield Known("derivative-of-another-function", f"{name}'(a_{s})/σ'(a_{s})",
                            f"{name}' is the derivative of {name}; σ is {named} here",
                            f"the derivative is that of {name}; σ is {named} here")  # fmt: skip
        for other in (_before(s), _after(s)):
            yield Known("activation-derivative-wrong-step", f"σ'(a_{other})/σ'(a_{s})",
                        f"σ' is taken at another step {where}; it belongs at h̃_{s}",
                        "σ' is taken at the wrong step")  # fmt: skip
        yield Known("extra-activation-derivative", f"σ'(a_{s})",
                    f"there is a σ' too many {where}", "there is a σ' too many")  # fmt: skip
    if len(steps) > 1:
        product = " * ".join(f"σ'(a_{s})" for s in steps)
        at_h = " * ".join(f"σ'(h_{s})" for s in steps)
        yield Known("missing-activation-derivative", f"1/({product})",
                    "σ' is missing in every ∂h_s/∂h_{s−1}", "σ' is missing throughout")  # fmt: skip
        yield Known("activation-derivative-of-output", f"{at_h}/({product})",
                    "σ' is taken at h_s; it belongs at h̃_s",
                    "σ' is taken at the wrong place")  # fmt: skip


def _output(problem: Problem, t: int) -> Iterator[Known]:
    """g' left out or at the wrong place; W_hy left out."""
    if problem.output.elementwise is not None and problem.output.name != "identity":
        yield Known("missing-output-derivative", f"1/g'(o_{t})",
                    f"the derivative of the output activation is missing in ∂y_{t}/∂h_{t}",
                    "the derivative of the output activation is missing")  # fmt: skip
        yield Known(
            "missing-output-derivative",
            f"g(o_{t})/g'(o_{t})",
            f"σ stands where σ' belongs in ∂y_{t}/∂h_{t}",
            "σ stands where σ' belongs",
        )
        for place in (f"y_{t}", f"h_{t}", f"a_{t}"):
            yield Known("output-derivative-wrong-place", f"g'({place})/g'(o_{t})",
                        f"the output's σ' is taken at {place.replace('a_', 'h̃_')}; "
                        f"it belongs at ỹ_{t} = W_hy h_{t} + b_y",
                        "the output's σ' is taken at the wrong place")  # fmt: skip
        if problem.output.name != problem.activation.name:
            yield Known("hidden-for-output-activation", f"σ'(o_{t})/g'(o_{t})",
                        "σ is the hidden activation; the output's is written g here",
                        "σ is the hidden activation; the output's is written g here")  # fmt: skip
        yield Known("extra-output-derivative", f"g'(o_{t})",
                    f"there is a σ' too many in ∂y_{t}/∂h_{t}",
                    "there is a σ' too many")  # fmt: skip
    elif problem.activation.name != "identity":
        yield Known("extra-output-derivative", f"σ'(o_{t})",
                    f"there is a σ' too many in ∂y_{t}/∂h_{t}: the output activation is identity",
                    "there is a σ' too many at the output")  # fmt: skip
    if problem.has_readout:
        yield Known("missing-W_hy", "1/W_hy", f"the factor W_hy is missing in ∂y_{t}/∂h_{t}",
                    "a weight is missing as a factor")  # fmt: skip
        yield Known("W_hh-for-W_hy", "W_hh/W_hy", "W_hh stands where W_hy belongs",
                    "a weight stands where another belongs")  # fmt: skip


def _other_derivative(task: Task) -> Iterator[Known]:
    """∂h_t/∂W_hh for ∂h_t/∂h_{t−1}, and the path through h_{t−1}, which ∂⁺h_t/∂W leaves out."""
    if task.weight is None:
        yield Known("weight-for-input", "h_{t−1}/W_hh",
                    "h_{t−1} stands where W_hh belongs: it is differentiated by",
                    "what is differentiated by stands where a weight belongs")  # fmt: skip
        return
    through = f"∂h_t/∂h_{{t−1}} · ∂⁺h_{{t−1}}/∂{task.weight}"
    yield Known(THROUGH, f"({through}) / (∂⁺h_t/∂{task.weight})",
                f"the path through h_{{t−1}} does not belong here: ∂h_t/∂{task.weight} holds "
                "h_{t−1} fixed",
                "a path through an earlier state does not belong here")  # fmt: skip


def _recurrence(links: int) -> Iterator[Known]:
    """W_hh left out, once or throughout, or too many."""
    for n in range(1, min(links, 8) + 1):
        power = "W_hh" if n == 1 else f"W_hh^{n}"
        yield Known("missing-W_hh", f"1/{power}", f"the factor {power} is missing",
                    "a weight is missing as a factor")  # fmt: skip
    if links:
        yield Known("W_xh-for-W_hh", "W_xh/W_hh", "W_xh stands where W_hh belongs",
                    "a weight stands where another belongs")  # fmt: skip
    yield Known("extra-W_hh", "W_hh", "there is a W_hh too many",
                "a weight stands there once too often")  # fmt: skip


def _partials(weight: str, way: Way, steps: range, of_sheet: bool) -> Iterator[Known]:
    """∂h_j/∂W for ∂h_k/∂W, as printed in (32)."""
    k = way.k
    for j in steps:
        printed = of_sheet and weight == "W_xh" and (way.t, k, j) == (3, 1, 2)
        sheet = ", as misprinted in (32)" if printed else ""
        if j != k:
            yield Known("sheet-eq-32" if printed else "partial-of-another-step",
                        f"(∂⁺h_{j}/∂{weight}) / (∂⁺h_{k}/∂{weight})",
                        f"∂h_{j}/∂{weight} stands where ∂h_{k}/∂{weight} belongs{sheet}",
                        f"a path from L_{way.t} ends in the wrong step{sheet}")  # fmt: skip
    yield Known("missing-partial", f"1/(∂⁺h_{k}/∂{weight})",
                f"the factor ∂h_{k}/∂{weight} is missing",
                "the last factor of a path is missing")  # fmt: skip


def _tail(problem: Problem, task: Task, k: int | str, steps: range) -> Iterator[Known]:
    """x_j for x_k, h_k for h_{k−1}; or neither."""
    if task.weight == "W_xh":
        right, others = f"x_{k}", [f"x_{j}" for j in steps if j != k]
        if isinstance(k, str):
            others = [f"h_{_before(k)}", f"h_{k}", f"x_{_before(k)}", f"x_{_after(k)}"]
    elif task.weight == "W_hh":
        right = f"h_{_before(k)}"
        others = [f"h_{k}", f"x_{k}", *(f"h_{j}" for j in steps if j != k)]
        others += [f"h_{{{k}−2}}"] if isinstance(k, str) else []
    else:
        return
    for other in others:
        wrong_step = other == f"h_{k}" and task.weight == "W_hh"
        yield Known("h_t-for-h_prev" if wrong_step else "wrong-input", f"{other}/{right}",
                    f"{other} stands where {right} belongs",
                    "what the weight is multiplied by is not the right one")  # fmt: skip
    yield Known("missing-input", f"1/{right}", f"the factor {right} is missing",
                "what the weight is multiplied by is missing")  # fmt: skip
    if task.every_step and task.weight is not None:
        yield Known("weight-for-input", f"{task.weight}/{right}",
                    f"{task.weight} stands where {right} belongs: it is differentiated by",
                    "the weight itself stands where what it is multiplied by belongs")  # fmt: skip


def _losses(t: int, steps: range) -> Iterator[Known]:
    """∂L_j/∂y_j or ∂y_j/∂h_j for those of step t."""
    for part in ("L_{0}/∂y_{0}", "y_{0}/∂h_{0}"):
        right = f"∂{part.format(t)}"
        for j in steps:
            if j != t:
                wrong = f"∂{part.format(j)}"
                yield Known("factor-of-another-step", f"({wrong}) / ({right})",
                            f"{wrong} stands where {right} belongs",
                            "a factor is of the wrong step")  # fmt: skip
        yield Known("missing-factor", f"1/({right})", f"the factor {right} is missing",
                    "a factor is missing")  # fmt: skip


def _links(way: Way, steps: range) -> Iterator[Known]:
    """∂h_s/∂h_{s−1} left out, twice, or of another step."""
    assert way.t is not None
    assert way.k is not None
    inside = range(way.k + 1, way.t + 1)
    for s in steps:
        link = f"∂h_{s}/∂h_{s - 1}"
        if s in inside:
            yield Known("missing-factor", f"1/({link})", f"the factor {link} is missing",
                        "a factor is missing")  # fmt: skip
        yield Known("extra-factor", link, f"there is a factor {link} too many",
                    "there is a factor too many")  # fmt: skip
        for other in inside:
            if other != s:
                right = f"∂h_{other}/∂h_{other - 1}"
                yield Known("factor-of-another-step", f"({link}) / ({right})",
                            f"{link} stands where {right} belongs",
                            "a factor is of the wrong step")  # fmt: skip
