"""README and docs against the code: what they name exists, what they show is what is printed."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import typer
import yaml
from safetensors.numpy import save_file

import rnngrad
from cli.running import ROOT, run
from rnngrad.analyses.checking.spelling import SPELLINGS
from rnngrad.analyses.derivation.quantities import QUANTITIES
from rnngrad.cells import CELLS, NAMES
from rnngrad.cli.app import app
from rnngrad.files.arrays.drawing import INITIALISERS, SEQUENCES
from rnngrad.net.backward import bptt
from rnngrad.net.forward import forward
from rnngrad.net.losses import LOSSES
from rnngrad.net.outputs import OUTPUTS

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


def test_the_readme_opens_with_two_commands() -> None:
    first = re.search(r"^```.*?\n(.*?)^```", README, re.M | re.S)
    assert first is not None
    lines = [line for line in first[1].splitlines() if line.strip()]
    assert len(lines) == 2
    assert lines[0].endswith("rnngrad derive sample_configs/exercise_sheet_7.yaml")
    assert "pytest" in lines[1]
    assert "README.md" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_spec_in_the_readme_is_the_sample() -> None:
    sample = (ROOT / "sample_configs" / "exercise_sheet_7.yaml").read_text(encoding="utf-8")
    shown = blocks(README, "yaml")[0]
    assert shown in sample
    assert yaml.safe_load(shown) == yaml.safe_load(sample)


def test_the_python_in_the_readme_runs() -> None:
    code = blocks(README, "python")[0]
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True,
                          encoding="utf-8", check=True)  # fmt: skip
    assert "b4 ∂L/∂W_hh = " in done.stdout


SETTING_UP, *SHOWN = (
    [line for line in block.splitlines() if line.strip()] for block in blocks(README, "sh")
)
COMMANDS = [line for block in SHOWN for line in block]


def test_every_command_in_the_readme_is_run() -> None:
    """The two that set up are run by .ci/run, the first one's own part here as well."""
    assert [line for line in COMMANDS if not line.startswith("rnngrad ")] == []
    assert len(COMMANDS) >= 12
    part = SETTING_UP[0].rpartition("&& ")[2].split()
    assert part[0] == ".venv/bin/rnngrad"
    done = run(*part[1:], cwd=ROOT)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("line", COMMANDS)
def test_the_commands_in_the_readme_run(line: str, tmp_path: Path) -> None:
    words = line.split("#")[0].split()
    run("init", "-o", "net.yaml", cwd=tmp_path)
    if "--against" in words:
        run("derive", "net.yaml", "--save", "gradients.npz", cwd=tmp_path)
        with np.load(tmp_path / "gradients.npz") as mine:
            theirs = {"weight_ih_l0": mine["dL_dW_xh"], "weight_hh_l0": mine["dL_dW_hh"]}
        save_file(theirs, tmp_path / "grads.safetensors")
    if "model.safetensors" in words:
        model = ROOT / "tests" / "models" / "fixtures" / "lstm.safetensors"
        (tmp_path / "model.safetensors").write_bytes(model.read_bytes())
    done = run(*words[1:], cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_mistake_in_the_readme_is_worded_so(tmp_path: Path) -> None:
    shown = README[README.index("net.yaml:1:13:") :].partition("```")[0]
    spec = "activation: sigmiod\nweights: {W_xh: 1, W_hh: 1}\ninputs: [1]\n"
    (tmp_path / "net.yaml").write_text(spec, encoding="utf-8")
    assert run("derive", "net.yaml", cwd=tmp_path).stderr.startswith(shown)


def test_the_picture_is_what_is_printed() -> None:
    drawing = runpy.run_path(str(ROOT / "docs" / "picture.py"))
    printed = re.sub(r"\x1b\[[0-9;]*m", "", drawing["printed"]())
    rows: dict[float, list[tuple[float, str]]] = defaultdict(list)
    for node in ElementTree.parse(ROOT / "docs" / "derive.svg").iter():
        if node.tag.endswith("}text") and "y" in node.attrib and "clip-path" in node.attrib:
            text = "".join(node.itertext()).replace("\xa0", " ")
            rows[float(node.attrib["y"])].append((float(node.attrib["x"]), text))
    drawn = [" ".join(text for _, text in sorted(row)) for _, row in sorted(rows.items())]
    shown = [" ".join(line.split()) for line in drawn[1:]]
    assert [x for x in shown if x] == [" ".join(x.split()) for x in printed.splitlines() if x]


def test_every_quantity_is_documented_with_its_shape() -> None:
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    listed, _, asked = page.partition("**On request.**")
    rows = re.findall(r"^\| `(\w+)` \| \(([^)]*)\)", listed, re.M)
    documented = {
        name: tuple(x.strip() for x in dims.split(",") if x.strip()) for name, dims in rows
    }
    assert documented == {name: record.dims for name, record in QUANTITIES.items()}
    asked = asked.partition("## ")[0]
    cells = re.findall(r"^\| (`[^|]*) \| [^|]*\(", asked, re.M)
    names = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    sheet = rnngrad.load(ROOT / "sample_configs" / "exercise_sheet_7.yaml")
    there = set(rnngrad.derive(sheet).on_request)
    assert names == {n for n in there if "_by_step" not in n} | {"dL_dW_hh_by_step"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_paths_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!http)([^)#]+)", text):
        assert (page.parent / target).exists(), target
    for path in re.findall(r"`((?:core|spec|analyses|views|cli)/\w+\.py)`", text):
        assert (ROOT / "rnngrad" / path).exists(), path
    for path in re.findall(r"`((?:tests|docs|sample_configs)/[\w/.]+)`", text):
        assert (ROOT / path).exists(), path


def options(command: object) -> list[str]:
    """The long options that Typer reads for a command, asked of the command itself."""
    names = [name for given in command.params for name in given.opts]  # type: ignore[attr-defined]
    return [name for name in names if name.startswith("--")]


ROOT_COMMAND = typer.main.get_command(app)
OPTIONS = [
    (name, option)
    for name, command in {"": ROOT_COMMAND, **ROOT_COMMAND.commands}.items()  # type: ignore[attr-defined]
    for option in options(command)
]


def test_every_command_is_in_the_help_and_in_the_readme() -> None:
    commands = re.findall(r"^\| `rnngrad (\w+)", README, re.M)
    shown = run("--help").stdout
    listed = re.findall(r"^│ (\w+) ", shown.split("Commands")[1], re.M)
    assert sorted(listed) == sorted(commands) == sorted({name for name, _ in OPTIONS} - {""})


@pytest.mark.parametrize("command", sorted({name for name, _ in OPTIONS}))
def test_every_option_is_in_its_commands_help(command: str) -> None:
    shown = run(*command.split(), "--help").stdout
    listed = re.findall(r"^│ .*?(--[\w-]+)", shown, re.M)
    assert sorted(listed) == sorted([x for name, x in OPTIONS if name == command] + ["--help"])


@pytest.mark.parametrize("option", sorted({option for _, option in OPTIONS}))
def test_every_option_is_documented(option: str) -> None:
    """In the README or on a page of docs, as code."""
    pages = [page.read_text(encoding="utf-8") for page in PAGES if page.name != "CONTRIBUTING.md"]
    code = [x for page in pages for x in re.findall(r"`[^`\n]+`|^    .*|^rnngrad .*", page, re.M)]
    assert any(re.search(rf"(?<![\w-]){option}(?![\w-])", each) for each in code)


def test_every_sample_config_runs() -> None:
    samples = sorted((ROOT / "sample_configs").glob("*.yaml"))
    assert samples
    for sample in samples:
        done = run("derive", str(sample))
        assert (done.returncode, done.stderr) == (0, ""), sample.name
        assert f"`{sample.stem}`" in (ROOT / "docs" / "spec.md").read_text(encoding="utf-8")


def test_the_changelog_begins_with_the_version_and_runs_down() -> None:
    """``## 1.2.3, unreleased`` or ``## 1.2.3, 2026-01-31``; only the first may be unreleased."""
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.*)", changes, re.M)
    read = [re.fullmatch(r"(\d+)\.(\d+)\.(\d+), (unreleased|\d{4}-\d\d-\d\d)", x) for x in headings]
    assert None not in read, headings
    versions = [tuple(map(int, found.groups()[:3])) for found in read if found]
    assert ".".join(map(str, versions[0])) == rnngrad.__version__
    assert versions == sorted(set(versions), reverse=True)
    assert not any("unreleased" in heading for heading in headings[1:])


def documented(page: str, heading: str) -> list[str]:
    """The first column of the table whose head begins with ``heading``."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    table = text.split(f"| {heading} |")[1].split("\n\n")[0]
    return re.findall(r"^\| `(\w+)`", table, re.M)


def test_the_spec_page_knows_every_key_and_choice() -> None:
    schema = rnngrad.json_schema()
    assert documented("spec.md", "key") == list(schema["properties"])
    assert documented("spec.md", "`init`") == list(INITIALISERS)
    assert documented("spec.md", "`random`") == list(SEQUENCES)
    page = (ROOT / "docs" / "spec.md").read_text(encoding="utf-8")
    for table in (("rnn", "gru", "lstm"), OUTPUTS, LOSSES):
        for name in table:
            assert f"`{name}`" in page


def test_the_stack_on_the_spec_page_runs() -> None:
    block, _ = blocks((ROOT / "docs" / "spec.md").read_text(encoding="utf-8"), "yaml")
    problem = rnngrad.load(yaml.safe_load(block) | {"inputs": [[1, 2, 3]], "targets": [[0, 1]]})
    assert [layer.hidden for layer in problem.layers] == [8, 8]
    assert "dL_dW_hh.1" in rnngrad.derive(problem)


def test_the_cell_on_the_spec_page_runs() -> None:
    _, block = blocks((ROOT / "docs" / "spec.md").read_text(encoding="utf-8"), "yaml")
    problem = rnngrad.load(yaml.safe_load(block))
    assert problem.cell.name == "peephole LSTM"
    gradients = bptt(problem, forward(problem)).weights
    assert gradients["w_co"].shape == (4,)
    assert all(gradient.any() for gradient in gradients.values())


def test_the_mistake_on_the_spec_page_is_worded_so(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "spec.md").read_text(encoding="utf-8")
    shown = re.search(r"^       (net\.yaml:\d+:\d+: W_p .*\n(?:       .*\n)+)", page, re.M)
    assert shown is not None
    wanted = shown[0].replace("\n       ", "\n").removeprefix("       ")
    spec = "sizes: {P: 2}\ncell:\n  name: net\n  shapes: {W_p: [P, H]}\n  equations:\n"
    spec += "    - h_t = tanh(W_p x_t + U h_{t-1} + b)\nweights: {}\ninputs: [1]\n"
    (tmp_path / "net.yaml").write_text(spec, encoding="utf-8")
    assert run("derive", "net.yaml", cwd=tmp_path).stderr == wanted


def test_the_page_of_cells_is_what_the_data_say() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "cells.py"))["page"]()
    page = (ROOT / "docs" / "cells.md").read_text(encoding="utf-8")
    assert page == made, "run: python docs/cells.py"
    assert tuple(re.findall(r"^\| `(\w+)`", page.split("<!--")[1], re.M)) == ("cell", *NAMES)
    for names in re.findall(r"`(\w+)`", page.split("## Where the equations")[1]):
        assert names in CELLS


def test_every_spelling_of_a_gradient_is_documented() -> None:
    page = (ROOT / "docs" / "check.md").read_text(encoding="utf-8")
    table = page[page.index("| written | is | by |") :].partition("\n\n")[0]
    words = set(re.findall(r"`([^`]+)`", table))
    for record in SPELLINGS:
        assert (record.written if record.bare else f"d{record.written}") in words, record


def test_every_cell_stands_in_the_comparison() -> None:
    text = (ROOT / "docs" / "which_cell.md").read_text(encoding="utf-8")
    rows = [line.split("`")[1] for line in text.splitlines() if line.startswith("| `")]
    assert sorted(rows) == sorted(NAMES)
