"""The command line itself: its mistakes, its help, its versions, its old names."""

from __future__ import annotations

import json
import platform
import re
from pathlib import Path

import numpy as np
import pytest

import rnngrad
from cli.running import ROOT, SHEET, each_in_a_terminal, run, run_apart
from rnngrad.cli.app import COMMANDS, EXAMPLES
from rnngrad.cli.usage import OLD_NAMES

MODEL = ROOT / "tests" / "models" / "fixtures" / "lstm.safetensors"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("deriv",), "no such command 'deriv'; did you mean 'derive'?"),
        (("derive",), "missing argument 'SPEC'; P derive --help shows what it takes"),
        (("derive", SHEET, "--quantiy", "y"),
         "no option is called '--quantiy'; did you mean '--quantity'?"),
        (("sweep", SHEET, "--brackt", "1"),
         "no option is called '--brackt'; did you mean '--critical-rtol'?"),
        (("derive", SHEET, "--xyz"),
         "no option is called '--xyz'; P derive --help shows what it takes"),
        (("derive", SHEET, "--step", "two"),
         "--step two: expected a whole number; P derive --help shows what it takes"),
        (("check", SHEET, "--rtol", "small"),
         "--rtol small: expected a number; P check --help shows what it takes"),
        (("sweep", SHEET),
         "missing option '--whh-scale' (or '--checkpoints'); rnngrad sweep --help shows what it "
         "takes"),
        (("--debug",), "a command is missing; rnngrad --help lists them"),
        (("--json", "derive", SHEET), "--json goes behind a command, or with --version"),
    ],
)  # fmt: skip
def test_mistakes_of_usage_look_as_all_others(words: tuple[str, ...], said: str) -> None:
    done = run(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == said.replace("P ", "python -m rnngrad ") + "\n"


TRACED = (
    (("--debug", "derive", "no.yaml"), {}),
    (("derive", "--debug", "no.yaml"), {}),
    (("derive", "no.yaml", "--debug"), {}),
    (("derive", "no.yaml"), {"RNNGRAD_DEBUG": "1"}),
)
"""The places of ``--debug``."""


@pytest.mark.parametrize(("words", "env"), TRACED)
def test_debug_anywhere_shows_where(words: tuple[str, ...], env: dict[str, str]) -> None:
    done = run_apart(*words, **env)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Traceback (most recent call last):")
    assert done.stderr.splitlines()[-1] == "no.yaml: no such file"


@pytest.mark.parametrize("env", [{}, {"RNNGRAD_DEBUG": "0"}, {"RNNGRAD_DEBUG": ""}])
def test_without_debug_there_is_the_message_alone(env: dict[str, str]) -> None:
    assert run_apart("derive", "no.yaml", **env).stderr == "no.yaml: no such file\n"


@pytest.mark.cases(None)
@pytest.mark.parametrize("command", COMMANDS)
def test_help_ends_with_examples_that_run(command: str, tmp_path: Path) -> None:
    shown = run(command, "--help").stdout
    assert run("init", "-o", "net.yaml", cwd=tmp_path).returncode == 0
    assert run("derive", "net.yaml", "--save", "gradients.npz", cwd=tmp_path).returncode == 0
    (tmp_path / "model.safetensors").write_bytes(MODEL.read_bytes())
    (tmp_path / "student.py").write_text(STUDENT)
    (tmp_path / "submissions").mkdir()
    answers = ROOT / "sample_configs" / "answers" / "exercise_sheet_7.yaml"
    for name in ("answers.yaml", "submissions/ada.yaml"):
        (tmp_path / name).write_bytes(answers.read_bytes())
    if command == "grade":
        (tmp_path / "net.yaml").write_bytes(Path(SHEET).read_bytes())
    if command == "report":
        for cell in ("rnn", "gru", "lstm"):
            run("init", "--cell", cell, "-o", f"{cell}.yaml", cwd=tmp_path)
    if command == "show":
        run("sweep", "net.yaml", "--whh-scale", "1,2", "-o", "rows.jsonl", cwd=tmp_path)
    for example in EXAMPLES[command]:
        assert f" {example} " in shown.split("Examples:")[1]
        program, *words = example.split()
        done = run(*words, "--force" if "-o" in words and "--resume" not in words else "--debug",
                   cwd=tmp_path)  # fmt: skip
        assert program == "rnngrad"
        assert done.returncode == 0, (example, done.stderr)


STUDENT = """
import rnngrad

def backward(weights, inputs, targets, h_0):
    net = {"weights": weights, "inputs": inputs, "targets": targets, "h_0": h_0}
    return {"dL_dW_hh": rnngrad.gradients(rnngrad.load(net))["dL_dW_hh"]}
"""


def test_options_are_in_panels() -> None:
    panels = {
        name: set(re.findall(r"─ ([^─]+) ─", run(name, "--help").stdout)) for name in COMMANDS
    }
    assert all("Output" in found for found in panels.values())
    assert panels["check"] >= {"Somebody else's", "With --against FILE.py:FUNCTION"}
    assert "How it is computed" in panels["sweep"]
    assert "With MODEL" in panels["init"]


PACKAGES = ("Typer", "Rich", "PyYAML", "pydantic")


def test_versions() -> None:
    lines = run("--version").stdout.splitlines()
    assert lines[:3] == [
        f"rnngrad {rnngrad.__version__}",
        f"Python {platform.python_version()}",
        f"NumPy {np.__version__}",
    ]
    assert re.fullmatch(r"BLAS \S+ \d\S*", lines[3])
    assert [line.split()[0] for line in lines[4:]] == [*PACKAGES, "Platform"]
    document = json.loads(run("--version", "--json").stdout)
    assert [f"{name} {value}".lower() for name, value in document.items()] == [
        line.lower() for line in lines
    ]


def test_old_names_go_on_working(tmp_path: Path) -> None:
    (tmp_path / "student.py").write_text(STUDENT)
    (tmp_path / "model.safetensors").write_bytes(MODEL.read_bytes())
    pairs = {
        "random": ("check", SHEET, "--against", "student.py:backward", "NAME", "2"),
        "bracket": ("sweep", SHEET, "--whh-scale", "1,30", "NAME", "0.5"),
        "layer": ("init", "model.safetensors", "NAME", "nothing."),
    }
    assert set(pairs) == set(OLD_NAMES)
    for old, words in pairs.items():
        said = {
            name: run(*(f"--{name}" if word == "NAME" else word for word in words), cwd=tmp_path)
            for name in (old, OLD_NAMES[old])
        }
        before, now = said.values()
        assert (before.returncode, before.stdout, before.stderr) == (
            now.returncode, now.stdout, now.stderr,
        )  # fmt: skip
        assert "no option" not in before.stderr
        assert f"--{old}" not in run(words[0], "--help").stdout


def test_the_width_of_the_bracket_from_python() -> None:
    net = {"activation": "identity", "weights": {"W_xh": 1, "W_hh": 0.5}, "inputs": [1, 0, 0]}
    problem = rnngrad.load(net)
    new, old, fine = (
        rnngrad.sweep(problem, [1, 4], **{name: width})["critical_scale"]
        for name, width in (("critical_rtol", 0.5), ("bracket", 0.5), ("critical_rtol", 1e-6))
    )
    assert new == old != fine


SWEEP = ("sweep", SHEET, "--whh-scale", "1,2")


@pytest.mark.parametrize("verb", [("derive", SHEET), ("check", SHEET), SWEEP, ("cells",)])
def test_colour_is_for_terminals_and_for_who_asks(verb: tuple[str, ...], tmp_path: Path) -> None:
    plain = run(*verb).stdout
    assert "\x1b" not in plain
    assert run(*verb, "--color", "auto").stdout == plain
    always = run(*verb, "--color", "always").stdout
    assert "\x1b[1m" in always
    without = re.sub(r"\x1b\[[0-9;]*m", "", always)
    assert [line.rstrip() for line in without.splitlines()] == plain.splitlines()
    run(*verb, "--color", "always", "-o", "out.txt", cwd=tmp_path)
    assert (tmp_path / "out.txt").read_text(encoding="utf-8") == plain


def test_colour_on_a_terminal() -> None:
    check = ("check", SHEET)
    swept, checked, always, *plain = each_in_a_terminal(
        (SWEEP, {}), (check, {}), ((*check, "--color", "always"), {"NO_COLOR": "1"}),
        ((*check, "--color", "never"), {}), ((*check, "--no-color"), {}), (check, {"TERM": "dumb"}),
        ((*check, "--color", "auto"), {"NO_COLOR": "1"}), (check, {"NO_COLOR": "1"}),
    )  # fmt: skip
    assert "\x1b[38;5;32mvanishing\x1b[0m" in swept
    assert "\x1b[38;5;28mpass\x1b[0m" in checked
    assert "\x1b[38" in always
    assert len(plain) == 5
    assert not any("\x1b[38" in one for one in plain)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("--color", "alway"),
         "--color alway: expected auto, always or never; did you mean 'always'?\n"),
        (("--color", "auto", "--no-color"), "--no-color contradicts --color auto\n"),
    ],
)  # fmt: skip
def test_colour_that_cannot_be(asked: tuple[str, ...], said: str) -> None:
    done = run("derive", SHEET, *asked)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)
