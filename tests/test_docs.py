"""README and docs against the code: what they name exists, what they show is what is printed."""

from __future__ import annotations

import re
import runpy
import shlex
import subprocess
import sys
import tomllib
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
from rnngrad.analyses.sweep.points import Row
from rnngrad.cells import CELLS, NAMES
from rnngrad.cli import exit_codes
from rnngrad.cli.app import app
from rnngrad.files.arrays.drawing import INITIALISERS, SEQUENCES
from rnngrad.net.backward import bptt
from rnngrad.net.forward import forward
from rnngrad.net.losses import LOSSES
from rnngrad.net.outputs import OUTPUTS
from rnngrad.views.derivation.sections import LONG, SECTIONS
from rnngrad.views.formats.names import FORMATS, SUFFIXES

README = (ROOT / "README.md").read_text(encoding="utf-8")
RUN = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


def code_of(page: str) -> list[str]:
    """Fenced and indented blocks, then the code inside sentences."""
    fenced = re.findall(r"^```.*\n((?:.*\n)*?)```", page, re.M)
    rest = re.sub(r"^```.*\n(?:.*\n)*?```", "", page, flags=re.M)
    indented = re.findall(r"^ {4,}(.*)", rest, re.M)
    return fenced + indented + re.findall(r"`([^`\n]+)`", re.sub(r"^ {4,}.*", "", rest, flags=re.M))


def test_the_readme_opens_with_two_commands() -> None:
    first = re.search(r"^```.*?\n(.*?)^```", README, re.M | re.S)
    assert first is not None
    lines = [line for line in first[1].splitlines() if line.strip()]
    assert len(lines) == 2
    assert lines[0].endswith("rnngrad derive sample_configs/exercise_sheet_7.yaml")
    assert "pytest" in lines[1]
    assert "README.md" in RUN


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


SETTING_UP, *SHOWN = (
    [line for line in block.splitlines() if line.strip()] for block in blocks(README, "sh")
)
COMMANDS = [line for block in SHOWN for line in block]


def test_every_command_in_the_readme_is_run() -> None:
    """The two that set up are run by .ci/run, what they end in here as well."""
    assert [line for line in COMMANDS if not line.startswith("rnngrad ")] == []
    assert len(COMMANDS) >= 12
    part = SETTING_UP[0].rpartition("&& ")[2].split()
    assert part[0] == ".venv/bin/rnngrad"
    done = run(*part[1:], cwd=ROOT)
    assert done.returncode == 0, done.stderr


def arguments_of(line: str) -> list[str]:
    """What a command line of the pages gives to ``rnngrad``, without its comment."""
    return shlex.split(line.partition(" #")[0].partition(" |")[0])[1:]


def unknown_option(line: str) -> str:
    """The option of a command line that the command does not have, or nothing."""
    verb, *words = arguments_of(line)
    command = ROOT_COMMAND if verb.startswith("-") else ROOT_COMMAND.commands.get(verb)  # type: ignore[attr-defined]
    if command is None:
        return verb
    words = words if command is not ROOT_COMMAND else [verb, *words]
    try:
        command.make_parser(typer.Context(command)).parse_args(words)
    except Exception as error:  # noqa: BLE001 - Typer's own copy of Click's has no public name
        return str(error)
    return ""


def test_every_command_line_of_the_pages_has_options_that_there_are() -> None:
    """``rnngrad …`` as a line of a block, or inside a sentence."""
    pages = [page.read_text(encoding="utf-8") for page in PAGES]
    lines = [line for page in pages for code in code_of(page) for line in code.splitlines()]
    lines = [x.strip() for x in lines if re.match(r" *rnngrad [a-z-]", x)]
    assert len(lines) >= 60
    assert [(x, unknown_option(x)) for x in lines if unknown_option(x)] == []
    assert unknown_option("rnngrad derive net.yaml --quantty h")
    assert unknown_option("rnngrad --versoin")
    assert unknown_option("rnngrad drive net.yaml")


def test_what_else_the_readme_says_to_type_is_right() -> None:
    """Commands that do not begin with ``rnngrad``: uv is to do what the two lines above do."""
    told = [
        x for x in re.findall(r"`([^`\n]+)`", README) if re.match(r"(uv|pip|python3?|sudo) ", x)
    ]
    *installing, derives, tests = told
    assert installing == ["sudo apt install python3-venv"]
    assert "apt-get install -y -qq python3-venv" in RUN
    assert derives.split()[:2] == ["uv", "run"]
    assert derives.split()[2:] == SETTING_UP[0].rpartition(".venv/bin/")[2].split()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert tests.split()[:3] == ["uv", "run", "--extra"]
    assert tests.split()[3] in project["optional-dependencies"]
    assert f"[{tests.split()[3]}]" in SETTING_UP[1]
    assert tests.split()[4:] == SETTING_UP[1].rpartition("python -m ")[2].split()
    assert "rnngrad" in project["scripts"]


def test_the_oldest_dependencies_that_are_tried_are_those_allowed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    tried = (ROOT / ".ci" / "oldest.txt").read_text(encoding="utf-8").lower()
    pinned = dict(re.findall(r"^(\w[\w-]*)==([\d.]+)", tried, re.MULTILINE))
    for dependency in project["dependencies"]:
        name, least = dependency.split(">=")
        assert re.fullmatch(re.escape(least) + r"(\.0)*", pinned[name]), dependency


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
    of_tokens = {"dL_dembedding"}  # where the inputs are rows of an embedding
    assert names == {n for n in there if "_by_step" not in n} | {"dL_dW_hh_by_step"} | of_tokens


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_paths_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!http)([^)#]+)", text):
        assert (page.parent / target).exists(), target
    for path in re.findall(r"`((?:core|spec|analyses|views|cli)/\w+\.py)`", text):
        assert (ROOT / "rnngrad" / path).exists(), path
    for path in re.findall(r"(?<![\w/.])((?:\.ci|tests|docs|sample_configs)/[\w/.-]*\w)", text):
        assert (ROOT / path).exists(), path


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


ABOUT = {
    "": ["README.md", "results.md"],
    "derive": ["results.md", "pictures.md", "homework.md", "safety.md"],
    "check": ["check.md", "grading.md", "pictures.md", "safety.md"],
    "grade": ["check.md", "grading.md"],
    "sweep": ["sweep.md", "pictures.md", "safety.md"],
    "show": ["sweep.md"],
    "report": ["report.md", "safety.md"],
    "init": ["models.md", "cells.md", "check.md", "homework.md"],
    "cells": ["cells.md"],
    "schema": ["spec.md"],
}
"""command -> the pages that explain it; of what all three verbs have, README, spec and results."""


@pytest.mark.cases(None)
@pytest.mark.parametrize(("command", "option"), OPTIONS)
def test_every_option_is_documented(command: str, option: str) -> None:
    """As code, on a page about its command: that another command's page has it proves nothing."""
    common = all((verb, option) in OPTIONS for verb in ("derive", "check", "sweep"))
    names = ABOUT[command] + (["README.md", "spec.md", "results.md"] if common else [])
    pages = [page.read_text(encoding="utf-8") for page in PAGES if page.name in names]
    code = [x for page in pages for x in code_of(page)]
    assert any(re.search(rf"(?<![\w-]){option}(?![\w-])", each) for each in code)


def test_every_sample_config_runs() -> None:
    samples = sorted((ROOT / "sample_configs").glob("*.yaml"))
    assert samples
    for sample in samples:
        done = run("derive", str(sample))
        assert (done.returncode, done.stderr) == (0, ""), sample.name
        assert f"`{sample.stem}`" in (ROOT / "docs" / "spec.md").read_text(encoding="utf-8")


CHANGES = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def wrong_with(changes: str, version: str) -> str:
    """``## 1.2.3, 2026-01-31``, newest first, each with its changes under Added, Changed or Fixed.
    Above them may stand what is ``Unreleased``. Only the first may be unreleased, and is where the
    version ends in ``.dev0``."""
    sections = re.split(r"^## ", changes, flags=re.M)[1:]
    sections = sections[1:] if sections[:1] and sections[0].startswith("Unreleased\n") else sections
    heads = [section.partition("\n")[0] for section in sections]
    read = [re.fullmatch(r"(\d+)\.(\d+)\.(\d+), (unreleased|\d{4}-\d\d-\d\d)", x) for x in heads]
    if not heads or None in read:
        return f"headings {heads}"
    versions = [tuple(map(int, found.groups()[:3])) for found in read if found]
    dates = [found[4] for found in read if found]
    if ".".join(map(str, versions[0])) != version.removesuffix(".dev0"):
        return f"the version is {version}, the first heading {heads[0]}"
    if (dates[0] == "unreleased") != version.endswith(".dev0") or "unreleased" in dates[1:]:
        return f"dates {dates} of {version}"
    if [versions, dates] != [sorted(set(versions), reverse=True), sorted(dates, reverse=True)]:
        return f"order {heads}"
    for head, section in zip(heads, sections, strict=True):
        parts = re.split(r"^### ", section, flags=re.M)[1:]
        if not parts or not all(re.match(r"(Added|Changed|Fixed)\n\n- ", part) for part in parts):
            return f"{head} has no lines under Added, Changed or Fixed"
    return ""


def test_the_changelog_begins_with_the_version_and_runs_down() -> None:
    assert wrong_with(CHANGES, rnngrad.__version__) == ""


ONE, TWO = "\n### Added\n\n- this\n", "\n### Fixed\n\n- that\n"


@pytest.mark.parametrize(("changes", "version", "words"), [
    (f"## 1.1.0, 2026-02-01\n{ONE}\n## 1.0.0, 2026-01-31\n{TWO}", "1.1.0", ""),
    (f"## 1.1.0, unreleased\n{ONE}\n## 1.0.0, 2026-01-31\n{TWO}", "1.1.0.dev0", ""),
    (f"## 1.0.0, 2026-01-31\n{ONE}", "1.1.0", "the version is 1.1.0"),
    (f"## 1.0.0, unreleased\n{ONE}", "1.0.0", "dates"),
    (f"## 1.0.0, 2026-01-31\n{ONE}", "1.0.0.dev0", "dates"),
    (f"## 1.1.0, 2026-02-01\n{ONE}\n## 1.0.0, unreleased\n{TWO}", "1.1.0", "dates"),
    (f"## 1.0.0, 2026-01-31\n{ONE}\n## 1.1.0, 2026-02-01\n{TWO}", "1.0.0", "order"),
    (f"## 1.1.0, 2026-01-31\n{ONE}\n## 1.0.0, 2026-02-01\n{TWO}", "1.1.0", "order"),
    (f"## 1.0.0\n{ONE}", "1.0.0", "headings"),
    ("", "1.0.0", "headings"),
    ("## 1.0.0, 2026-01-31\n\n### Added\n", "1.0.0", "has no lines"),
])  # fmt: skip
def test_a_changelog_that_is_wrong_is_told(changes: str, version: str, words: str) -> None:
    found = wrong_with(changes, version)
    assert words in found
    assert bool(found) == bool(words)


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


def test_every_section_of_derive_is_documented() -> None:
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    table = text.split("| section | shows |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", table, re.M)
    assert rows == [(section.name, section.shows) for section in SECTIONS.values()]
    listed = re.search(r"^The sections (.*?) have a row for each step", text, re.M)
    assert listed is not None
    by_step = [section.name for section in SECTIONS.values() if section.by_step]
    assert re.findall(r"`(\w+)`", listed[1]) == by_step
    assert f"For T > {LONG} they" in text


def test_every_column_of_a_sweep_is_documented() -> None:
    table = (ROOT / "docs" / "sweep.md").read_text(encoding="utf-8").split("| column |")[1]
    first = "\n".join(row.split(" | ")[0] for row in table.split("\n\n")[0].splitlines())
    assert set(re.findall(r"`(\w+)`", first)) == set(Row._fields)


def test_every_format_and_its_ending_are_documented() -> None:
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    names, endings = text.split("## Formats")[1].split("An existing file")[0].split("`-o FILE`")
    assert set(FORMATS) == set(re.findall(r"`(\w+)`", names))
    assert {*filter(None, SUFFIXES)} - {".txt"} == set(re.findall(r"`(\.\w+)`", endings))


def test_the_stack_on_the_spec_page_runs() -> None:
    block, *_ = blocks((ROOT / "docs" / "spec.md").read_text(encoding="utf-8"), "yaml")
    problem = rnngrad.load(yaml.safe_load(block) | {"inputs": [[1, 2, 3]], "targets": [[0, 1]]})
    assert [layer.hidden for layer in problem.layers] == [8, 8]
    assert "dL_dW_hh.1" in rnngrad.derive(problem)


def test_the_cell_on_the_spec_page_runs() -> None:
    _, both, block, _ = blocks((ROOT / "docs" / "spec.md").read_text(encoding="utf-8"), "yaml")
    assert {"dL_dW_hh", "dL_dW_hh_reverse"} <= rnngrad.gradients(
        rnngrad.load(yaml.safe_load(both))
    ).keys()
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
    table = page[page.index("| name | is | used by |") :].partition("\n\n")[0]
    words = set(re.findall(r"`([^`]+)`", table))
    for record in SPELLINGS:
        assert (record.written if record.bare else f"d{record.written}") in words, record


def test_every_cell_stands_in_the_comparison() -> None:
    text = (ROOT / "docs" / "which_cell.md").read_text(encoding="utf-8")
    rows = [line.split("`")[1] for line in text.splitlines() if line.startswith("| `")]
    assert sorted(rows) == sorted(NAMES)
    rates = [abs(float(line.split("|")[2])) for line in text.splitlines() if "| `" in line]
    assert rates == sorted(rates)  # first what the page asks for


@pytest.mark.parametrize("page", ["README.md", "docs/results.md"])
def test_the_tables_of_exit_codes_are_the_codes(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    codes = {exit_codes.DONE, exit_codes.USERS_FAULT, exit_codes.OWN_FAULT, exit_codes.INTERRUPTED}
    verdicts = set(exit_codes.VERDICTS.values())
    assert listed == (codes | verdicts if page == "README.md" else codes)


@pytest.mark.parametrize("verb", ["check", "grade"])
def test_help_names_the_codes_of_the_verdicts(verb: str) -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    section = page.partition(f"## rnngrad {verb}\n")[2].partition("\n## ")[0]
    said = section.partition("Exit status: ")[2].partition("\n")[0]
    assert [int(code) for code in re.findall(r"\d+", said)] == list(exit_codes.VERDICTS.values())
