"""``result.plot``: every kind by its name, into axes of one's own, and to a file."""

from __future__ import annotations

import copy
import inspect
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

import rnngrad
from cli.running import ROOT
from rnngrad.errors import UsageError
from rnngrad.views.pictures.kinds import of_verb
from rnngrad.views.pictures.plotting import Plot

NET = {
    "cell": "lstm", "sizes": {"inputs": 2, "hidden": 3, "outputs": 2},
    "weights": {"W_xh": {"init": "normal"}, "W_hh": {"init": "normal"}, "W_hy": {"init": "normal"}},
    "inputs": {"random": "normal", "steps": 9}, "targets": {"random": "normal"},
}  # fmt: skip


def plot(**more: object) -> Plot:
    return Plot(rnngrad.derive(rnngrad.load(NET | more)))


def test_every_kind_has_a_method_with_ax() -> None:
    for name in of_verb("derive"):
        keywords = inspect.signature(getattr(Plot, name.replace("-", "_"))).parameters
        assert "ax" in keywords, name


def test_axes_of_ones_own_are_drawn_into() -> None:
    figure = Figure()
    ax = figure.add_subplot()
    assert plot().reach(ax=ax) is figure
    (line, *_) = ax.get_lines()
    chain = rnngrad.log10_chain(rnngrad.load(NET))
    np.testing.assert_array_equal(line.get_ydata(), chain[::-1])
    assert ax.get_title(loc="left").startswith("The gradient ")
    assert len(figure.axes) == 1


def test_a_page_and_a_file(tmp_path: Path) -> None:
    path = tmp_path / "page.svg"
    figure = plot()(path, what=["reach", "credit-map"])
    assert isinstance(figure, Figure)
    assert path.read_text(encoding="utf-8").count("The gradient ") == 1
    other = rnngrad.derive(rnngrad.load(NET | {"name": "other", "cell": "gru"}))
    together = plot().beside(other).reach()
    assert len(together.axes[0].get_lines()) == 2 + 3  # two nets, three formats of numbers


def test_a_file_that_exists_is_only_overwritten_with_force(tmp_path: Path) -> None:
    path = tmp_path / "page.svg"
    path.write_text("mine")
    with pytest.raises(rnngrad.OutputError, match="exists already; force=True overwrites it"):
        plot()(path, what="reach")
    assert path.read_text() == "mine"
    plot()(path, what="reach", force=True)
    assert path.read_text(encoding="utf-8").startswith("<?xml")
    with pytest.raises(rnngrad.OutputError, match="there is no folder"):
        plot()(tmp_path / "no" / "page.svg", what="reach")


def test_a_cliff_takes_its_parameters() -> None:
    assert isinstance(plot().cliff("W_hh[0,0],b_h[0]"), Figure)


def test_it_says_what_it_is_of_on_one_line() -> None:
    assert repr(plot(name="mine")).startswith("<rnngrad.Plot of 'mine': ")


def test_a_result_can_be_copied() -> None:
    result = rnngrad.derive(rnngrad.load(NET))
    copied = copy.deepcopy(result)
    assert copied.problem is result.problem
    np.testing.assert_array_equal(copied["dL_dW_hh"], result["dL_dW_hh"])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda p: p(what=["reech"]), "did you mean 'reach'"),
        (lambda p: p(what="cliff"), "needs two parameters"),
        (lambda p: p("page.jpg"), "must end in .png, .svg or .pdf"),
        (lambda p: p.unrolled(step=10), "the steps are 1 to 9"),
        (lambda p: p.cliff("W_hh[9,9],b_h[0]"), "the entries of W_hh are"),
    ],
)
def test_mistakes(call: object, said: str) -> None:
    with pytest.raises(UsageError) as error:
        call(plot())  # type: ignore[operator]
    assert said in str(error.value)


def test_a_net_without_gates_or_a_loss_has_no_such_pictures() -> None:
    rnn = {"weights": {"W_xh": 1, "W_hh": 0.5}, "inputs": [1, 1]}
    bare = Plot(rnngrad.derive(rnngrad.load(rnn)))
    for name in ("gates", "credit_map", "paths", "truncation"):
        with pytest.raises(UsageError, match="there is no picture"):
            getattr(bare, name)()
    assert isinstance(bare(), Figure)


def test_the_python_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "pictures.md").read_text(encoding="utf-8")
    code = page.split("```python\n")[1].split("```")[0]
    code = code.replace("sample_configs/", f"{ROOT / 'sample_configs'}/")
    monkeypatch.chdir(tmp_path)
    names = {"rnngrad": rnngrad, "ax": Figure().add_subplot(), "other": rnngrad.derive(
        rnngrad.load(NET))}  # fmt: skip
    exec(code, names)
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
    assert code.count("result.plot") == 5
