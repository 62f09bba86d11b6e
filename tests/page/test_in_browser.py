"""The report in a real browser: nothing goes wrong, nothing is fetched, all of it can be asked."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import rnngrad
from cli.running import SHEET, run
from page.browser import Browser

NET = """
cell: {cell}
name: {cell} <b onclick="alert(1)"> & 'so' "on"
seed: 3
sizes: {{inputs: 3, hidden: 6, outputs: 2}}
weights: {{W_xh: {{init: normal}}, W_hh: {{init: orthogonal, gain: 0.9}}, W_hy: {{init: normal}}}}
inputs: {{random: normal, steps: 14}}
targets: {{random: normal}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``sheet.html`` of one net, ``two.html`` of two, ``derive.html`` of a verb."""
    folder = tmp_path_factory.mktemp("page")
    for cell in ("rnn", "lstm"):
        (folder / f"{cell}.yaml").write_text(NET.format(cell=cell), encoding="utf-8")
    commands = (
        ("report", SHEET, "-o", "sheet.html"),
        ("report", "rnn.yaml", "lstm.yaml", "--whh-scale", "0.5:2:5:log", "-o", "two.html"),
        ("derive", "lstm.yaml", "-o", "derive.html"),
    )
    for command in commands:
        done = run(*command, cwd=folder)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
    return folder


@pytest.mark.browser
@pytest.mark.parametrize("name", ["sheet.html", "two.html", "derive.html"])
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_nothing_goes_wrong_and_nothing_is_asked_for(
    browser: Browser, folder: Path, name: str, width: int, dark: bool
) -> None:
    browser.look(width, 900, dark=dark)
    browser.open(folder / name)
    assert browser.complaints == []
    assert browser.requests == [(folder / name).as_uri()]
    assert browser.run("document.documentElement.scrollWidth") <= width
    paper = browser.run("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(20, 20, 20)" if dark else "rgb(255, 255, 255)")
    if not dark:
        assert len(browser.picture()) > 20_000


CUT = """[...document.querySelectorAll('.wide table')].map(table => table.parentNode)
    .filter(box => box.clientWidth && box.scrollWidth > box.clientWidth + 1)
    .map(box => `${box.ariaLabel}: ${box.scrollWidth} > ${box.clientWidth}`)"""
GAPS = """[...document.querySelectorAll('td.formula')].flatMap(cell => {
    const lines = [...cell.querySelectorAll('math')].map(one => one.getBoundingClientRect());
    return lines.slice(1).map((line, i) => [line.left < lines[i].right - 1, line, lines[i]])
        .filter(([below, line]) => below && line.width)
        .map(([, line, above]) => line.top - above.bottom);
})"""
"""Of formulas: from each line to the next, in pixels."""


@pytest.mark.browser
@pytest.mark.parametrize("name", ["sheet.html", "two.html", "derive.html"])
def test_a_telephone_cuts_no_column_and_formulas_have_air(
    browser: Browser, folder: Path, name: str
) -> None:
    browser.look(390, 900)
    browser.open(folder / name)
    browser.run("for (const one of document.querySelectorAll('details')) one.open = true")
    assert browser.run(CUT) == []
    gaps = browser.run(GAPS)
    assert gaps
    assert min(gaps) >= 3
    assert max(gaps) <= 16


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 800, 420, 687])
def test_a_long_formula_pushes_nothing_out_of_view(
    browser: Browser, folder: Path, width: int
) -> None:
    """A partial of a mogrifier LSTM has 750 signs: it is broken, and its value stands beside it or
    below. 687 pixels is what is printed on A4."""
    page = folder / "long.html"
    if not page.exists():
        spec = folder / "mogrifier.yaml"
        assert run("init", "--cell", "mogrifier_lstm", "-o", str(spec)).returncode == 0
        assert run("derive", str(spec), "-o", str(page)).returncode == 0
    browser.look(width, 900)
    browser.open(page)
    browser.ask("Emulation.setEmulatedMedia", media="print" if width == 687 else "")
    rights = browser.run("[...document.querySelectorAll('.number, .formula, math')]"
                         ".map(one => one.getBoundingClientRect().right)")  # fmt: skip
    cut = browser.run(CUT)
    gaps = browser.run(GAPS)
    browser.ask("Emulation.setEmulatedMedia", media="")
    assert len(rights) > 1000
    assert max(rights) <= width
    assert cut == []
    assert min(gaps) >= 2
    assert max(gaps) <= 20


@pytest.mark.browser
def test_the_policy_holds_whatever_gets_in(browser: Browser, folder: Path) -> None:
    """A script, a style and an image from elsewhere, planted in the page: none comes through."""
    bad = (
        "<script>document.title = 'taken'</script><p id=p style='color: rgb(1, 2, 3)'>x</p>"
        "<img src='https://example.org/x.png' onerror=\"document.title = 'taken'\">"
    )
    text = (folder / "sheet.html").read_text(encoding="utf-8")
    (folder / "bad.html").write_text(text.replace("<main>", f"<main>{bad}"), encoding="utf-8")
    browser.look(1280, 900)
    browser.open(folder / "bad.html")
    assert browser.run("document.title") == "exercise_sheet_7: where its gradients go"
    assert browser.run("getComputedStyle(document.getElementById('p')).color") == "rgb(28, 28, 28)"
    assert browser.run("document.images[0].naturalWidth") == 0
    refused = [str(one) for one in browser.complaints]
    assert any("script-src" in one for one in refused)
    assert any("style-src" in one for one in refused)
    assert any("img-src" in one for one in refused)


@pytest.mark.browser
def test_the_slider_moves_the_curve(browser: Browser, folder: Path) -> None:
    browser.look(1280, 900)
    browser.open(folder / "sheet.html")
    on = "[...document.querySelectorAll('path.on')].map(path => Number(path.dataset.at))"
    said = "document.querySelector('[data-asks=scale] output').value"
    ends = "document.querySelector('path.on').getBBox().height"
    assert browser.run(on) == [16]
    assert str(browser.run(said)).startswith("1: vanishing, a factor 0.184542 a step")
    before = browser.run(ends)
    browser.run("document.querySelector('input[type=range]').focus()")
    for _ in range(4):
        browser.press("ArrowLeft")
    assert browser.run(on) == [12]
    scale = 0.25 * 16 ** (12 / 32)
    assert str(browser.run(said)).startswith(f"{scale:.3g}: vanishing")
    assert browser.run("document.querySelector('input').ariaValueText") == browser.run(said)
    problem = rnngrad.load(SHEET, overrides=[f"weights.W_hh={0.8 * scale!r}"])
    assert rnngrad.load(SHEET).weights["W_hh"].item() == 0.8
    norm = 10.0 ** float(rnngrad.log10_chain(problem)[0])
    assert f"= {norm:.6g}" in str(browser.run(said))
    assert browser.run(ends) > before  # smaller weights: the curve falls farther
    assert browser.complaints == []


def told(t: int, k: int, shown: str) -> str:
    small = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
    return f"‖∂L{t}/∂h{k}‖".translate(small) + f" = {shown}".replace("-", "−")


@pytest.mark.browser
def test_keys_and_pointer_read_the_map(browser: Browser, folder: Path) -> None:
    """The value read out is the one that derive has, at the place that the cell has."""
    problem = rnngrad.load(folder / "rnn.yaml")
    paths = rnngrad.log10_paths(problem)
    browser.look(1280, 900)
    browser.open(folder / "two.html")
    read = "document.querySelector('svg.map + output').value"
    assert browser.run("document.querySelector('svg.map + output').ariaLive") == "polite"
    browser.run("document.querySelector('svg.map').focus()")
    before = str(browser.run(read))
    t, k = (int("".join(str(ord(sign) - 8320) for sign in one))
            for one in re.findall("[₀-₉]+", before))  # fmt: skip
    for key, dt, dk in (("ArrowLeft", 0, -1), ("ArrowLeft", 0, -1), ("ArrowDown", 1, 0)):
        browser.press(key)
        t, k = t + dt, k + dk
        assert browser.run(read) == told(t, k, f"10^{paths[t - 1, k]:.2f}")
    browser.run("document.querySelector('image[data-z]').scrollIntoView()")
    box = browser.run(
        "(({x, y, width, height}) => [x, y, width, height])"
        "(document.querySelector('image[data-z]').getBoundingClientRect())"
    )
    x, y, width, height = box
    for t, k in ((14, 0), (9, 5), (1, 1), (2, 9)):  # the last is above the diagonal
        browser.point(x + width * (k + 0.5) / 15, y + height * (t - 0.5) / 14)
        shown = f"10^{paths[t - 1, k]:.2f}" if k <= t else "no value"
        assert browser.run(read) == told(t, k, shown)
    assert browser.complaints == []


@pytest.mark.browser
def test_one_net_of_several_is_chosen(browser: Browser, folder: Path) -> None:
    browser.look(1280, 900)
    browser.open(folder / "two.html")
    hidden = "[...document.querySelectorAll('.net')].map(net => net.hidden)"
    assert browser.run(hidden) == [False, True]
    browser.run("document.querySelector('select').focus()")
    browser.press("ArrowDown")
    assert browser.run(hidden) == [True, False]
    assert browser.run("document.querySelector('select').value").startswith("lstm <b onclick=")
    assert browser.run("document.querySelectorAll('b').length") == 0


@pytest.mark.browser
def test_tab_reaches_everything_that_can_be_asked(browser: Browser, folder: Path) -> None:
    browser.look(1280, 900)
    browser.open(folder / "two.html")
    reached = set()
    for _ in range(60):
        browser.press("Tab")
        reached.add(
            browser.run(
                "(one => one.tagName + (one.className.baseVal ?? one.className))"
                "(document.activeElement)"
            )
        )
    assert {"SELECT", "INPUT", "svgpicture map", "DIVwide", "SUMMARY"} <= reached


@pytest.mark.browser
def test_without_script_everything_is_there(browser: Browser, folder: Path) -> None:
    text = re.sub("<script>.*?</script>", "", (folder / "two.html").read_text("utf-8"), flags=re.S)
    (folder / "still.html").write_text(text, encoding="utf-8")
    browser.look(390, 900)
    browser.open(folder / "still.html")
    assert browser.run("[...document.querySelectorAll('.net')].map(net => net.hidden)") == [
        False,
        False,
    ]
    assert browser.run("[...document.querySelectorAll('.asked')].every(one => one.hidden)")
    assert browser.run("document.querySelectorAll('path.on').length") == 2
    assert browser.complaints == []


@pytest.mark.browser
def test_it_prints_on_a4(browser: Browser, folder: Path) -> None:
    browser.look(1280, 900, dark=True)
    browser.open(folder / "sheet.html")
    browser.ask("Emulation.setEmulatedMedia", media="print",
                features=[{"name": "prefers-color-scheme", "value": "dark"}])  # fmt: skip
    paper = "getComputedStyle(document.documentElement).getPropertyValue('--paper')"
    assert browser.run(paper) == "#fff"  # also of whose screen is dark
    browser.ask("Emulation.setDeviceMetricsOverride", width=687, height=900,
                deviceScaleFactor=1, mobile=False)  # fmt: skip
    below = browser.run("""[...document.querySelectorAll('.long .number')].filter(value =>
        value.offsetTop > value.previousSibling.offsetTop + 20).length""")
    assert below == 0  # each value stands beside its formula: there is room
    browser.ask("Emulation.setEmulatedMedia", media="")
    pdf = browser.printed()
    sizes = {
        tuple(map(float, found))
        for found in re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", pdf)
    }
    assert sizes
    assert all(np.allclose(size, (595, 842), atol=1.5) for size in sizes)
    assert pdf.count(b"/Type /Page\n") <= 12
