"""The worst entry in the net's words: "gate f, unit 2, from input 0", not [7, 0]."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import numpy as np
import pytest

import rnngrad
from checking import cells
from checking.other_cells import own, shipped
from rnngrad.analyses.checking.against import check_arrays
from rnngrad.analyses.checking.comparing.places import place
from rnngrad.analyses.checking.own.self_check import check_own
from rnngrad.analyses.derivation.quantities import records
from rnngrad.cells import CELLS
from rnngrad.net.cells import multiple
from rnngrad.net.problem import Problem
from rnngrad.views.check import report
from rnngrad.views.formats.names import FORMATS
from rnngrad.views.report import Screen

NETS = {
    "rnn": cells.problem(3, ("rnn", 1), steps=5, hidden=5, scale=0.3),
    "lstm": cells.problem(3, ("lstm", 1), steps=5, hidden=5, scale=0.3),
    "gru": cells.problem(3, ("gru", 1), steps=5, hidden=5, scale=0.3),
    "stack": cells.problem(3, ("lstm", 2), steps=5, hidden=4, scale=0.3),
    "projection": shipped("lstm_projection", P=2),
    "own": own(),
}
WORDS = [
    ("rnn", "dL_dW_xh", (2, 1), "unit 2, from input 1"),
    ("rnn", "dL_dW_hh", (2, 3), "unit 2, from unit 3"),
    ("rnn", "dL_db_h", (2,), "unit 2"),
    ("rnn", "dL_dW_hy", (1, 3), "output 1, from unit 3"),
    ("rnn", "dL_db_y", (1,), "output 1"),
    ("rnn", "dL_dh", (4, 2), "step 4, unit 2"),
    ("rnn", "dL_dh_0", (2,), "unit 2"),
    ("rnn", "dL_dx", (2, 1), "step 3, input 1"),
    ("rnn", "dL_dy", (2, 1), "step 3, output 1"),
    ("rnn", "losses", (2,), "step 3"),
    ("rnn", "dLt_dht", (2, 3), "step 3, unit 3"),
    ("rnn", "dht_dhprev", (1, 1, 0), "step 2, h unit 1 by h unit 0"),
    ("rnn", "dht_dW_xh", (1, 3, 0), "step 2, unit 3, from input 0"),
    ("rnn", "dht_dW_hh", (1, 3, 0), "step 2, unit 3, from unit 0"),
    ("rnn", "dht_db_h", (1, 3), "step 2, unit 3"),
    ("rnn", "log10_paths", (4, 2), "from L_5 back to step 2"),
    ("rnn", "log10_chain", (2,), "from step 5 back to step 2"),
    ("lstm", "dL_dW_xh", (7, 0), "gate f, unit 2, from input 0"),
    ("lstm", "dL_dW_hh", (19, 3), "gate o, unit 4, from unit 3"),
    ("lstm", "dL_db_h", (12,), "gate g, unit 2"),
    ("lstm", "dL_dc", (0, 4), "step 0, unit 4"),
    ("lstm", "dht_dhprev", (1, 6, 0), "step 2, c unit 1 by h unit 0"),
    ("gru", "dL_dW_xh", (7, 0), "gate z, unit 2, from input 0"),
    ("gru", "dL_db_hh", (10,), "gate n, unit 0"),
    ("stack", "dL_dW_xh.0", (4, 1), "layer 0, gate f, unit 0, from input 1"),
    ("stack", "dL_dW_xh.1", (4, 1), "layer 1, gate f, unit 0, from unit 1 of layer 0"),
    ("stack", "dL_dW_hh.1", (15, 3), "layer 1, gate o, unit 3, from unit 3"),
    ("stack", "dL_dh", (2, 5), "step 2, layer 1, unit 1"),
    ("stack", "dLt_dht", (2, 5), "step 3, layer 1, unit 1"),
    ("stack", "dL_dc_0", (3,), "layer 0, unit 3"),
    ("stack", "dht_dhprev", (0, 13, 1), "step 1, c unit 1 of layer 1 by h unit 1 of layer 0"),
    ("projection", "dL_dW_xf", (2, 1), "unit 2 of f, from input 1"),
    ("projection", "dL_dW_hf", (2, 1), "unit 2 of f, from unit 1"),
    ("projection", "dL_dW_p", (1, 2), "unit 1, column 2"),
    ("projection", "dL_db_f", (2,), "unit 2 of f"),
    ("projection", "dL_dW_hy", (1, 1), "output 1, from unit 1"),
    ("projection", "dL_dc", (1, 2), "step 1, unit 2"),
    ("projection", "dht_dhprev", (0, 4, 1), "step 1, c unit 2 by h unit 1"),
    ("own", "dL_dW_xu", (1, 0), "unit 1 of u, from input 0"),
    ("own", "dL_dW_cu", (1, 0), "unit 1 of u, from unit 0 of c"),
    ("own", "dL_dW_uc", (1, 0), "unit 1 of c, from unit 0 of u"),
    ("own", "dL_dW_ch", (2, 1), "unit 2, from unit 1 of c"),
    ("own", "dL_dW_rh", (2, 1), "unit 2, column 1"),
    ("own", "dL_dW_oh", (2, 1), "from unit 2, unit 1"),  # transposed: its columns are added to
    ("own", "dL_dw_h", (2,), "unit 2"),
    ("own", "dL_db_u", (1,), "unit 1 of u"),
    ("own", "dL_dalpha", (), None),
]  # fmt: skip


@pytest.mark.cases(6)
@pytest.mark.parametrize(("net", "name", "index", "words"), WORDS)
def test_a_wrong_entry_is_said_in_words(
    net: str, name: str, index: tuple[int, ...], words: str | None
) -> None:
    problem = NETS[net]
    array = _right(problem, name)
    array[index] += 1.0 + 10.0 * np.abs(np.nan_to_num(array, posinf=0, neginf=0)).max()
    document: Any = rnngrad.check(problem, {name: array})
    (entry,) = document["quantities"]
    assert entry["verdict"] == "fail"
    assert entry["worst_index"] == (list(index) or None)
    assert entry["worst_entry"] == words


def test_every_place_has_its_words() -> None:
    """All of them, without a comparison."""
    for net, name, index, words in WORDS:
        assert place(NETS[net], name, index) == (words or "")


def _right(problem: Problem, name: str) -> np.ndarray:
    array = np.array(rnngrad.derive(problem)[name.removesuffix("_0")])
    return np.array(array[0]) if name.endswith("_0") else array


@pytest.mark.parametrize("net", NETS)
def test_every_index_has_words_of_its_own(net: str) -> None:
    """What two entries are called differs: nobody looks at the wrong one."""
    problem = NETS[net]
    for name, record in records(problem).items():
        shape = record.shape(problem)
        said = [place(problem, name, index) for index in np.ndindex(*shape)]
        assert len({*said}) == len(said), name
        assert all(said) or not shape, name
        assert not [words for words in said if "{" in words]


@pytest.mark.parametrize("cell", [c for c in CELLS if c != "rnn"])
def test_parameters_of_every_shipped_cell_have_words(cell: str) -> None:
    """A number for each axis, and one for the gate's block counts for its row."""
    letters = {multiple(x)[1] for shape in CELLS[cell].parameters.values() for x in shape}
    sizes = dict.fromkeys(letters - {"I", "H"}, 3)
    alike = {"inputs": 3} if CELLS[cell].input_letter == "H" else {}
    problem = shipped(cell, **sizes, **alike)
    for name, array in problem.weights.items():
        last = tuple(length - 1 for length in array.shape)
        words = place(problem, f"dL_d{name}", last)
        assert sum(letter.isdigit() for letter in words) == array.ndim, (name, words)


@pytest.mark.parametrize("hide", [False, True])
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_shows_it(name: str, hide: bool) -> None:
    """It is a place and no number: hidden reports have it as they have the index."""
    wrong = _right(NETS["lstm"], "dL_dW_xh")
    wrong[7, 0] += 1.0
    checked = check_arrays(NETS["lstm"], {"dL_dW_xh": wrong})
    shown = "".join(
        FORMATS[name](
            report(checked, heading=("h",), hide_expected=hide, of=NETS["lstm"]), Screen()
        )
    )
    assert "gate f, unit 2, from input 0" in shown
    if name == "json":
        assert json.loads(shown)["quantities"][0]["worst_entry"] == "gate f, unit 2, from input 0"
    if name == "csv":
        (row,) = csv.DictReader(io.StringIO(shown))
        assert row["worst_entry"] == "gate f, unit 2, from input 0"


def test_the_table_is_no_wider_than_the_screen() -> None:
    right = rnngrad.derive(NETS["stack"])
    wrong = {name: np.asarray(array) + 1.0 for name, array in right.items()}
    checked = check_arrays(NETS["stack"], wrong)
    shown_as = report(checked, heading=("h",), hide_expected=False, of=NETS["stack"])
    for width in (80, 60):
        screen = Screen(width=width)
        shown = "".join(FORMATS["table"](shown_as, screen))
        assert max(map(len, shown.splitlines())) <= width
        table = shown.partition("\n\n")[2].partition("\n\n")[0]
        assert "[" not in table
        second = [line.split()[0] for line in table.splitlines() if line.startswith(" " * 40)]
        assert width < 80 or {*second} == {"from", "by"}  # a number stays beside its word


def test_a_wrong_gradient_of_rnngrad_s_own_is_said_too() -> None:
    problem = NETS["lstm"]
    wrong = cells.right(problem)
    wrong["dL_dW_xh"][7, 0] += 1.0
    wrong["dL_dh"][4, 2] += 1.0
    found = {entry.name: entry.worst_entry for entry in check_own(problem, gradients=wrong)}
    assert found["dL_dW_xh"] == "gate f, unit 2, from input 0"
    assert found["dL_dh"] == "step 4, unit 2"


@pytest.mark.parametrize(
    ("name", "index", "words"),
    [
        ("dLt_dhk", (4, 2, 1), "from L_5 back to step 2, h unit 1"),
        ("dLt_dhk", (4, 2), "from L_5 back to step 2"),  # along a direction of the row
        ("dLt_dak", (4, 1, 3), "from L_5 back to step 2, unit 3"),
        ("dL_dh", (4,), "step 4"),
    ],
)
def test_paths_and_directions(name: str, index: tuple[int, ...], words: str) -> None:
    assert place(NETS["rnn"], name, index) == words
