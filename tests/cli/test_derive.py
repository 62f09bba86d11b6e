"""``rnngrad derive`` as a user meets it: streams, exit codes, files, terminals."""

from __future__ import annotations

import csv
import io
import json
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import rnngrad
from cli.running import ROOT, SHEET, in_a_terminal, run, run_apart
from rnngrad.analyses.derivation.quantities import records
from rnngrad.analyses.derivation.selection import affordable_paths
from rnngrad.views.derivation import data, flow
from rnngrad.views.formats.names import FORMATS, SUFFIXES

QUANTITIES = tuple(rnngrad.derive(rnngrad.load(SHEET)))
"""Those of the sheet's net."""

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def sets(*pairs: str) -> list[str]:
    return [word for pair in pairs for word in ("--set", pair)]


def test_the_sheet() -> None:
    done = run("derive", SHEET)
    assert done.returncode == 0
    assert done.stderr == ""
    for name in ("a1", "a2", "a3", "a4", "a5", "a6", "b1", "b2", "b3", "b4"):
        assert re.search(rf"^{name}  ", done.stdout, re.M)
    for title in ("Forward pass", "Gradients step by step", "Paths of ∂L/∂W_hh", "Norms of the"):
        assert title in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "…" not in done.stdout


def test_json_is_the_contracts() -> None:
    done = run("derive", SHEET, "--json")
    document = json.loads(done.stdout, parse_constant=pytest.fail)
    assert document["command"] == "derive"
    assert document["version"] == rnngrad.__version__
    result = rnngrad.derive(rnngrad.load(SHEET))
    assert document["loss"] == result.loss
    assert set(document["spec"]) >= {
        "name", "cell", "activation", "steps", "inputs", "hidden", "outputs",
    }  # fmt: skip
    assert list(document["quantities"]) == list(records(rnngrad.load(SHEET)))
    for name, nested in document["quantities"].items():
        values = np.array(nested, dtype=float)
        known = np.isfinite(values)
        np.testing.assert_array_equal(values[known], result[name][known])
        assert not np.isfinite(result[name][~known]).any()
    lines = {line["id"]: line for line in document["derivation"]}
    assert list(lines) == ["a1", "a2", "a3", "a4", "a5", "a6", "b1", "b2", "b3", "b4"]
    assert lines["a4"]["value"] == result["dht_dhprev"].tolist()
    assert lines["b4"]["value"] == result["dL_dW_hh"].tolist()
    assert lines["a6"]["value"] == result["dL_dh"][1].tolist()


def test_truncation_and_shares_of_the_sheet() -> None:
    """From its three paths, with lag 1 that of (t, k) = (3, 2) alone."""
    document = json.loads(run("derive", SHEET, "--json").stdout, parse_constant=pytest.fail)
    shares = [(one["t"] - one["k"], one["share"]) for one in document["paths"][0]["summands"]]
    near, far = (sum(share for lag, share in shares if lag == d) for d in (0, 1))
    assert far == pytest.approx(0.000355202 / 0.0380502, rel=1e-5)
    first, *rest = document["truncation"]
    assert first == {"steps": 1, "rel_error": pytest.approx(far), "cosine": pytest.approx(1)}
    assert rest == [{"steps": n, "rel_error": 0.0, "cosine": pytest.approx(1)} for n in (2, 3)]
    flow = document["gradient_flow"]
    assert flow["shares"] == pytest.approx([near, far, 0])
    assert [entry["threshold"] for entry in flow["clipping"]] == [0.25, 1, 5]
    result = rnngrad.derive(rnngrad.load(SHEET))
    paths = np.array(flow["credit_map"]["log10"], dtype=float)
    np.testing.assert_array_equal(paths, result["log10_paths"])
    assert flow["credit_map"]["k"] == [[k, k] for k in range(4)]


def test_truncation_at_any_k() -> None:
    lstm = str(ROOT / "sample_configs" / "copy_lstm.yaml")
    result = rnngrad.derive(rnngrad.load(lstm))
    shown = run("derive", lstm, "--json", "--truncation", "12, 10")
    rows = json.loads(shown.stdout)["truncation"]
    found = np.array([[row["steps"], row["rel_error"], row["cosine"]] for row in rows])
    np.testing.assert_array_equal(found, result.truncation(10, 12))
    assert found[:, 0].tolist() == [10, 12, 200]
    np.testing.assert_array_equal(result.truncation(), result["truncation"])
    assert result["truncation"][3, 1] > found[0, 1] > found[1, 1] > result["truncation"][4, 1]
    with pytest.raises(rnngrad.UsageError, match=r"^steps=201: the steps are 1 to 200"):
        result.truncation(201)
    for args, said in (
        ([lstm, "--truncation", "0"], "--truncation 0: the steps are 1 to 200"),
        ([lstm, "--truncation", "4,"], "--truncation '': the steps are 1 to 200"),
        ([lstm, "--truncation", "4", "--quantity", "truncation"], "cannot stand together"),
        (["-", "--truncation", "2"], "no targets, so there is no loss"),
    ):
        bare = Path(SHEET).read_text(encoding="utf-8").partition("targets")[0]
        done = run("derive", *args, stdin=bare)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr


def test_truncation_of_a_stack_has_its_layers() -> None:
    one = "{W_xh: {init: gaussian}, W_hh: {init: gaussian}}"
    options = sets(f"weights={{layers: [{one}, {one}]}}", "sizes={inputs: 2, hidden: 3}",
                   "inputs={random: normal, steps: 6}", "targets={random: normal}")  # fmt: skip
    document = json.loads(run("derive", SHEET, *options, "--json").stdout)
    assert [len(entry["layers"]) for entry in document["truncation"]] == [2] * 4
    assert set(document["truncation"][0]["layers"][1]) == {"rel_error", "cosine"}
    bare = json.loads(run("derive", "-", "--json", stdin=DEAD[: DEAD.index("targets")]).stdout)
    assert bare["truncation"] is None
    assert "shares" not in bare["gradient_flow"]
    assert bare["gradient_flow"]["lag_profile"][0] == 0


def test_exponents_on_demand() -> None:
    options = sets("weights={W_xh: {init: gaussian}, W_hh: {init: gaussian}}",
                   "sizes={inputs: 2, hidden: 30}", "inputs={random: normal, steps: 20}",
                   "targets={random: normal}")  # fmt: skip
    every = rnngrad.lyapunov_spectrum(rnngrad.load(SHEET, overrides=options[1::2]))
    for asked, count in ([], 30), (["--exponents", "3"], 3), (["--exponents", "all"], 30):
        document = json.loads(run("derive", SHEET, *options, *asked, "--json").stdout)
        found = document["gradient_flow"]["lyapunov"]["exponents"]
        assert found == pytest.approx(every[:count].tolist())
    text = run("derive", SHEET, *options, "--exponents", "12").stdout
    assert "The 12 largest of 30; --exponents all shows all." in text
    assert re.search(r"^12 +-", text, re.MULTILINE)
    wrong = run("derive", SHEET, "--exponents", "2")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "--exponents 2: expected 1, or all" in wrong.stderr


def test_large_quantities_are_given_by_shape_and_norm() -> None:
    options = sets("weights={W_xh: {init: gaussian}, W_hh: {init: gaussian}}",
                   "sizes={inputs: 2, hidden: 30}", "inputs={random: normal, steps: 20}",
                   "targets={random: normal}")  # fmt: skip
    short = json.loads(run("derive", SHEET, *options, "--json").stdout)["quantities"]
    assert set(short["dht_dhprev"]) == {"shape", "norm"}
    assert short["dht_dhprev"]["shape"] == [20, 30, 30]
    full = json.loads(run("derive", SHEET, *options, "--json", "--full").stdout)["quantities"]
    norm = np.linalg.norm(np.array(full["dht_dhprev"]).ravel())
    assert short["dht_dhprev"]["norm"] == pytest.approx(norm)


@pytest.mark.parametrize("name", records(rnngrad.load(SHEET)))
def test_csv_has_one_number_a_row(name: str) -> None:
    done = run("derive", SHEET, "--quantity", name, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    array = rnngrad.derive(rnngrad.load(SHEET))[name]
    assert list(rows[0]) == ["quantity", "t", "i", "j", "value"]
    assert len(rows) == array.size
    values = [float(row["value"] or "nan") for row in rows]
    np.testing.assert_array_equal(np.nan_to_num(values), np.nan_to_num(array.ravel(), neginf=0))


def test_csv_indices() -> None:
    done = run("derive", SHEET, "--quantity", "dL_dW_hh", "--quantity", "h",
               "--quantity", "log10_paths", "--format", "csv")  # fmt: skip
    rows = [line.split(",")[:4] for line in done.stdout.splitlines()[1:]]
    assert rows[0] == ["dL_dW_hh", "", "0", "0"]
    assert rows[1:5] == [["h", str(t), "0", ""] for t in range(4)]
    assert rows[5:9] == [["log10_paths", "1", "", str(k)] for k in range(4)]


def test_jsonl_and_markdown() -> None:
    lines = run("derive", SHEET, "--format", "jsonl", "--quantity", "y").stdout.splitlines()
    assert [json.loads(line)["t"] for line in lines] == [1, 2, 3]
    page = run("derive", SHEET, "--format", "markdown").stdout
    assert "\n| a1 | ∂L/∂y\\_3<br>(7–9) |" in page
    assert page.startswith("# exercise\\_sheet\\_7")


def test_a_format_that_there_is_not_is_refused_by_name() -> None:
    done = run("derive", SHEET, "--format", "docx")
    assert done.returncode == 2
    assert done.stdout == ""
    known = "table, json, jsonl, csv, markdown, html, latex, typst"
    assert f"no format is called 'docx'; derive has {known}" in done.stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--format", "jsno"], "did you mean 'json'"),
        (["--quantity", "dL_dWhh"], "did you mean 'dL_dW_hh'"),
        (["--step", "4"], "--step 4: the steps are 1 to 3"),
        (["--step", "2", "--quantity", "dL_dW_hh"], "one array for all 3 steps"),
        (["--save", "x.txt"], "must end in .npz"),
        (["--set", "activation=sigmiod"], "did you mean 'sigmoid'"),
        (["-o", "/nowhere/x"], "there is no folder '/nowhere'"),
        (["-o", "/"], "is a folder"),
    ],
)
def test_mistakes(args: list[str], message: str) -> None:
    done = run("derive", SHEET, *args)
    assert done.returncode == 2
    assert done.stdout == ""
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_files_are_kept_unless_forced(tmp_path: Path) -> None:
    target, arrays = tmp_path / "out.txt", tmp_path / "out.npz"
    assert run("derive", SHEET, "-o", str(target), "--save", str(arrays)).returncode == 0
    assert target.read_text(encoding="utf-8") == run("derive", SHEET).stdout
    with np.load(arrays) as saved:
        result = rnngrad.derive(rnngrad.load(SHEET))
        assert set(saved) == set(records(rnngrad.load(SHEET)))
        for name in saved:
            np.testing.assert_array_equal(saved[name], result[name])
    target.write_text("mine", encoding="utf-8")
    again = run("derive", SHEET, "-o", str(target))
    assert again.returncode == 2
    assert "exists already; --force overwrites it" in again.stderr
    assert target.read_text(encoding="utf-8") == "mine"
    assert run("derive", SHEET, "-o", str(target), "--force").returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.npz", "out.txt"]


def test_nothing_is_written_after_a_mistake(tmp_path: Path) -> None:
    done = run("derive", SHEET, "--quantity", "nope", "-o", str(tmp_path / "x"),
               "--save", str(tmp_path / "x.npz"))  # fmt: skip
    assert done.returncode == 2
    assert list(tmp_path.iterdir()) == []


def test_standard_input() -> None:
    text = Path(SHEET).read_text(encoding="utf-8")
    assert run("derive", "-", stdin=text).stdout.startswith("stdin: rnn, T = 3")
    broken = run("derive", "-", stdin="weights: [")
    assert broken.returncode == 2
    assert broken.stderr.startswith("<stdin>:")


def test_overflow_is_a_result() -> None:
    done = run("derive", SHEET, *sets("activation=identity", "weights.W_hh=1e200", "h_0=1e200"))
    assert done.returncode == 0
    assert "warning: the forward pass overflows: from step 1 on" in done.stderr
    assert "400.0000" in done.stdout, "the chain of a linear net is exact all the same"
    quiet = run("derive", SHEET, "--quiet",
                *sets("activation=identity", "weights.W_hh=1e200", "h_0=1e200"))  # fmt: skip
    assert quiet.stderr == ""
    document = run("derive", SHEET, "--json",
                   *sets("activation=identity", "weights.W_hh=1e200", "h_0=1e200"))  # fmt: skip
    parsed = json.loads(document.stdout, parse_constant=pytest.fail)
    assert parsed["first_nonfinite_step"] == 1
    assert parsed["quantities"]["log10_chain"][0] == pytest.approx(600)


def test_what_is_huge_is_left_out_and_said(tmp_path: Path) -> None:
    options = sets("weights={W_xh: {init: gaussian}, W_hh: {init: gaussian, gain: 0.5}}",
                   "sizes={inputs: 1, hidden: 240}", "inputs={random: normal, steps: 180}",
                   "targets={zeros: 180}", "loss_steps=last")  # fmt: skip
    saved = tmp_path / "all.npz"
    done = run("derive", SHEET, *options, "--format", "json", "--save", str(saved))
    assert "note: dht_dhprev is left out: 180 × 240 × 240 = 10,368,000 numbers" in done.stderr
    assert "dht_dhprev" not in json.loads(done.stdout)["quantities"]
    with np.load(saved) as arrays:
        assert "dht_dhprev" not in arrays
        assert "log10_chain" in arrays
    lines = {line["id"]: line["value"] for line in json.loads(done.stdout)["derivation"]}
    assert lines["a4"] == {"shape": [180, 240, 240], "norm": None}


def test_one_step() -> None:
    done = run("derive", SHEET, "--step", "2")
    assert "Hidden units at step 2" in done.stdout
    assert "0.366525" in done.stdout
    assert "a1  " not in done.stdout
    document = json.loads(run("derive", SHEET, "--step", "2", "--json").stdout)
    assert document["step"] == 2
    assert document["quantities"]["y"] == rnngrad.derive(rnngrad.load(SHEET))["y"][1].tolist()
    rows = run("derive", SHEET, "--step", "2", "--format", "csv").stdout.splitlines()[1:]
    assert {row.split(",")[1] for row in rows} == {"2"}


def test_piped_output_is_utf8_whatever_the_locale() -> None:
    done = run_apart("derive", SHEET, PYTHONIOENCODING="ascii", LC_ALL="C")
    assert done.returncode == 0
    assert "∂L/∂y_3" in done.stdout


def test_a_terminal_without_unicode() -> None:
    shown = in_a_terminal("derive", SHEET, PYTHONIOENCODING="ascii", NO_COLOR="1")
    assert shown.isascii()
    assert "dL/dy_3" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_a_terminal_has_bold_type_and_no_colour_of_its_own() -> None:
    """Bold alone reads well on light and on dark."""
    shown = in_a_terminal("derive", SHEET)
    assert set(ESCAPE.findall(shown)) == {"\x1b[1m", "\x1b[0m"}
    assert max(len(ESCAPE.sub("", line)) for line in shown.splitlines()) <= 80
    for plain in (in_a_terminal("derive", SHEET, NO_COLOR="1"),
                  in_a_terminal("derive", SHEET, "--no-color")):  # fmt: skip
        assert "\x1b" not in plain


def test_help_names_every_option_without_an_ellipsis() -> None:
    for command in ([], ["derive"], ["init"], ["schema"]):
        done = run(*command, "--help")
        assert done.returncode == 0
        assert "…" not in done.stdout


@pytest.mark.parametrize("command", [(), ("derive",), ("check",), ("sweep",), ("init",)])
def test_help_gives_flags_no_type_and_breaks_lines_where_they_are_full(
    command: tuple[str, ...],
) -> None:
    lines = run(*command, "--help").stdout.splitlines()
    typed = [line for line in lines if "bool" in line]
    assert all(re.search("--(help|install-completion|show-completion)", line) for line in typed)
    end = next(i for i, line in enumerate(lines) if line.startswith("╭"))
    words = [line.split() for line in lines[2:end]]
    for line, after in pairwise(words):
        assert not line or not after or len(" ".join((*line, after[0]))) > 78


def test_head_does_not_look_like_a_failure() -> None:
    import subprocess
    import sys

    command = f"{sys.executable} -m rnngrad derive {SHEET} --full; echo $? >&2"
    done = subprocess.run(["bash", "-c", f"({command}) | head -1"], cwd=ROOT, capture_output=True,
                          text=True, timeout=60, check=False)  # fmt: skip
    assert done.stderr.strip() == "0"


def test_a_full_disk_is_said() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    done = run("derive", SHEET, "-o", "/dev/full", "--force")
    assert done.returncode == 2
    assert "/dev/full: cannot be written: No space left on device" in done.stderr


DEAD = "weights: {W_xh: 0, W_hh: 0, W_hy: 0}\ninputs: [1, 2, 3]\ntargets: [1, 1, 1]\n"


def test_a_dead_net_has_no_shares_and_null_logarithms() -> None:
    page = run("derive", "-", stdin=DEAD).stdout
    assert "∂L/∂W_hh is 0 or not finite, so there are no shares of it." in page
    assert "nan" not in page
    step = json.loads(run("derive", "-", "--step", "1", "--json", stdin=DEAD).stdout)
    assert step["quantities"]["log10_chain"] is None


def test_norms_beyond_the_range_of_squares(tmp_path: Path) -> None:
    spec = (
        "activation: identity\nweights: {W_xh: [[1], [1]], W_hh: [[1e-120, 0], [0, 1e-120]]}\n"
        "inputs: [1, 0, 0]\ntargets: {zeros: 3}\nloss_steps: last\nh_0: 1\n"
    )
    done = run("derive", "-", stdin=spec)
    assert done.stderr == ""
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith("1 ")]
    assert any("e-240" in cell for row in rows for cell in row)
    lossless = spec.partition("targets")[0] + "h_0: 1\n"
    big = run("derive", "-", "--set", "weights.W_hh=[[1e100, 0], [0, 1e100]]", stdin=lossless)
    assert big.stderr == ""
    assert "1.41421e+200" in big.stdout


def test_two_outputs_into_one_file(tmp_path: Path) -> None:
    same = str(tmp_path / "x.npz")
    done = run("derive", SHEET, "-o", same, "--save", same)
    assert done.returncode == 2
    assert "no format ends in .npz" in done.stderr
    done = run("derive", SHEET, "-o", same, "--format", "table", "--save", same)
    assert done.returncode == 2
    assert "-o writes to the same file" in done.stderr
    full = run_apart("derive", SHEET, "-o", "/dev/full", "--force", "--save", same)
    assert full.returncode == 2
    assert list(tmp_path.iterdir()) == []


def test_what_is_read_is_not_overwritten_and_modes_are_kept(tmp_path: Path) -> None:
    spec = tmp_path / "net.yaml"
    spec.write_text(DEAD, encoding="utf-8")
    done = run("derive", str(spec), "-o", str(spec), "--force")
    assert (done.returncode, spec.read_text(encoding="utf-8")) == (2, DEAD)
    kept = tmp_path / "kept.txt"
    kept.touch(mode=0o640)
    assert run("derive", str(spec), "-o", str(kept), "--force").returncode == 0
    assert kept.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("name", ["x" * 300, "loop"])
def test_a_path_that_cannot_be(name: str, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    done = run("derive", SHEET, "-o", str(tmp_path / name), "--force")
    assert done.returncode == 2
    assert "cannot be written" in done.stderr


@pytest.mark.parametrize(
    "line",
    [
        "derive {sheet} >&-",
        "derive - <&-",
        "derive nothing.yaml 2>&-",
        "derive nothing.yaml 2>/dev/full",
        "--help >/dev/full",
    ],
)
def test_closed_and_full_streams(line: str) -> None:
    import subprocess
    import sys

    command = f"{sys.executable} -m rnngrad {line.format(sheet=SHEET)}"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr


def test_a_name_cannot_speak_to_the_terminal() -> None:
    done = run("derive", SHEET, "--set", 'name="a\\e[31m\\n\\u202e"')
    assert done.stdout.splitlines()[0].startswith("a\\x1b[31m\\n\\u202e: rnn")


@pytest.mark.parametrize("asked", [*FORMATS])
def test_a_format_contradicts_the_ending_of_another(tmp_path: Path, asked: str) -> None:
    """One rule for all; .txt, no ending and one that no format has are anybody's."""
    ending = next(end for end, name in SUFFIXES.items() if name not in (asked, "table"))
    path = tmp_path / f"x{ending}"
    done = run("derive", SHEET, "--format", asked, "-o", str(path))
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        f"--format {asked} contradicts -o {path}, which ends as {SUFFIXES[ending]}" in done.stderr
    )
    assert not path.exists()
    for ending in (".txt", "", ".xyz", *(end for end, name in SUFFIXES.items() if name == asked)):
        path = tmp_path / f"x{ending}"
        done = run("derive", SHEET, "--format", asked, "-o", str(path), "--force", "-q")
        assert (done.returncode, done.stderr) == (0, "")


def test_small_contradictions() -> None:
    assert "--json contradicts -o x.csv" in run("derive", SHEET, "--json", "-o", "x.csv").stderr
    assert "--json contradicts --format csv" in run("derive", SHEET, "--json", "-f", "csv").stderr
    later = run("derive", SHEET, "--quantity", "dL_dc")
    assert "a net of rnn, which has no c" in later.stderr
    dash = run("derive", SHEET, "--quantity", "y", "-f", "csv", "-o", "-")
    assert dash.stdout.startswith("quantity,t")
    assert run().returncode == 0


def test_init_and_schema(tmp_path: Path) -> None:
    spec = tmp_path / "net.yaml"
    assert run("init", "-o", str(spec)).returncode == 0
    first = spec.read_text(encoding="utf-8").splitlines()[0]
    name = first.partition("# yaml-language-server: $schema=")[2]
    second = spec.read_text(encoding="utf-8").splitlines()[1]
    command = second.partition(": rnngrad ")[2].split()
    assert run(*command, cwd=tmp_path).returncode == 0
    assert json.loads((tmp_path / name).read_text(encoding="utf-8")) == rnngrad.json_schema()
    assert run("derive", str(spec)).returncode == 0
    assert run("init", "-o", str(spec)).returncode == 2
    schema = run("schema").stdout
    assert json.loads(schema) == rnngrad.json_schema()


GATED = """
cell: {cell}
weights:
  layers:
    - {{W_xh: {{init: gaussian}}, W_hh: {{init: orthogonal}}}}
    - {{W_xh: {{init: gaussian}}, W_hh: {{init: orthogonal}}}}
  W_hy: {{init: gaussian}}
sizes: {{inputs: 2, hidden: 3, outputs: 2}}
inputs: {{random: normal, steps: 4}}
"""
TARGETS = "targets: {random: normal}\n"


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_json_of_a_stack(cell: str, tmp_path: Path) -> None:
    spec = GATED.format(cell=cell) + TARGETS
    saved = tmp_path / "all.npz"
    done = run("derive", "-", "--json", "--save", str(saved), stdin=spec)
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout, parse_constant=pytest.fail)
    assert (document["spec"]["layers"], document["spec"]["hidden"]) == ([3, 3], 6)
    assert "s_{t−1} is held fixed" in document["remarks"][0]
    assert {"dL_dW_xh.0", "dL_dW_hh.1", "dL_dW_hy"} <= set(document["quantities"])
    assert "dht_dW_xh" not in document["quantities"]
    assert ("dL_dc" in document["quantities"]) == (cell == "lstm")
    with np.load(saved) as arrays:
        assert list(arrays) == list(document["quantities"])
    values = {line["id"]: line["value"] for line in document["derivation"]}
    assert values["a4"] == document["quantities"]["dht_dhprev"]
    assert values["b4.1"] == document["quantities"]["dL_dW_hh.1"]
    assert all(np.size(value) for value in values.values())
    assert {path["weight"] for path in document["paths"]} == {
        "W_hh.0", "W_xh.0", "W_hh.1", "W_xh.1",
    }  # fmt: skip
    assert document["gradient_flow"]["lyapunov"]["exponents"]


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("targets", ["", TARGETS])
@pytest.mark.parametrize("options", [[], ["--step", "2"], ["--full"], ["--set", "inputs.steps=1"]])
def test_tables_of_a_stack_fit(cell: str, targets: str, options: list[str]) -> None:
    done = run("derive", "-", *options, stdin=GATED.format(cell=cell) + targets)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"stdin: {cell}, T = ")
    assert "H = 3 + 3" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "…" not in done.stdout
    assert "nan" not in done.stdout
    assert "∂h_t/∂h_{t−1}" not in done.stdout


def test_a_stack_in_ascii_and_markdown() -> None:
    spec = GATED.format(cell="gru") + TARGETS
    page = run("derive", "-", "-f", "markdown", stdin=spec).stdout
    assert "h¹\\_t" in page
    assert "\n| b4.1 | ∂L/∂W\\_hh.1 |" in page
    assert "?" not in page


def test_what_a_gated_net_lacks_is_said_by_name() -> None:
    spec = GATED.format(cell="gru") + TARGETS
    for name, why in (("dht_dW_xh", "it is for one layer of rnn"), ("dL_dc", "has no c"),
                      ("dL_dW_hh", "has one a layer: dL_dW_hh.0 to dL_dW_hh.1")):  # fmt: skip
        done = run("derive", "-", "--quantity", name, stdin=spec)
        assert (done.returncode, done.stdout) == (2, "")
        assert why in done.stderr


def test_path_sums_of_a_large_gated_net_are_left_out_and_said() -> None:
    problem = rnngrad.load(
        {
            "cell": "lstm",
            "sizes": {"inputs": 1, "hidden": 64},
            "weights": {"W_xh": {"init": "zeros"}, "W_hh": {"init": "orthogonal"}},
            "inputs": {"zeros": 1000},
        }
    )
    assert not affordable_paths(problem)
    assert affordable_paths(rnngrad.load(SHEET))


@pytest.mark.parametrize("options", [[], ["--json"], ["--step", "1"]])
def test_an_overflow_within_a_gate_is_a_result_too(options: list[str]) -> None:
    spec = (
        "cell: gru\nweights: {W_xh: [[1],[1],[1]], W_hh: [[1e308],[1e308],[1e308]]}\n"
        "h_0: 1e10\ninputs: [1, 2]\ntargets: [1, 1]\n"
    )
    done = run("derive", "-", *options, stdin=spec)
    assert done.returncode == 0
    assert done.stderr.startswith("warning: the forward pass overflows: from step 1 on")
    if options == ["--json"]:
        document = json.loads(done.stdout, parse_constant=pytest.fail)
        assert document["quantities"]["dht_dhprev"] == [[[None]], [[None]]]


def test_exponents_that_rounding_decides_are_said_not_to_be_known(tmp_path: Path) -> None:
    spec = tmp_path / "saturated.yaml"
    spec.write_text(
        "cell: gru\nsizes: {inputs: 3, hidden: 12, outputs: 2}\n"
        "weights: {W_xh: {init: gaussian}, W_hh: {init: orthogonal, gain: 10000}, "
        "W_hy: {init: gaussian}}\ninputs: {random: normal, steps: 30}\n"
        "targets: {random: normal}\nseed: 1\n"
    )
    table = run("derive", str(spec)).stdout
    assert re.search(r"^smallest exponent +not known", table, re.M)
    unknown = re.search(r"^(\d+) of 12 are not known", table, re.M)
    assert unknown
    flow = json.loads(run("derive", str(spec), "--json").stdout)["gradient_flow"]["lyapunov"]
    assert flow["not_known"] == flow["exponents"].count(None) == int(unknown[1])
    swept = json.loads(run("sweep", str(spec), "--whh-scale", "1", "--json").stdout)["rows"][0]
    assert flow["exponents"][0] == pytest.approx(swept["lyapunov_max"], rel=1e-6)


def test_quantities_on_request() -> None:
    names = ("dL_da", "dL_dW_hh_by_step", "growth_rate", "truncation", "shares", "horizon")
    options = [word for name in names for word in ("--quantity", name)]
    result = rnngrad.derive(rnngrad.load(SHEET))
    found = json.loads(run("derive", SHEET, *options, "--json").stdout)["quantities"]
    assert list(found) == list(names)
    assert found["growth_rate"] == result["growth_rate"]
    assert found["truncation"] == result["truncation"].tolist()
    assert found["horizon"] == [[None] * 3] * 3
    page = run("derive", SHEET, *options).stdout
    assert "growth_rate: (1/T) ln ‖∂h_T/∂h_0‖" in page
    assert re.search(r"^i +steps +rel_error +cosine$", page, re.MULTILINE)
    assert re.search(r"^t +bfloat16 +float32 +float64$", page, re.MULTILINE)
    assert re.search(r"^lag +share of ∂L/∂W_hh$", page, re.MULTILINE)
    assert max(map(len, page.splitlines())) <= 80
    rows = run("derive", SHEET, *options, "--format", "csv").stdout.splitlines()
    assert rows[-9:] == [f"horizon,{t},{i},," for t in (1, 2, 3) for i in range(3)]
    assert f"growth_rate,,,,{result['growth_rate']}" in rows
    assert run("derive", SHEET, "--quantity", "dL_da", "--step", "2").returncode == 0
    refused = run("derive", SHEET, "--quantity", "shares", "--step", "2")
    assert (refused.returncode, "'shares' is one array for all" in refused.stderr) == (2, True)


def test_a_quantity_that_is_one_number_is_a_table_too() -> None:
    spec = ("cell: ctrnn\nsizes: {inputs: 1, hidden: 1}\nweights: {W_xh: 1, W_hh: 1, alpha: 0.5}\n"
            "inputs: [1, 1]\ntargets: [0, 0]\n")  # fmt: skip
    done = run("derive", "-", "--quantity", "dL_dalpha", stdin=spec)
    assert (done.returncode, done.stderr) == (0, "")
    assert "dL_dalpha: ∂L/∂alpha" in done.stdout


@pytest.mark.parametrize("to_file", [False, True])
def test_ctrl_c_keeps_the_tables_there_are(
    to_file: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run("derive", SHEET).stdout

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(flow, "measures", stop)
    saved, shown = tmp_path / "a.npz", tmp_path / "shown.txt"
    words = ("-o", str(shown)) if to_file else ()
    done = run("derive", SHEET, "--save", str(saved), *words)
    assert done.returncode == 130
    assert done.stderr.startswith("rnngrad: interrupted; what comes after the last table")
    text = shown.read_text() if to_file else done.stdout
    kept, said, rest = text.partition("\ninterrupted: what comes after this was not computed\n")
    assert said
    assert rest == ""
    assert whole.startswith(kept.rstrip())
    assert "Forward pass" in kept
    assert saved.exists()  # the arrays were there before the tables


def test_ctrl_c_leaves_no_half_of_a_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(data, "document", stop)
    target = tmp_path / "a.json"
    done = run("derive", SHEET, "-o", str(target))
    assert done.returncode == 130
    assert done.stderr == "rnngrad: interrupted\n"
    assert not target.exists()
