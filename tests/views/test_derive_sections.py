"""The sections of ``derive``'s tables: the summary first, then what was asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import chain

import numpy as np
import pytest
import typer

import rnngrad
from cli.running import SHEET, run, run_apart
from rnngrad.analyses.derivation import derive as derive_module
from rnngrad.analyses.derivation.selection import computed, select
from rnngrad.analyses.flow import flow as flow_module
from rnngrad.cells import CELLS
from rnngrad.cli.app import app
from rnngrad.views.ascii import to_ascii
from rnngrad.views.blocks import Block, Fitted, Lines, Table
from rnngrad.views.derivation.report import report
from rnngrad.views.derivation.sections import LONG, SECTIONS
from rnngrad.views.derivation.tables import _sparkline
from rnngrad.views.derivation.view import blocks_of, view_of
from rnngrad.views.formats.to_rich import written
from rnngrad.views.report import Screen

Spec = Mapping[str, object]


def net(cell: str = "rnn", steps: int = 8, layers: int = 1, **keys: object) -> Spec:
    matrices = [name for name, shape in CELLS[cell].weights.items() if len(shape) == 2]
    layer = {name: {"init": "gaussian"} for name in matrices}
    weights = layer if layers == 1 else {"layers": [layer] * layers}
    return {
        "name": "net",
        "cell": cell,
        "sizes": {"inputs": 2, "hidden": 3, "outputs": 2},
        "weights": weights | {"W_hy": {"init": "gaussian"}},
        "inputs": {"random": "normal", "steps": steps},
        "targets": {"random": "normal"},
        "seed": 4,
    } | keys


def bare(cell: str = "rnn", steps: int = 8, layers: int = 1) -> Spec:
    return {key: value for key, value in net(cell, steps, layers).items() if key != "targets"}


def blocks(spec: Spec, *sections: str, full: bool = False) -> list[Block]:
    result = rnngrad.derive(rnngrad.load(dict(spec)))
    selection = select(result, (), None, full, sections=sections)
    return list(report(result, selection, computed(result, selection, every=False)).blocks())


def summary(spec: Spec, *sections: str) -> dict[str, str]:
    table = blocks(spec, *sections)[1]
    assert isinstance(table, Table)
    assert table.title == "Summary"
    return {row[0]: row[1].replace("\N{NO-BREAK SPACE}", " ") for row in table.rows}


def titles(shown: list[Block]) -> list[str]:
    return [block.lines[0] if isinstance(block, Lines) else block.title for block in shown]


# --- the table of sections


def test_every_section_shows_something_of_a_stack_with_a_loss() -> None:
    result = rnngrad.derive(rnngrad.load(dict(net("lstm", layers=2))))
    view = view_of(result, select(result, (), None, False))
    assert list(view.sections) == list(SECTIONS.values())
    for name, section in SECTIONS.items():
        assert name == section.name
        assert section.exists(result.problem)
        assert list(blocks_of(section, view)), name


def test_the_tables_are_the_sections_in_their_order() -> None:
    spec = net("lstm", layers=2)
    whole = titles(blocks(spec))
    apart = [titles(blocks(spec, name))[2:] for name in SECTIONS if name != "summary"]
    assert [*titles(blocks(spec, "summary")), *chain.from_iterable(apart)] == whole
    assert titles(blocks(spec, "chain", "equations", "chain"))[2:] == apart[0] + apart[8]


def test_the_shell_completes_the_names() -> None:
    command = typer.main.get_command(app).commands["derive"]  # type: ignore[attr-defined]
    (option,) = [p for p in command.params if p.name == "section"]
    found = option.shell_complete(command.make_context("derive", [SHEET]), "pa")
    shown = [(item.value, item.help) for item in found]
    assert shown == [(name, SECTIONS[name].shows) for name in ("parameters", "paths")]


def test_the_help_lists_the_names() -> None:
    words = " ".join(run("derive", "--help").stdout.replace("│", " ").split())
    assert f"repeatable: {', '.join(SECTIONS)}." in words


# --- what is shown


def test_just_these_sections_after_the_summary() -> None:
    done = run("derive", SHEET, "--section", "chain", "--section", "parameters")
    assert (done.returncode, done.stderr) == (0, "")
    parts = [part.splitlines()[0] for part in done.stdout.split("\n\n")]
    assert parts[1:] == ["Summary", "Gradients of the parameters", "Norms of the chain of "
                         "∂h_t/∂h_{t−1}"]  # fmt: skip
    page = run("derive", SHEET, "--section", "paths", "-f", "markdown").stdout
    assert re.findall("^## (.*)", page, re.M)[0] == "Summary"
    assert page.count("\n## ") == 3


def test_a_section_without_content_is_said_to_be_empty() -> None:
    assert blocks(net(), "gates")[2:] == [Lines(("Section gates is empty for this net.",))]
    assert blocks(bare(), "paths")[2:] == [Lines(("Section paths is empty for this net.",))]
    assert blocks(net(steps=1), "map")[2:] == [Lines(("Section map is empty for this net.",))]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["chian"], "--section chian: no section is called 'chian'; did you mean 'chain'?"),
        (["xyz"], f"no section is called 'xyz'; they are {', '.join(SECTIONS)}"),
        (["map", "--step", "2"], "--section and --step cannot stand together"),
        (["map", "--quantity", "y"], "--section and --quantity cannot stand together"),
        (["map", "--json"], "--section is for the formats table, markdown and html"),
        (["map", "-f", "csv"], "and the format is csv; --quantity chooses there"),
    ],
)
def test_mistakes(args: list[str], message: str) -> None:
    done = run("derive", SHEET, "--section", *args)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


# --- long sequences


def test_a_long_sequence_leaves_out_the_tables_with_a_row_a_step() -> None:
    by_step = [name for name, section in SECTIONS.items() if section.by_step]
    assert by_step == ["forward", "gates", "gradients", "paths", "chain"]
    long, short = net("lstm", steps=LONG + 1), net("lstm", steps=LONG)
    said = summary(long)["not shown"]
    assert said == f"{', '.join(by_step)}: --section NAME, --full"
    first = rnngrad.lyapunov_spectrum(rnngrad.load(dict(long)))[0]
    assert summary(long)["exponents"].startswith(f"{first:.6g} ± ")
    assert "exponents" not in summary(short)
    assert "not shown" not in summary(short)
    left_out = [title for name in by_step for title in titles(blocks(short, name))[2:]]
    assert len(left_out) == 7
    assert set(left_out) <= set(titles(blocks(short)))
    assert [title for title in titles(blocks(long)) if title in left_out] == []
    assert set(left_out) <= set(titles(blocks(long, full=True)))
    assert "not shown" not in summary(long, "chain")
    assert summary(bare(steps=LONG + 1))["not shown"].startswith("forward, chain:")


def test_formats_for_machines_leave_nothing_out() -> None:
    long = rnngrad.derive(rnngrad.load(dict(net(steps=LONG + 10))))
    shown = report(long, select(long, (), None, False), dict(long))
    document = shown.document()
    assert document["quantities"].keys() == set(long)  # type: ignore[attr-defined]
    assert len(document["paths"][0]["summands"]) == 12  # type: ignore[index]
    rows = list(shown.rows())
    assert len(rows) == sum(array.size for array in long.values())


# --- nothing is computed that is not shown


def test_what_a_section_does_not_need_is_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    def computed_all_the_same(*_: object, **__: object) -> None:
        raise AssertionError

    for name in ("path_sums",):
        monkeypatch.setattr(derive_module, name, computed_all_the_same)
    for name in ("lyapunov", "leading_exponents", "chain_shape", "omega_terms", "lags"):
        monkeypatch.setattr(flow_module, name, computed_all_the_same)
    spec = net(steps=1200)
    assert summary(spec, "chain")["largest path"] == "not computed here; --section paths does"
    shown = summary(spec, "parameters", "chain", "forward", "derivation", "gradients", "equations")
    assert shown["horizon"] == "not computed here; --section flow does"
    assert shown["gradient"].startswith("vanishing: ")
    with pytest.raises(AssertionError):
        blocks(spec, "flow")


def test_the_summary_waits_for_no_chain_that_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_module, "AFFORDABLE", 1.0)
    shown = summary(net(steps=60), "parameters")
    assert shown["gradient"] == "not computed here; --section chain does"
    assert shown["horizon"] == "not computed here; --section flow does"
    assert summary(net(steps=60), "chain")["gradient"].startswith("vanishing: ")
    assert "median of 24 losses" in summary(net(steps=60), "flow")["horizon"]
    monkeypatch.setattr(flow_module, "SAMPLED", 1.0)
    assert summary(net(steps=60))["horizon"] == "not computed unasked; --full does"


# --- the numbers of the summary


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_the_numbers_of_the_summary(cell: str) -> None:
    result, shown = rnngrad.derive(rnngrad.load(dict(net(cell)))), summary(net(cell))
    assert float(shown["loss"]) == pytest.approx(float(result["losses"].sum()), rel=1e-5)
    norms, _, together = shown["‖∂L/∂W‖"].partition("; together ")
    written_norms = dict(pair.split(" ") for pair in norms.split(", "))
    arrays = {name: result[f"dL_d{name}"] for name in result.problem.weights}
    assert list(written_norms) == list(arrays)
    for name, array in arrays.items():
        assert float(written_norms[name]) == pytest.approx(np.linalg.norm(array), rel=1e-5)
    flat = np.concatenate([array.ravel() for array in arrays.values()])
    assert float(together) == pytest.approx(np.linalg.norm(flat), rel=1e-5)
    size = np.linalg.norm(np.linalg.multi_dot(result["dht_dhprev"][::-1]), 2)
    s = "s" if cell == "lstm" else "h"
    regime, said = shown["gradient"].split(": a factor ")
    factor, norm = said.split(f" a step, ‖∂{s}_8/∂{s}_0‖ = ")
    assert regime == ("vanishing" if size < 1 else "exploding")
    assert float(norm) == pytest.approx(size, rel=1e-5)
    assert float(factor) == pytest.approx(size ** (1 / 8), rel=1e-5)
    assert shown["horizon"] == f"beyond {s}_0 in every format (median of 8 losses)"


def test_the_largest_path_of_all() -> None:
    """Each path by itself: ∂L_t/∂h_t · ∂h_t/∂h_{t−1} ⋯ ∂h_{k+1}/∂h_k ∘ σ'(a_k), times x or h."""
    result = rnngrad.derive(rnngrad.load(dict(net())))
    J, direct, slopes = result["dht_dhprev"], result["dLt_dht"], result["dht_db_h"]
    found = []
    for t in range(1, 9):
        row = direct[t - 1]
        for k in range(t, 0, -1):
            at_a = row * slopes[k - 1]
            for name, beside in (("W_xh", result.problem.x[k - 1]), ("W_hh", result["h"][k - 1])):
                path, whole = np.outer(at_a, beside), result[f"dL_d{name}"]
                share = 100 * np.sum(path * whole) / np.sum(whole**2)
                found.append((np.linalg.norm(path), f"L_{t} to {name} at step {k}", share, name))
            row = row @ J[k - 1]
    norm, where, share, name = max(found)
    text = summary(net())["largest path"]
    assert text == f"{where}: norm {norm:.6g}, {share:.2f} % of ∂L/∂{name}"


@pytest.mark.parametrize(
    ("w", "words"),
    [
        (1, "steady: a factor 1 a step, ‖∂h_60/∂h_0‖ = 1"),
        (2, "exploding: a factor 2 a step, ‖∂h_60/∂h_0‖ = 1.15292e+18"),
        (0.5, "vanishing: a factor 0.5 a step, ‖∂h_60/∂h_0‖ = 8.67362e-19"),
        (1e-9, "vanishing: a factor 1e-09 a step, ‖∂h_60/∂h_0‖ = 1e-540"),
        (0, "vanishing: ∂h_60/∂h_0 is exactly 0"),
    ],
)
def test_growth_and_horizon_of_a_linear_net(w: float, words: str) -> None:
    spec = {"activation": "identity", "weights": {"W_xh": 1, "W_hh": w}, "inputs": {"zeros": 60}}
    shown = summary(spec)
    assert shown["loss"] == "none: there are no targets"
    assert shown["gradient"] == words
    lag = {0.5: "bfloat16 9, float32 25, float64 54 (steps)",
           1e-9: "bfloat16 1, float32 1, float64 2 (steps)",
           0: "bfloat16 1, float32 1, float64 1 (steps)"}  # fmt: skip
    assert shown["horizon"] == lag.get(w, "beyond h_0 in every format")
    losses = summary(spec | {"targets": {"zeros": 60}, "h_0": 1})
    if w == 0.5:
        of = "bfloat16 9, float32 25, float64 beyond h_0 (steps; median of 60 losses)"
        assert losses["horizon"] == of


def test_a_dead_net_and_one_that_overflows() -> None:
    dead = {"weights": {"W_xh": 0, "W_hh": 0, "W_hy": 0}, "inputs": [1, 2], "targets": [1, 1]}
    shown = summary(dead)
    assert shown["horizon"] == "none: no loss has a gradient at h_t that is finite and not 0"
    assert shown["largest path"] == "none: every path is 0 or not finite"
    big = [[1e308], [1e308], [1e308]]
    over = {"cell": "gru", "weights": {"W_xh": [[1], [1], [1]], "W_hh": big}, "h_0": 1e10,
            "inputs": [1, 2], "targets": [1, 1]}  # fmt: skip
    shown = summary(over)
    assert shown["gradient"] == "not known: ∂h_2/∂h_0 holds what is not a number"
    assert shown["horizon"] == "not known"
    assert shown["largest path"] == "none: every path is 0 or not finite"


OWN = {
    "name": "net",
    "cell": {"name": "mine", "state": ["z"], "equations": ["z_t = tanh(A x_t + B z_{t-1} + b)"]},
    "sizes": {"inputs": 2, "hidden": 3},
    "weights": {"A": {"init": "gaussian"}, "B": {"init": "gaussian"}},
    "inputs": {"random": "normal", "steps": 70},
    "targets": {"random": "normal"},
}


@pytest.mark.parametrize(
    "spec",
    [
        OWN,
        bare("gru", 60, 3),
        net("lstm", 1),
        net("lstm", 300),
        net("lstm", 60, 6),
        net("gru", 40, 9),
        net("slstm", 60, 3),
    ],
    ids=lambda spec: str(spec["name"]),
)
def test_the_summary_has_twelve_lines_at_most(spec: Spec) -> None:
    title, table = blocks(spec, "summary")
    whole = blocks(spec)[1]
    for unicode in (True, False):
        assert written(title, Screen(unicode=unicode)).startswith("net: ")
        for block in (table, whole):
            lines = written(block, Screen(unicode=unicode)).splitlines()
            assert len(lines) <= 12
            assert max(map(len, lines)) <= 80
            assert unicode or "?" not in "".join(lines)


# --- as wide as the terminal


def test_the_credit_map_and_the_chain_are_as_wide_as_there_is_room_for() -> None:
    spec = net(steps=200)
    for width in (40, 80, 250):
        (line, _), (grid,) = blocks(spec, "chain")[2:], blocks(spec, "map")[2:]
        assert isinstance(line, Fitted)
        assert isinstance(grid, Fitted)
        ((drawn,),) = line.made(width).rows
        assert len(drawn) == min(width, 201)
        assert drawn[-1] == "█"
        cells = [row[1] for row in grid.made(width).rows]
        assert max(map(len, cells)) == min(width - 5, 201)
    narrow = run_apart("derive", SHEET, "--set", "inputs={random: normal, steps: 90}", "--set",
                       "targets={random: normal}", "--section", "map", COLUMNS="50")  # fmt: skip
    widest = max(len(x) for x in narrow.stdout.split("Credit map")[1].splitlines()[1:])
    assert (narrow.returncode, widest) == (0, 50)


def test_a_line_of_the_chain_has_the_means_and_leaves_holes() -> None:
    table = _sparkline("", np.array([0.0, 2.0, -np.inf, np.nan, 7.0, 7.0]), 6)
    assert table.rows == (("▁▃  ██",),)
    assert _sparkline("", np.array([1.0, 3.0, 5.0, 7.0]), 2).rows == (("▁█",),)
    assert to_ascii("▁▂▃▄▅▆▇█") == "_.:=+*%#"


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
@pytest.mark.parametrize("full", [False, True])
def test_steps_left_out_have_a_mark_and_none_is_with_full(cell: str, full: bool) -> None:
    """Of ∂s_t/∂s_{t−1}, of b1 and b2, and of each gate."""
    result = rnngrad.derive(
        rnngrad.load(
            {
                "cell": cell,
                "sizes": {"inputs": 1, "hidden": 2, "outputs": 2},
                "weights": {"W_xh": {"init": "gaussian"}, "W_hh": {"init": "gaussian"}},
                "inputs": {"random": "normal", "steps": 6},
                "targets": {"random": "normal"},
            }
        )
    )
    view = view_of(result, select(result, (), None, full))
    names = ("derivation", "inside")[: 1 if cell == "rnn" else 2]
    tables = [block for name in names for block in blocks_of(SECTIONS[name], view)
              if isinstance(block, Table)]  # fmt: skip
    cells = [row[-1].split("\n") for table in tables for row in table.rows if "t=1 " in row[-1]]
    marks = [[line.split(" ")[0] for line in lines] for lines in cells]
    every = [f"t={t}" for t in range(1, 7)]
    assert len(marks) == (3 if cell == "rnn" else 18)
    assert all(one == (every if full else ["t=1", "t=2", "⋮", "t=6"]) for one in marks)
    assert all(table.notes == ("norm: the Frobenius norm",) for table in tables)
