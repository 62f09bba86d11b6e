"""The figures of docs/models.md: init, derive and sweep on nets that people trained."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

import rnngrad
from cli.running import ROOT, run
from views.test_notebook import values_of

pytestmark = pytest.mark.network
NETS = {
    "g2p-en's encoder": ("g2p", "checkpoint20.npz", "enc_"),
    "g2p-en's decoder": ("g2p", "checkpoint20.npz", "dec_"),
    "silero-vad": ("silero", "silero_vad_16k.safetensors", None),
}
"""the row in the docs -> the fixture, the file, what --prefix names"""


def documented(net: str) -> list[str]:
    """The cells of a net's row, the minus sign as Python reads it."""
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    (row,) = [line for line in page.splitlines() if line.startswith(f"| {net},")]
    return [cell.strip() for cell in row.replace("−", "-").split("|")[2:-1]]


@pytest.fixture
def spec(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    fixture, file, layer = NETS[request.param]
    found = request.getfixturevalue(fixture)
    model = found if found.is_file() else found / file
    chosen = [] if layer is None else ["--prefix", layer]
    done = run("init", str(model), *chosen, "-o", "net.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return str(tmp_path / "net.yaml")


@pytest.mark.parametrize(("spec", "net"), [(net, net) for net in NETS], indirect=["spec"])
def test_the_figures_of_the_docs(spec: str, net: str) -> None:
    rate, exponent, horizons, norms = documented(net)
    problem = rnngrad.load(spec)
    assert problem.steps == 200
    chain = rnngrad.log10_chain(problem)
    assert f"{chain[0] * 2.302585092994046 / 200:.4f}" == rate
    from rnngrad.analyses.flow.horizons import horizons_of_the_state

    lags = [h.median for h in horizons_of_the_state(chain)]
    assert ", ".join("> T" if lag == float("inf") else f"{lag:g}" for lag in lags) == horizons
    coarse = ("--critical-rtol", "0.9")  # where the critical scale is, the page does not say
    done = run("sweep", spec, "--whh-scale", "0.5,1,2", *coarse, "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert f"{rows[1]['lyapunov_max']:.4f}" == exponent
    found = [row["log10_chain_norm"] for row in rows]
    for value, figure in zip(found, norms.split(", "), strict=True):
        if figure[0] == "≈":  # chaotic: rounding, and so the machine, decides the digits
            assert value == pytest.approx(float(figure[1:]), abs=2)
        else:
            assert f"{value:.1f}" == figure
    shown = run("derive", spec, "--quantity", "log10_chain")
    assert (shown.returncode, "note: assumed" in shown.stderr) == (0, net != "silero-vad")


def test_the_tutorial_on_a_trained_net_shows_what_its_commands_print(silero: Path) -> None:
    pages = runpy.run_path(str(ROOT / "docs" / "pages.py"))
    written = (ROOT / "docs" / "trained_net.md").read_text(encoding="utf-8")
    assert pages["ran"]("trained_net.md", silero) == written


def test_the_notebook_on_a_trained_net_runs(silero: Path) -> None:
    """In the folder of the package's files."""
    shown = values_of(ROOT / "docs" / "notebooks" / "trained_net.ipynb", silero)
    assert "'(200, 128)', '0.864'" in shown
    assert "vanishing" in shown
