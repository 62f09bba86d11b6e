"""``rnngrad sweep`` as a user runs it."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import rnngrad
from cli.running import ROOT, SHEET, run, run_apart
from rnngrad.analyses.sweep.scales import scales_of
from rnngrad.analyses.sweep.tasks import plan, rows_of

SPEC = """\
seed: 5
activation: tanh
sizes: {inputs: 2, hidden: 6, outputs: 1}
weights: {W_xh: {init: normal, std: 0.1}, W_hh: {init: orthogonal}, W_hy: {init: gaussian}}
inputs: {random: normal, steps: 30}
targets: {random: normal, steps: 30}
"""
SCALES = ("--whh-scale", "0.2:4:6")


@pytest.fixture
def spec(tmp_path: Path) -> str:
    path = tmp_path / "net.yaml"
    path.write_text(SPEC)
    return str(path)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# --- formats


def test_json_is_what_python_returns(spec: str) -> None:
    done = run("sweep", spec, *SCALES, "--seeds", "2", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert report == rnngrad.sweep(rnngrad.load(spec), "0.2:4:6", 2)
    first = list(report["rows"][0])
    assert first[:10] == [
        "scale", "seed", "spectral_radius", "sigma_max", "log10_chain_norm", "rate",
        "lyapunov_max", "log10_bound", "loss", "regime",
    ]  # fmt: skip
    made = (rnngrad.__version__, report["specs"][0]["hash"])
    assert {(row["version"], row["hash"]) for row in report["rows"] if row["seed"] == 5} == {made}
    assert set(report["critical_scale"]) >= {"value", "low", "high", "crossings"}


def test_csv_and_jsonl_hold_the_same_rows(spec: str) -> None:
    report = json.loads(run("sweep", spec, "--whh-scale", "0,1,2", "--json").stdout)
    jsonl = run("sweep", spec, "--whh-scale", "0,1,2", "--format", "jsonl").stdout
    assert [json.loads(line) for line in jsonl.splitlines()] == report["rows"]
    table = list(
        csv.DictReader(io.StringIO(run("sweep", spec, "--whh-scale", "0,1,2", "-f", "csv").stdout))
    )
    assert list(table[0]) == list(report["rows"][0])
    assert table[0]["rate"] == ""
    assert float(table[1]["rate"]) == report["rows"][1]["rate"]


@pytest.mark.parametrize(("ending", "name"), [
    ("json", "json"), ("csv", "csv"), ("md", "markdown"), ("txt", "table"),
])  # fmt: skip
@pytest.mark.parametrize("command", [("derive",), ("check",), ("sweep", "--whh-scale", "1,2")])
def test_the_ending_chooses_the_format(
    command: tuple[str, ...], ending: str, name: str, tmp_path: Path
) -> None:
    path = tmp_path / f"result.{ending}"
    verb, *options = command
    assert run(verb, SHEET, *options, "-o", str(path)).returncode == 0
    assert path.read_text(encoding="utf-8") == run(verb, SHEET, *options, "-f", name).stdout


def test_a_format_and_an_ending_agree(spec: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.txt"
    options = ("sweep", spec, "--whh-scale", "1")
    assert run(*options, "-o", str(path), "-f", "csv").returncode == 0
    assert path.read_text().startswith("scale,seed,")
    for form in ("csv", "table"):
        refused = run(*options, "-o", str(tmp_path / "rows.jsonl"), "-f", form)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert f"--format {form} contradicts -o" in refused.stderr
        assert not (tmp_path / "rows.jsonl").exists()
    refused = run("derive", spec, "-o", str(tmp_path / "x.docx"))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "no format ends in .docx" in refused.stderr


def test_the_table_fits_and_ends_in_words(spec: str) -> None:
    text = run("sweep", spec, *SCALES, "--seeds", "3").stdout
    assert max(map(len, text.splitlines())) <= 80
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    for words in ("█│", "│█", "Critical scale: ", "vanishes at 0.2", "explodes at", "HOLDS"):
        assert words in text
    assert "median of 3 seeds" in " ".join(text.split())


def test_a_saturated_net_is_explained() -> None:
    text = " ".join(run("sweep", SHEET, "--whh-scale", "0.1:40:9:log").stdout.split())
    assert "At scale 40 the units are saturated: σ' is 0.0763 on average, at most 0.25." in text
    assert "so the gradient vanishes although W_hh is large" in text
    assert "no critical scale" in text


ROTATION = (
    "{activation: identity, sizes: {inputs: 1, hidden: 8}, inputs: {zeros: 12},"
    " targets: {zeros: 12}, seed: 3, weights: {W_xh: {init: normal}, W_hh: {init: orthogonal}}}"
)


@pytest.mark.parametrize("command", [("sweep", "-", "--whh-scale", "1"), ("derive", "-")])
def test_rounding_is_no_growth_in_tables(command: tuple[str, ...]) -> None:
    """An orthogonal W_hh keeps lengths: 0 and no bar, where JSON has what was computed."""
    shown = run(*command, stdin=ROTATION).stdout
    cells = [line.split() for line in shown.splitlines()]
    if command[0] == "sweep":
        assert ["1", "0.0000", "0.0000", "│", "steady"] in cells
        assert cells[next(i for i, row in enumerate(cells) if "λ_max" in row) + 2][3:5] == ["0"] * 2
        return
    chain = next(i for i, row in enumerate(cells) if "Norms of the chain" in " ".join(row))
    assert all(row[-1] == "0.0000" for row in cells[chain + 3 : chain + 16])
    assert "(growth rate 0)." in shown
    spectrum = next(i for i, row in enumerate(cells) if row[:1] == ["Lyapunov"])
    assert {row[1] for row in cells[spectrum + 3 : spectrum + 11]} == {"0"}
    assert "-0.0000" not in shown


def test_json_has_the_rounding_that_tables_leave_out() -> None:
    found = json.loads(run("derive", "-", "--json", stdin=ROTATION).stdout)["quantities"]
    assert 0 < max(map(abs, found["log10_chain"])) < 1e-12


def test_the_bound_is_about_the_size_of_the_scale(spec: str) -> None:
    """−30 is below 1/(γ σ_max), and |−30| is not."""
    shown = " ".join(run("sweep", spec, "--whh-scale=-30").stdout.split())
    assert "no swept |scale| is below it" in shown


def test_units_of_relu_that_are_off_are_not_called_saturated(spec: str) -> None:
    text = run("sweep", spec, "--whh-scale", "0.1:10:3:log", "--activation", "relu").stdout
    assert "relu" in text
    assert "saturated" not in text


def test_ascii(spec: str) -> None:
    done = run_apart("sweep", spec, *SCALES, PYTHONIOENCODING="ascii")
    assert done.returncode == 0


def test_a_spec_from_standard_input_is_read_once_for_all_lengths() -> None:
    done = run("sweep", "-", "--whh-scale", "1", "--steps", "10,30,50", "--json", stdin=SPEC)
    assert [row["steps"] for row in json.loads(done.stdout)["rows"]] == [10, 30, 50]


def test_longer_steps_draw_the_spec_longer(spec: str) -> None:
    done = run("sweep", spec, "--whh-scale", "1", "--steps", "50", "--json")
    row = json.loads(done.stdout)["rows"][0]
    keys = [f"{key}={{random: normal, steps: 50}}" for key in ("inputs", "targets")]
    sets = [item for key in keys for item in ("--set", key)]
    expected = json.loads(run("derive", spec, *sets, "--json").stdout)
    assert row["loss"] == pytest.approx(expected["loss"], rel=1e-12)
    assert row["log10_chain_norm"] == pytest.approx(expected["quantities"]["log10_chain"][0])


def test_derive_has_the_gradient_flow(spec: str) -> None:
    shown = run("derive", spec).stdout
    for words in ("Gradient flow", "Lyapunov spectrum", "horizon in float32", "Ω", "Credit map"):
        assert words in shown
    flow = json.loads(run("derive", spec, "--json").stdout)["gradient_flow"]
    problem = rnngrad.load(spec)
    assert flow["lyapunov"]["exponents"] == rnngrad.lyapunov_spectrum(problem).tolist()
    assert len(flow["log10_step_norms"]) == 30
    assert set(flow["horizons"]) == {"float32", "bfloat16", "float64"}


# --- bad input


@pytest.mark.parametrize(("options", "words"), [
    (["--whh-scale", "4:1:5"], "descends; write 1:4"),
    (["--whh-scale", "1:2:0"], "is empty"),
    (["--whh-scale", "0:1:5:log"], "a log range needs numbers above 0"),
    (["--whh-scale", "-1:1:5:log"], "a log range needs numbers above 0"),
    (["--whh-scale", "1:2:10000000"], "--yes starts them"),
    (["--whh-scale", "1", "--seeds", "1"], "nothing in 'exercise_sheet_7' is random"),
    (["--whh-scale", "1", "--steps", "3,x"], "'x' is no number of steps"),
    (["--whh-scale", "1", "--steps", "4"], "only drawn or zero inputs"),
    (["--whh-scale", "1", "--resume"], "-o FILE.jsonl"),
    (["--whh-scale", "1", "--resume", "-o", "x.csv", "-f", "csv"], "-o FILE.jsonl"),
    (["--whh-scale", "1", "--jobs", "0"], "must be at least 1"),
    (["--whh-scale", "1", "--jobs", "2", "--scheduler", "tcp://a:1"], "give one of them"),
    (["--whh-scale", "1", "--scheduler", "here"], "tcp://host:port"),
    (["--whh-scale", "1", "--format", "docx"], "no format is called 'docx'; sweep has table"),
    (["--whh-scale", "1", "-o", "/nowhere/rows.jsonl"], "there is no folder"),
    (["--whh-scale", "1", "--set", "cell=rn"], "cell"),
])  # fmt: skip
def test_mistakes(options: list[str], words: str) -> None:
    done = run("sweep", SHEET, *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_ten_million_points_are_estimated() -> None:
    message = run("sweep", SHEET, "--whh-scale", "1:2:10000000").stderr
    assert message.startswith("10,000,000 points would take about ")
    assert "GB of memory" in message


def test_a_scheduler_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("rnngrad.cli.sweeps.cluster.PATIENCE", 0.5)
    began = time.monotonic()
    done = run("sweep", SHEET, "--whh-scale", "1", "--scheduler", "tcp://127.0.0.1:9")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "--scheduler tcp://127.0.0.1:9: no Dask scheduler answers there within 0.5 s\n"
    )
    assert time.monotonic() - began < 30


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk() -> None:
    done = run("sweep", SHEET, "--whh-scale", "1", "-f", "jsonl", "-o", "/dev/full", "--force")
    assert done.returncode == 2
    assert "No space left on device" in done.stderr


# --- the file of results


def test_a_file_grows_and_is_resumed(spec: str, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    done = run("sweep", spec, *SCALES, "--seeds", "3", "-o", str(whole))
    assert (done.returncode, done.stdout) == (0, run("sweep", spec, *SCALES, "--seeds", "3").stdout)
    assert "18 points, 0 of them from before" in done.stderr
    cut.write_bytes(whole.read_bytes()[:5000])
    kept = cut.read_bytes().count(b"\n")
    done = run("sweep", spec, *SCALES, "--seeds", "3", "-o", str(cut), "--resume")
    assert f"18 points, {kept} of them from before" in done.stderr
    assert sorted(lines(cut), key=str) == sorted(lines(whole), key=str)
    again = run("sweep", spec, *SCALES, "--seeds", "3", "-o", str(cut), "--resume")
    assert "18 points, 18 of them from before" in again.stderr
    assert again.stdout == done.stdout
    assert run("sweep", spec, *SCALES, "-o", str(cut), "--resume", "--quiet").stdout == ""
    assert len(lines(cut)) == 18


def test_what_is_left_is_computed_as_the_whole_was(spec: str) -> None:
    """To the last bit, wherever it was cut short."""
    whole = plan(rnngrad.load(spec), scales_of("0.2:4:12"))
    rows = [row for task in rows_of(whole) for row in task]
    for kept in (1, 4, 11):
        done = frozenset((row.setting, row.scale) for row in rows[:kept])
        assert [row for task in rows_of(whole, done=done) for row in task] == rows[kept:]


def test_more_points_go_into_the_same_file(spec: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    run("sweep", spec, "--whh-scale", "1,2", "-o", str(path))
    done = run("sweep", spec, "--whh-scale", "2,3", "-o", str(path), "--resume")
    assert "2 points, 1 of them from before" in done.stderr
    assert [row["scale"] for row in lines(path)] == [1, 2, 3]


def test_a_file_that_exists_is_not_touched(spec: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("mine")
    for options in ([], ["--resume", "--whh-scale", "0:-1:3"]):
        done = run("sweep", spec, "--whh-scale", "1", "-o", str(path), *options)
        assert done.returncode == 2
        assert path.read_text() == "mine"
    assert run("sweep", spec, "--whh-scale", "1", "-o", str(path), "--force").returncode == 0
    assert len(lines(path)) == 1


@pytest.mark.parametrize("change", ["seed=6", "loss_steps=last", "weights.W_xh={init: zeros}"])
def test_a_file_of_another_spec_is_refused(spec: str, tmp_path: Path, change: str) -> None:
    path = tmp_path / "rows.jsonl"
    run("sweep", spec, "--whh-scale", "1", "-o", str(path))
    before = path.read_bytes()
    done = run("sweep", spec, "--set", change, "--whh-scale", "2", "-o", str(path), "--resume")
    assert done.returncode == 2
    assert "another spec" in done.stderr
    assert path.read_bytes() == before


def test_a_file_that_is_no_sweep_is_refused(spec: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n')
    done = run("sweep", spec, "--whh-scale", "2", "-o", str(path), "--resume")
    assert (done.returncode, path.read_text()) == (2, '{"a": 1}\n')
    assert "rows.jsonl:1: is not a row of a sweep" in done.stderr


def test_another_threshold_makes_other_regimes_in_the_file_too(spec: str, tmp_path: Path) -> None:
    """What --resume --steady finds in the file is what it shows, and what the file then says."""
    path, afresh = tmp_path / "rows.jsonl", tmp_path / "afresh.jsonl"
    run("sweep", spec, *SCALES, "-o", str(path))
    before = lines(path)
    done = run("sweep", spec, "--whh-scale", "4", "--steady", "0.5", "-o", str(path), "--resume")
    assert "1 points, 1 of them from before" in done.stderr
    run("sweep", spec, *SCALES, "--steady", "0.5", "-o", str(afresh))
    assert lines(path) == lines(afresh) != before
    changed = sum(a != b for a, b in zip(before, lines(path), strict=True))
    assert f"--steady 0.5 changed {changed} regimes" in done.stderr
    assert "changed" not in run("sweep", spec, *SCALES, "--steady", "0.5", "-o", str(path),
                                "--resume").stderr  # fmt: skip
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")] == []


@pytest.mark.parametrize("way", ["--resume", "--force"])
def test_two_runs_on_one_file_are_one_too_many(spec: str, tmp_path: Path, way: str) -> None:
    path = tmp_path / "rows.jsonl"
    first = started(spec, path)
    second = run("sweep", spec, *LONG, "-o", str(path), way)
    assert (second.returncode, second.stdout) == (2, "")
    assert second.stderr == (
        f"{path}: another sweep is writing to it; wait until it ends, or name another file\n"
    )
    first.kill()  # as a crash would: what it locked is free again
    first.communicate(timeout=60)
    kept = path.read_bytes()
    third = run("sweep", spec, "--whh-scale", "0.5", *LONG[:4], "-o", str(path), "--resume")
    assert third.returncode == 0, third.stderr
    assert path.read_bytes()[: kept.rindex(b"\n")] == kept[: kept.rindex(b"\n")]


def test_the_rows_of_before_are_kept_where_nothing_can_start(
    spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--force erases them when the workers are there, not before; nothing new is left behind."""
    pytest.importorskip("distributed")
    monkeypatch.setattr("rnngrad.cli.sweeps.cluster.PATIENCE", 0.5)
    path, fresh = tmp_path / "rows.jsonl", tmp_path / "fresh.jsonl"
    run("sweep", spec, "--whh-scale", "1", "-o", str(path))
    before = path.read_bytes()
    nowhere = ("--whh-scale", "1,2", "--scheduler", "tcp://127.0.0.1:9")
    assert run("sweep", spec, *nowhere, "-o", str(path), "--force").returncode == 2
    assert path.read_bytes() == before
    assert run("sweep", spec, *nowhere, "-o", str(fresh)).returncode == 2
    assert not fresh.exists()


def test_processes_make_the_same_rows(spec: str, tmp_path: Path) -> None:
    here = run("sweep", spec, *SCALES, "--seeds", "2", "--json")
    there = run("sweep", spec, *SCALES, "--seeds", "2", "--json", "--jobs", "2")
    assert there.returncode == 0, there.stderr
    assert there.stdout == here.stdout


# --- interrupted


LONG = ["--set", "inputs.steps=3000", "--set", "targets.steps=3000", "--whh-scale", "0.5:3:500"]
IN_SHORT_TASKS = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from rnngrad.analyses.sweep import tasks
from rnngrad.cli.main import main
tasks.TASK_SECONDS = 0.1
main()
"""
"""A task of a second is waited for before the first row comes, and again by Ctrl-C. What a shell
starts in the background ignores Ctrl-C, and nohup a closed terminal; not this."""


def started(spec: str, path: Path, *more: str) -> subprocess.Popen[bytes]:
    """A long sweep that has written its first row."""
    command = [sys.executable, "-c", IN_SHORT_TASKS, "sweep", spec, *LONG, "-o", str(path), *more]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not (path.exists() and path.read_bytes().count(b"\n")):
        assert process.poll() is None
        time.sleep(0.05)
    return process


def workers_of(process: subprocess.Popen[bytes]) -> list[Path]:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [Path("/proc", child) for child in children]


def gone(processes: list[Path]) -> bool:
    """Whether all end within some seconds; the one that looks after the others takes its time."""
    end = time.monotonic() + 20
    while any(process.exists() for process in processes) and time.monotonic() < end:
        time.sleep(0.05)
    return not any(process.exists() for process in processes)


def test_a_run_that_is_killed_takes_its_workers_with_it(spec: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    process = started(spec, path, "-j", "2")
    left = workers_of(process)
    process.kill()
    process.communicate(timeout=60)
    assert len(left) > 1
    assert gone(left)
    assert path.read_bytes().endswith(b"}\n")
    assert 0 < len(lines(path)) < 500


@pytest.mark.parametrize(
    ("sign", "jobs"),
    [(signal.SIGINT, "1"), (signal.SIGINT, "2"), (signal.SIGTERM, "2"), (signal.SIGHUP, "1")],
)
def test_ctrl_c_keeps_what_is_done(
    spec: str, tmp_path: Path, sign: signal.Signals, jobs: str
) -> None:
    path = tmp_path / "rows.jsonl"
    process = started(spec, path, "-j", jobs)
    left = workers_of(process)
    process.send_signal(sign)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Interrupted: the critical scale was not looked for to the end." in out
    assert b"Traceback" not in err
    done = len(lines(path))
    assert 0 < done < 500
    assert f"interrupted after {done} of 500 points".encode() in err
    assert gone(left)


def _drained(terminal: int) -> None:
    with contextlib.suppress(OSError):  # the other side is closed
        while os.read(terminal, 4096):
            pass


def test_ctrl_c_shows_what_is_done(spec: str) -> None:
    command = [sys.executable, "-c", IN_SHORT_TASKS, "sweep", spec, *LONG, "-f", "csv"]
    main, side = pty.openpty()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=side)
    os.close(side)
    seen = b""
    while b"points" not in seen:
        seen += os.read(main, 4096)
    process.send_signal(signal.SIGINT)
    reader = threading.Thread(target=_drained, args=(main,))  # else its bar waits for a reader
    reader.start()
    out, _ = process.communicate(timeout=60)
    reader.join()
    os.close(main)
    assert process.returncode == 130
    assert 2 <= out.count(b"\n") < 501


@pytest.mark.parametrize("content", ['{"my": "config"}', "x" * 3000, '{"my": 1}\n'])
def test_resume_leaves_a_foreign_file_alone(content: str, tmp_path: Path) -> None:
    """Also one whose only line has no end: it is no row that a crash cut short."""
    target = tmp_path / "mine.jsonl"
    target.write_text(content, encoding="utf-8")
    done = run("sweep", SHEET, "--whh-scale", "1", "-o", str(target), "--resume")
    assert done.returncode == 2
    assert "is not a row of a sweep" in done.stderr
    assert target.read_text(encoding="utf-8") == content


@pytest.mark.parametrize("damage", [('"rate": -', '"rate": "x'), ('"scale": 1.0', '"scale": null')])
def test_resume_refuses_a_damaged_row(damage: tuple[str, str], tmp_path: Path) -> None:
    target = tmp_path / "rows.jsonl"
    assert run("sweep", SHEET, "--whh-scale", "1,2", "-o", str(target)).returncode == 0
    text = target.read_text(encoding="utf-8")
    before, after = damage
    broken = text.replace(before, after, 1)
    if before.startswith('"rate"'):
        broken = broken.replace(', "lyapunov_max"', '", "lyapunov_max"', 1)
    target.write_text(broken, encoding="utf-8")
    done = run("sweep", SHEET, "--whh-scale", "1,2", "-o", str(target), "--resume")
    assert done.returncode == 2
    assert "is not a row of a sweep" in done.stderr


# --- a kept sweep, shown again


def test_show_prints_the_tables_that_sweep_printed(spec: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    swept = run("sweep", spec, *SCALES, "--seeds", "3", "-j", "2", "-o", str(path)).stdout
    shown = run("show", str(path))
    assert shown.returncode == 0, shown.stderr
    first, last = swept.index("‖∂"), swept.index("* Critical scale")
    assert swept[first:last] in shown.stdout
    assert "seeds 5 to 7" in shown.stdout
    for name in ("csv", "jsonl"):
        fresh = run("sweep", spec, *SCALES, "--seeds", "3", "--format", name)
        assert run("show", str(path), "--format", name).stdout == fresh.stdout


def test_show_finds_the_critical_scale_as_closely_as_the_points_are(
    spec: str, tmp_path: Path
) -> None:
    path = tmp_path / "rows.jsonl"
    command = ("sweep", spec, *SCALES, "--seeds", "3")
    run(*command, "-o", str(path))
    exact = json.loads(run(*command, "--json").stdout)
    kept = json.loads(run("show", str(path), "--json").stdout)
    assert kept["rows"] == exact["rows"]
    low, high = (kept["critical_scale"][name] for name in ("low", "high"))
    assert low <= exact["critical_scale"]["low"] <= exact["critical_scale"]["high"] <= high
    assert {low, high} <= {row["scale"] for row in exact["rows"]}
    assert (
        f"The rate first passes 0 between {low:.7g} and {high:.7g}, the median of 3 seeds."
        in " ".join(run("show", str(path)).stdout.split())
    )
    assert [part["theory"] for part in kept["parts"]] == [[]]
    assert (kept["steady"], kept["parts"][0]["scaled"]) == (None, None)


def test_show_reads_and_changes_nothing(spec: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    run("sweep", spec, *SCALES, "-o", str(path))
    whole = run("show", str(path), "-f", "csv").stdout
    path.write_bytes(path.read_bytes() + path.read_bytes()[:40])
    torn = path.read_bytes()
    assert run("show", str(path), "-f", "csv").stdout == whole
    assert path.read_bytes() == torn
    assert "is the spec itself" not in run("show", str(path), "-o", str(path)).stderr
    assert run("show", str(path), "-o", str(path), "--force").returncode == 2
    assert path.read_bytes() == torn


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "rows.jsonl: no such file"),
        (b"", "no row has been kept yet"),
        (b'{"scale": 1}\n', "rows.jsonl:1: is not a row of a sweep"),
        (b"weights: 1\n", "rows.jsonl:1: is not a row of a sweep"),
        (b"[1]\n", "rows.jsonl:1: is not a row of a sweep"),
    ],
)
def test_what_show_cannot_show(content: bytes | None, said: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "rows.jsonl").write_bytes(content)
    done = run("show", "rows.jsonl", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{said}\n"


@pytest.fixture
def gaussian(spec: str) -> str:
    """A net whose ρ(W_hh) and σ_max(W_hh) are apart, as those of an orthogonal one are not."""
    Path(spec).write_text(SPEC.replace("orthogonal", "gaussian"))
    return spec


def test_show_keeps_apart_what_was_scaled_otherwise(gaussian: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    run("sweep", gaussian, *SCALES, "-o", str(path))
    other = ("--resume", "--relative-to", "sigma-max")
    run("sweep", gaussian, *SCALES, "-o", str(path), *other)
    said = (
        "the rows are of --relative-to sigma-max and weights, whose scales cannot be in one table\n"
    )
    assert run("show", str(path)).stderr == said
    gates = tmp_path / "gates.jsonl"
    lstm = ("sweep", "sample_configs/copy_lstm.yaml", "--whh-scale", "1,8", "--steps", "20")
    run(*lstm, "-o", str(gates))
    run(*lstm, "-o", str(gates), "--resume", "--gate", "f")
    parts = json.loads(run("show", str(gates), "--json").stdout)["parts"]
    assert [part["spec"] for part in parts] == ["copy_lstm, all", "copy_lstm, gate f"]
    rows = json.loads(run("show", str(gates), "--json").stdout)["rows"]
    assert [(row["spec"], row["gate"]) for row in rows] == [
        ("copy_lstm", None), ("copy_lstm", None), ("copy_lstm", "f"), ("copy_lstm", "f"),
    ]  # fmt: skip


@pytest.mark.parametrize("size", ["spectral-radius", "sigma-max"])
def test_show_knows_what_scales_are_relative_to(gaussian: str, size: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    scales = ("--whh-scale", "0,1,2", "--relative-to", size)
    run("sweep", gaussian, *scales, "-o", str(path))
    assert json.loads(run("show", str(path), "--json").stdout)["relative_to"] == size
