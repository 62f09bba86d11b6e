"""Files of answers through ``check_answers.run``: places, folders, broken files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import rnngrad
from cli.running import ROOT
from cli.running import run as cli
from grading.conftest import ANSWERS, SHEET
from rnngrad.cli.checks.answers import run
from rnngrad.cli.checks.options import CheckOptions
from rnngrad.errors import SpecError, UsageError
from rnngrad.net.problem import Problem
from rnngrad.views.formats.names import FORMATS
from rnngrad.views.report import Report, Screen

FILES = {
    "ada.yaml": ANSWERS.read_text(encoding="utf-8"),
    "bob.yaml": 'name: Bob\na1: "-2*(t_3 - y_3"\na2: -2*(t_2 - y_2)\na7: 1\n',
    "cem.yaml": "a1: [1, 2\n",
    "dan.yaml": 'a1: "\\frac{\\partial L}{\\partial y_3}"\n',
    "eve.yaml": "- a1\n",
    "fay.yaml": "",
}


@pytest.fixture(scope="module")
def problem() -> Problem:
    return rnngrad.load(SHEET)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def text(report: Report, name: str) -> str:
    return "".join(FORMATS[name](report, Screen()))


def test_the_sample_is_right(problem: Problem) -> None:
    report, verdict = run(problem, [str(ANSWERS)], CheckOptions())
    assert verdict == "pass"
    assert [row[1] for row in report.rows()] == [5.0] * 10
    assert report.columns == ("id", "points", "of", "verdict", "hint")
    document: Any = report.document()
    assert (document["command"], document["verdict"], document["points"]) == ("check", "pass", 50.0)
    assert set(document["answers"][0]) == {"id", "points", "of", "verdict", "hint"}
    assert "50 of 50 points" in text(report, "table")


def test_a_malformed_formula_has_a_caret_and_the_others_are_graded(
    problem: Problem, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("a1: '2*(t_3 - y_3'\na2: -2*(t_2 - y_2)\na3: |\n  2 +\n  foo * 3\n")
    report, verdict = run(problem, [str(file)], CheckOptions())
    assert [row[1] for row in report.rows()][:3] == [0.0, 5.0, 0.0]
    said = capsys.readouterr()
    assert said.out == ""
    assert f"{file}:1:8: a1: this '(' is not closed" in said.err
    assert "  a1: '2*(t_3 - y_3'\n         ^\n" in said.err
    assert f"{file}: a3:2:1: a3: 'foo' is no name" in said.err
    assert "  foo * 3\n  ^\n" in said.err
    assert verdict == "fail"


def test_a_malformed_answer_that_counts_for_two_is_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of two steps a6 is graded by a5's answer: it ended with a KeyError of a6's place."""
    net = {"weights": {"W_xh": 1, "W_hh": 0.5}, "inputs": [1, 1], "targets": [0, 0]}
    file = tmp_path / "a.yaml"
    file.write_text('a5: "2*(t_1"\n')
    report, _ = run(rnngrad.load(net), [str(file)], CheckOptions())
    hints = {row[0]: row[4] for row in report.rows()}
    assert hints["a5"] == "character 3: this '(' is not closed by a ')'"
    assert hints["a6"] == "as a5: this '(' is not closed by a ')'"
    assert capsys.readouterr().err.count("is not closed") == 1


def test_quiet_says_nothing(
    problem: Problem, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(problem, [f"{folder}/*.yaml"], CheckOptions(quiet=True))
    assert capsys.readouterr() == ("", "")


def test_a_folder_is_graded_whatever_is_in_it(problem: Problem, folder: Path) -> None:
    report, verdict = run(problem, [f"{folder}/*.yaml"], CheckOptions(quiet=True))
    rows = list(report.rows())
    assert verdict == "fail"
    assert report.columns == ("file", "id", "points", "of", "verdict", "hint", "name")
    assert {row[6] for row in rows if str(row[0]).endswith("bob.yaml")} == {"Bob"}
    assert [row[1] for row in rows[:10]] == [f"a{n}" for n in range(1, 7)] + [
        "b1",
        "b2",
        "b3",
        "b4",
    ]
    by_file = {name: [r for r in rows if str(r[0]).endswith(name)] for name in FILES}
    assert sum(float(str(row[2])) for row in by_file["ada.yaml"]) == 50
    assert sum(float(str(row[2])) for row in by_file["bob.yaml"]) == 5
    assert by_file["bob.yaml"][-1][1:4] == ("a7", 0.0, 0.0)
    for name in ("cem.yaml", "dan.yaml", "eve.yaml", "fay.yaml"):
        (row,) = by_file[name]
        assert row[1:5] == (None, 0.0, 50.0, "fail")
        assert row[5]
    table = text(report, "table")
    for name in ("table", "markdown"):
        shown = text(report, name)
        assert re.search(r"bob.yaml\W+Bob ", shown)
        assert "bob.yaml: no subtask is called 'a7'" in shown.split("Not graded")[1]
    assert max(map(len, table.split("\n"))) <= 100
    assert "Could not be read" in table
    for name in FORMATS:
        if name != "latex":
            assert text(report, name)


def test_a_link_to_nothing_is_not_its_own_likeness(problem: Problem, folder: Path) -> None:
    (folder / "gone.yaml").symlink_to("nowhere.yaml")
    table = text(run(problem, [f"{folder}/*.yaml"], CheckOptions(quiet=True))[0], "table")
    assert "gone.yaml: is a link to no file\n" in table


@pytest.mark.parametrize("name", ["cem.yaml", "dan.yaml", "eve.yaml", "fay.yaml", "none.yaml", ""])
def test_a_broken_file_alone_is_refused(problem: Problem, folder: Path, name: str) -> None:
    with pytest.raises(SpecError):
        run(problem, [str(folder / name)], CheckOptions())


def test_double_quotes_around_latex_are_explained(problem: Problem, folder: Path) -> None:
    with pytest.raises(SpecError, match="single quotes"):
        run(problem, [str(folder / "dan.yaml")], CheckOptions())


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("A1", "did you mean 'a1'"),
        ("a1)", "did you mean 'a1'"),
        ("a 5", "did you mean 'a5'"),
        ("c9", "they are a1, a2"),
    ],
)
def test_unknown_subtasks(problem: Problem, tmp_path: Path, key: str, words: str) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(f"a1: 1\n{key}: 2\n")
    with pytest.raises(SpecError) as caught:
        run(problem, [str(file)], CheckOptions())
    assert words in str(caught.value)
    assert f"{file}:2:1" in str(caught.value)


@pytest.mark.parametrize(
    "content", ["a1: 1\na1: 2\n", "name: x\n", "a1: !!int 3\n", "", "# none yet\n", "- 1\n"]
)
@pytest.mark.parametrize("hide", [False, True])
def test_a_file_that_holds_no_answers(
    problem: Problem, tmp_path: Path, content: str, hide: bool
) -> None:
    """The message says what a file looks like, and holds no right answer as its example."""
    file = tmp_path / "a.yaml"
    file.write_text(content)
    with pytest.raises(SpecError) as caught:
        run(problem, [str(file)], CheckOptions(hide_expected=hide))
    assert "t_3" not in str(caught.value)


@pytest.mark.parametrize(
    ("typed", "column", "words"),
    [
        ("{x: 1}", 5, "a mapping"),
        ("true", 5, "true"),
        ("[0.5, {x: 1}]", 11, "in the list, a mapping"),
        ("[0.5, [1, false]]", 15, "in the list, false"),
    ],
)
def test_an_answer_of_the_wrong_type_costs_its_own_points(
    problem: Problem,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    typed: str,
    column: int,
    words: str,
) -> None:
    file = tmp_path / "a.yaml"
    others = [line for line in FILES["ada.yaml"].split("\n") if not line.startswith("a1:")]
    file.write_text("\n".join([f"a1: {typed}", *others]), encoding="utf-8")
    for source, at in ((str(file), 0), (f"{tmp_path}/*.yaml", 1)):
        report, verdict = run(problem, [source], CheckOptions())
        rows = [row[at : at + 5] for row in report.rows()]
        said = f"{words}; must be a formula or a number"
        assert rows[0] == ("a1", 0.0, 5.0, "fail", f"line 1: {said}")
        assert [row[1] for row in rows[1:]] == [5.0] * 9
        assert verdict == "fail"
        assert f"{file}:1:{column}: a1: {said}\n" in capsys.readouterr().err


def test_digits_are_those_typed(problem: Problem, tmp_path: Path) -> None:
    """0.80 has two significant digits, whatever a float makes of them."""
    right = float(rnngrad.derive(problem)["dL_dy"][1, 0])
    file = tmp_path / "a.yaml"
    for shown, verdict in ((f"{right:.2f}", "inconclusive"), (f"{right:.6f}", "pass")):
        file.write_text(f"a2: {shown}\n")
        report, _ = run(problem, [str(file)], CheckOptions())
        assert list(report.rows())[1][3] == verdict


def test_patterns_without_files_and_nets_without_subtasks(tmp_path: Path) -> None:
    problem = rnngrad.load(SHEET)
    with pytest.raises(UsageError, match="no file matches"):
        run(problem, [f"{tmp_path}/*.yaml"], CheckOptions())
    long = rnngrad.load({"weights": {"W_xh": 1, "W_hh": 1}, "inputs": {"zeros": 300}})
    with pytest.raises(UsageError, match="200 steps"):
        run(long, [str(ANSWERS)], CheckOptions())


def test_no_file_is_too_large_to_be_refused(problem: Problem, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("a1: '" + "1+" * 3_000_000 + "1'\n")
    with pytest.raises(SpecError, match="4 MiB"):
        run(problem, [str(file)], CheckOptions())
    file.write_text("a1: '" + "1+" * 500_000 + "1'\na2: -2*(t_2 - y_2)\n")
    report, _ = run(problem, [str(file)], CheckOptions(quiet=True))
    assert [row[1] for row in report.rows()][:2] == [0.0, 5.0]


def test_a_file_cannot_act_on_the_terminal(problem: Problem, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(
        'name: "\\e[31mEve\\u2026"\na1: "2 + h_{\\e[2J}"\na2: "2 + \u2026"\n"a\\e9": 1\n'
    )
    report, _ = run(problem, [f"{tmp_path}/*.yaml"], CheckOptions(quiet=True))
    for name in ("table", "csv", "json", "markdown"):
        assert "\x1b" not in text(report, name)
        assert "\u2026" not in text(report, name)


def test_grade_is_check_with_answers(tmp_path: Path) -> None:
    spec = str(ROOT / "sample_configs" / "exercise_sheet_7.yaml")
    (tmp_path / "a.yaml").write_text("a1: 0\n")
    (tmp_path / "b.yaml").write_text("{a1: 0\n")
    for files, pattern in ((["a.yaml"], "a.yaml"), (["b.yaml"], "b.yaml"), (["*.yaml"], "*.yaml"),
                           (["a.yaml", "b.yaml"], "*.yaml")):  # fmt: skip
        for more in ((), ("--json",), ("--hide-expected", "--rtol", "1e-3"), ("-f", "csv", "-q")):
            graded = cli("grade", spec, *files, *more, cwd=tmp_path)
            checked = cli("check", spec, "--answers", pattern, *more, cwd=tmp_path)
            assert graded.returncode == checked.returncode
            assert (graded.stdout, graded.stderr) == (checked.stdout, checked.stderr)
    assert cli("grade", spec, str(ANSWERS)).returncode == 0
    assert cli("grade", spec, "a.yaml", cwd=tmp_path).returncode == 1
    twice = cli("grade", spec, "a.yaml", "*.yaml", "--json", cwd=tmp_path)
    assert [file["file"] for file in json.loads(twice.stdout)["files"]] == ["a.yaml", "b.yaml"]


def test_grade_overwrites_no_answers(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a1: 0\n")
    spec = str(ROOT / "sample_configs" / "exercise_sheet_7.yaml")
    done = cli("grade", spec, "a.yaml", "-f", "csv", "-o", "a.yaml", "--force", cwd=tmp_path)
    assert (done.returncode, (tmp_path / "a.yaml").read_text()) == (2, "a1: 0\n")
