"""What Python's functions say of what they are given: an argument's name, and never an option."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest

import rnngrad
from rnngrad.arguments import in_python

NET = {"weights": {"W_xh": 1, "W_hh": 0.5}, "inputs": [1, 0], "targets": [0, 1]}
PROBLEM = rnngrad.load(NET)
RESULT = rnngrad.derive(PROBLEM)
Any_: Any = rnngrad

Call = Callable[[], object]


@pytest.mark.cases(None)
@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: Any_.derive(NET), "derive: problem must be a problem, as rnngrad.load returns it"),
        (lambda: Any_.gradients(NET), "gradients: problem must be a problem"),
        (lambda: Any_.log10_chain(RESULT), "log10_chain: problem must be a problem"),
        (lambda: Any_.lyapunov_spectrum(PROBLEM, "x"), "warmup must be a whole number, not 'x'"),
        (lambda: Any_.check(PROBLEM, 5), "against must be a mapping of arrays, or a file, not 5"),
        (lambda: Any_.sweep([PROBLEM, 3], [1]), "problem must be a problem, as rnngrad.load"),
        (lambda: Any_.sweep(PROBLEM, None), "scales must be numbers, or a text such as"),
        (lambda: Any_.sweep(PROBLEM, [1], 1.5), "seeds must be a whole number, not 1.5"),
        (lambda: Any_.sweep(PROBLEM, [1], steps=5), "steps must be a list of whole numbers"),
        (lambda: Any_.sweep(PROBLEM, [1], activations="tanh"), "activations must be a list of"),
        (lambda: Any_.sweep(PROBLEM, [1], no=1), "sweep: got an unexpected keyword argument 'no'"),
        (lambda: Any_.report([PROBLEM, None]), "problem must be a problem"),
        (lambda: Any_.load(NET, overrides="activation=relu"), "overrides must be a list of texts"),
        (lambda: Any_.derive(PROBLEM).explain(5), "explain: name must be a name, not 5"),
        (lambda: Any_.derive(PROBLEM).plot(5), "plot: file must be the name of a file, not 5"),
        (lambda: Any_.derive(PROBLEM).plot(what=5), "what must be names of pictures"),
        (lambda: Any_.derive(PROBLEM).plot.reach(ax=5), "reach: ax must be axes of Matplotlib's"),
        (
            lambda: Any_.derive(PROBLEM).plot.beside(NET),
            "others must be a result of rnngrad.derive",
        ),
        (lambda: Any_.derive(PROBLEM).as_text("x"), "as_text: width must be a whole number"),
    ],
)
def test_what_is_of_a_wrong_kind_is_a_type_error(call: Call, said: str) -> None:
    with pytest.raises(TypeError) as error:
        call()
    assert said in str(error.value)


@pytest.mark.cases(None)
@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: rnngrad.sweep(PROBLEM, [1], 0), "seeds=0: must be at least 1"),
        (lambda: rnngrad.sweep(PROBLEM, [1], steps=[0]), "steps=0: a sequence has at least 1 step"),
        (lambda: rnngrad.sweep(PROBLEM, [1], activations=["tnh"]), "activations: no activation is"),
        (lambda: rnngrad.sweep(PROBLEM, [1], relative_to="x"), "relative_to: 'x' is none of them"),
        (lambda: rnngrad.sweep(PROBLEM, [1], steady=-1), "steady and critical_rtol: must be 0 or"),
        (lambda: rnngrad.load(NET, overrides=["W_hh"]), "overrides:1:1: must be key=value"),
        (lambda: RESULT.explain("zz"), "explain('zz'): no subtask is called so"),
        (lambda: RESULT.plot(what="reech"), "what=reech: no picture is called 'reech'; did you"),
        (lambda: RESULT.plot.cliff("W"), "cliff=W: cliff takes two parameters"),
    ],
)
def test_errors_name_arguments(call: Call, said: str) -> None:
    with pytest.raises(rnngrad.RnngradError) as error:
        call()
    assert str(error.value).startswith(said)
    assert "--" not in str(error.value)


def test_a_command_keeps_its_options() -> None:
    said = "rnngrad derive --full writes them; --set sequence=k chooses it"
    assert in_python(said) == (
        "rnngrad derive --full writes them; overrides=['sequence=k'] chooses it"
    )


def test_functions_are_found_by_pickle_and_keep_their_signatures() -> None:
    for name in ("gradients", "load", "log10_chain", "log10_paths", "lyapunov_spectrum", "derive"):
        function = getattr(rnngrad, name)
        assert pickle.loads(pickle.dumps(function)) is function
        assert function.__doc__
