"""Every result tells what it was made of, and an old one is held against what is computed now."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import rnngrad
from cli.running import ROOT, run, run_apart
from rnngrad.net.fingerprint import fingerprint

NET = """
weights: {W_xh: {init: normal}, W_hh: {init: normal}}
sizes: {inputs: 2, hidden: 3}
inputs: {random: normal, steps: 4}
targets: {random: normal}
"""


@pytest.fixture
def spec(tmp_path: Path) -> str:
    path = tmp_path / "net.yaml"
    path.write_text(NET)
    return str(path)


def test_the_hash_is_of_the_content(spec: str, tmp_path: Path) -> None:
    """Not of the text, the name or the place; every number and function changes it."""
    one = fingerprint(rnngrad.load(spec))
    other = tmp_path / "folder"
    other.mkdir()
    (other / "called_otherwise.yaml").write_text("# the same\n" + NET.replace("3}", "3 }"))
    assert fingerprint(rnngrad.load(other / "called_otherwise.yaml")) == one
    loaded = rnngrad.load(spec)
    given = dict(loaded.weights)
    by_hand = {"weights": given, "inputs": loaded.x, "targets": loaded.targets}
    assert fingerprint(rnngrad.load(by_hand)) == one
    changes = (
        "seed=1", "activation=relu", "output_activation=tanh", "loss_steps=last", "h_0=1e-300",
        "loss_reduction=mean", "weights.b_h=[0,0,1]", "targets={zeros: 4}",
    )  # fmt: skip
    found = {fingerprint(rnngrad.load(spec, overrides=[change])) for change in changes}
    assert len(found | {one}) == len(changes) + 1


def test_results_carry_version_seed_and_hash(spec: str, tmp_path: Path) -> None:
    of = {"name": "net", "seed": 0, "hash": fingerprint(rnngrad.load(spec))}
    for verb in (("derive",), ("check",), ("sweep", "--whh-scale", "1")):
        told = json.loads(run(verb[0], spec, *verb[1:], "--json").stdout)
        assert told["version"] == rnngrad.__version__
        mine = told["specs"][0] if verb[0] == "sweep" else told["spec"]
        assert {name: mine[name] for name in of} == of
        page = run(verb[0], spec, *verb[1:], "--format", "html").stdout
        assert f'<meta name="spec" content="net, seed 0, hash {of["hash"]}">' in page
        assert f"rnngrad {rnngrad.__version__}" in page
    saved, rows = tmp_path / "all.npz", tmp_path / "rows.jsonl"
    run("derive", spec, "--save", str(saved))
    with zipfile.ZipFile(saved) as archive:
        told = json.loads(archive.comment)
    assert (told["version"], told["spec"]) == (rnngrad.__version__, of)
    assert set(np.load(saved)) == set(rnngrad.derive(rnngrad.load(spec)))
    run("sweep", spec, "--whh-scale", "1,2", "-o", str(rows))
    assert {json.loads(line)["version"] for line in rows.read_text().splitlines()} == {
        rnngrad.__version__
    }


@pytest.mark.parametrize("end", ["json", "npz"])
def test_an_old_result_is_told_what_has_changed(end: str, spec: str, tmp_path: Path) -> None:
    old = str(tmp_path / f"old.{end}")
    run("derive", spec, "-q", *(("-o", old) if end == "json" else ("--save", old)))
    same = json.loads(run("check", spec, "--against", old, "--json").stdout)
    assert same["verdict"] == "pass"
    assert same["old"]["same_spec"] is True
    assert same["old"]["first_difference"] is None
    done = run("check", spec, "--against", old, "--set", "loss_steps=last")
    assert done.returncode == 1
    assert "the spec is another: its equations or its numbers have changed" in done.stdout
    assert re.search(r"the first quantity that differs: losses\n\nverdict: fail", done.stdout)
    assert not re.search("no known mistake|diagnosis|where to look", done.stdout)
    assert rnngrad.check(rnngrad.load(spec), old)["old"] == same["old"]


@pytest.mark.parametrize("end", ["json", "npz"])
def test_an_old_result_of_a_bidirectional_net(end: str, tmp_path: Path) -> None:
    """The hash of its JSON was another than that of its arrays."""
    spec, old = str(ROOT / "sample_configs" / "bidirectional.yaml"), str(tmp_path / f"old.{end}")
    run("derive", spec, "-q", *(("-o", old) if end == "json" else ("--save", old)))
    report = rnngrad.check(rnngrad.load(spec), old)
    assert report["old"]["same_spec"] is True


def test_an_old_result_of_another_version(spec: str, tmp_path: Path) -> None:
    """One number of it is another in its ninth digit; large quantities are there as norms."""
    told = json.loads(run("derive", spec, "--json").stdout)
    told["version"] = "0.1.0"
    del told["spec"]["hash"]
    told["quantities"]["dL_dh"][2][1] *= 1 + 1e-8
    told["quantities"]["dht_dhprev"] = {"shape": [4, 3, 3], "norm": 1.0}
    (tmp_path / "old.json").write_text(json.dumps(told))
    done = run("check", spec, "--against", str(tmp_path / "old.json"))
    assert done.returncode == 1
    assert f"made by rnngrad 0.1.0; this is {rnngrad.__version__}" in done.stdout
    assert "whether it is of the same spec is not told" in done.stdout
    assert re.search(r"the first quantity that differs: dL_dh, by [1-9]\.\de-0[89]", done.stdout)
    assert "not checked, for the file has just their norms: dht_dhprev" in done.stderr
    hidden = run("check", spec, "--against", str(tmp_path / "old.json"), "--hide-expected")
    assert "that differs" not in hidden.stdout


def test_rows_of_another_version_are_told_from_those_of_another_spec(
    spec: str, tmp_path: Path
) -> None:
    rows, again = tmp_path / "rows.jsonl", ("--whh-scale", "1", "-o", "rows.jsonl", "--resume")
    run("sweep", spec, "--whh-scale", "1", "-o", str(rows))
    other = run("sweep", spec, *again, "--set", "h_0=1", cwd=tmp_path)
    assert "rows.jsonl:1: was made from another spec; name another file" in other.stderr
    text = rows.read_text().replace(rnngrad.__version__, "0.1.0").replace('"key": "', '"key": "f')
    rows.write_text(text)
    other = run("sweep", spec, *again, cwd=tmp_path)
    assert "rows.jsonl:1: was made by rnngrad 0.1.0; name another file" in other.stderr


def test_versions_that_matter() -> None:
    told = json.loads(run_apart("--version", "--json").stdout)
    assert told["rnngrad"] == rnngrad.__version__
    assert {"python", "numpy", "blas", "typer", "rich", "pyyaml", "platform"} <= set(told)


LARGE = """
import sys, numpy, rnngrad
net = {
    "sizes": {"inputs": 100, "hidden": 300, "outputs": 50},
    "weights": {name: {"init": "gaussian"} for name in ("W_xh", "W_hh", "W_hy")},
    "inputs": {"random": "normal", "steps": 100},
    "targets": {"random": "normal"},
}
numpy.savez(sys.argv[1], **rnngrad.gradients(rnngrad.load(net)))
"""


def test_the_same_bytes_again_and_close_to_them_with_more_blas_threads(tmp_path: Path) -> None:
    first, again, threaded = (tmp_path / f"{i}.npz" for i in range(3))
    for path, threads, seed in ((first, "1", "0"), (again, "1", "1"), (threaded, "2", "0")):
        env = os.environ | {"OPENBLAS_NUM_THREADS": threads, "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", LARGE, path], env=env, cwd=ROOT, check=True)
    assert first.read_bytes() == again.read_bytes()
    with np.load(first) as one, np.load(threaded) as two:
        for name in one:
            np.testing.assert_allclose(
                two[name], one[name], rtol=0, atol=1e-13 * np.abs(one[name]).max()
            )
