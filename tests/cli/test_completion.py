"""What a shell is offered for the values of options, by the protocol of Typer's scripts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import rnngrad
from cli.running import ROOT, SHEET
from rnngrad.analyses.checking.references.methods import METHODS
from rnngrad.analyses.sweep.scaling import RELATIVE
from rnngrad.cells import NAMES
from rnngrad.cli import completion
from rnngrad.files.models import LAYOUTS
from rnngrad.files.models.choosing import DIRECTIONS
from rnngrad.views.formats.names import FORMATS

AS_A_SHELL = """
import json, os, sys
from rnngrad.cli.main import main
for words in json.loads(sys.argv[1]):
    sys.argv = ["rnngrad"]
    os.environ |= {"COMP_WORDS": " ".join(["rnngrad", *words]), "COMP_CWORD": str(len(words))}
    try:
        main()
    except SystemExit as done:
        assert not done.code
    sys.stdout.write("\\0")
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def each_offered(
    lines: list[tuple[str, ...]], cwd: Path = ROOT
) -> tuple[list[list[str]], set[str]]:
    """What bash is offered for the last word of each line, and the modules imported for them."""
    done = subprocess.run(
        [sys.executable, "-c", AS_A_SHELL, json.dumps(lines)],
        env=os.environ | {"_RNNGRAD_COMPLETE": "complete_bash", "PYTHONPATH": str(ROOT)},
        cwd=cwd, capture_output=True, text=True, encoding="utf-8", check=True,
    )  # fmt: skip
    return [one.split() for one in done.stdout.split("\0")[:-1]], set(json.loads(done.stderr))


def offered(*words: str, cwd: Path = ROOT) -> tuple[list[str], set[str]]:
    """The same of one line."""
    (one,), modules = each_offered([words], cwd)
    return one, modules


def test_what_is_said_twice_is_said_alike() -> None:
    assert tuple(FORMATS) == completion.FORMATS
    assert ("auto", *METHODS) == completion.METHODS
    assert tuple(LAYOUTS) == completion.LAYOUTS
    assert completion.DIRECTIONS == DIRECTIONS
    assert completion.RELATIVE == RELATIVE
    assert sorted(NAMES) == completion.cells(None)  # type: ignore[arg-type]


OFFERED = {
    ("derive", SHEET, "--format", "j"): ["json", "jsonl"],
    ("check", SHEET, "-f", "m"): ["markdown"],
    ("check", SHEET, "--method", ""): list(completion.METHODS),
    ("sweep", SHEET, "--relative-to", "s"): ["spectral-radius", "sigma-max"],
    ("init", "a.h5", "--direction", "r"): ["reverse"],
    ("init", "a.h5", "--layout", ""): list(completion.LAYOUTS),
    ("init", "--cell", "lstm_p"): ["lstm_peephole", "lstm_projection"],
    ("cells", "lstm_p"): ["lstm_peephole", "lstm_projection"],
    ("derive", SHEET, "--exponents", ""): ["all"],
    ("cells", "--color", "a"): ["auto", "always"],
    ("check", SHEET, "--tri"): ["--trials"],
}


def test_names_that_stand_in_no_net_come_without_numpy() -> None:
    # an empty last word: bash hands over its place in COMP_CWORD, and no word
    found, imported = each_offered(list(OFFERED))
    assert dict(zip(OFFERED, found, strict=True)) == OFFERED
    assert imported & {"numpy", "yaml", "rnngrad.net", "rnngrad.files"} == set()


def test_quantities_are_those_of_the_spec() -> None:
    found, _ = offered("derive", SHEET, "--quantity", "dL_dW")
    result = rnngrad.derive(rnngrad.load(SHEET))
    names = [name for name in (*result.names(), *result.on_request) if name.startswith("dL_dW")]
    assert found == names
    assert "dL_dW_hh" in found
    gru, _ = offered("derive", "--set", "cell=gru", SHEET, "--quantity", "dL_db_")
    assert gru == []  # the sheet's weights are no gru's: nothing is offered, and nothing printed


def test_gates_are_those_of_the_specs() -> None:
    lstm, gru = (f"sample_configs/copy_{cell}.yaml" for cell in ("lstm", "gru"))
    found, _ = each_offered(
        [("sweep", *specs, "--gate", "") for specs in ((lstm,), (lstm, gru), ("-",))]
    )
    assert found == [["i", "f", "g", "o"], ["i", "f", "g", "o", "r", "z", "n"], []]


def test_activations_of_a_list_one_by_one() -> None:
    assert offered("sweep", SHEET, "--activation", "tanh,re")[0] == ["tanh,relu"]


def test_prefixes_are_the_nets_of_the_model() -> None:
    fixture = "tests/models/fixtures/gru_wrapped.safetensors"
    spec = rnngrad.load({"weights": {"file": str(ROOT / fixture)}, "inputs": {"zeros": 2}})
    assert spec.trained is not None
    (found,) = offered("init", fixture, "--prefix", "")[0]
    text = (ROOT / fixture).read_bytes().decode("latin-1")
    assert f'"{found}weight_ih_l0"' in text
    assert offered("init", "nothing.h5", "--prefix", "")[0] == []
