"""The report as text: one file, well formed, that lets nothing in and nothing out."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import pytest

from cli.running import ROOT, SHEET, run
from rnngrad.views.blocks import Column, Lines, Table
from rnngrad.views.page.blocks import html
from rnngrad.views.page.page import page, text

VOID = {"meta", "link", "br", "wbr", "input", "img"}
NASTY = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;\x1b[31m"


class Reader(HTMLParser):
    """Every element in order, with its attributes; what is not closed where it should be."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if len({name for name, _ in attrs}) < len(attrs):
            self.wrong.append(f"{tag} has an attribute twice")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}>")


def read(content: str) -> Reader:
    reader = Reader()
    reader.feed(content)
    reader.close()
    assert reader.wrong == []
    assert reader.open == []
    return reader


@pytest.fixture(scope="module")
def sheet(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "report.html"
    done = run("report", SHEET, "-o", str(path))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return path.read_text(encoding="utf-8")


def nasty(folder: Path, cell: str = "lstm") -> Path:
    spec = folder / "net.yaml"
    spec.write_text(
        f"name: {NASTY!r}\ncell: {cell}\nsizes: {{inputs: 2, hidden: 3, outputs: 2}}\n"
        "weights: {W_xh: {init: normal}, W_hh: {init: normal}, W_hy: {init: normal}}\n"
        "inputs: {random: normal, steps: 5}\ntargets: {random: normal}\n".replace("\x1b", r"\x1b"),
        encoding="utf-8",
    )
    text = spec.read_text(encoding="utf-8")
    name = NASTY.replace("'", "''").replace("\x1b", "")
    spec.write_text(re.sub(r"name: .*", lambda _: f"name: '{name}'", text), encoding="utf-8")
    return spec


# ---------------------------------------------------------------------------- the whole page


def test_it_is_well_formed_and_small(sheet: str) -> None:
    reader = read(sheet)
    kinds = [kind for kind, _ in reader.seen]
    assert kinds.count("h1") == 1
    assert len(sheet.encode()) < 90_000
    ids = [one["id"] for _, one in reader.seen if "id" in one]
    assert len(ids) == len(set(ids))
    for _, one in reader.seen:
        for name in ("aria-labelledby", "for"):
            assert set((one.get(name) or "").split()) <= set(map(str, ids))


def test_the_policy_is_the_page_s_own_and_no_more(sheet: str) -> None:
    policy = next(
        str(one["content"]) for _, one in read(sheet).seen
        if one.get("http-equiv") == "Content-Security-Policy"
    )  # fmt: skip
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    for kind in ("style", "script"):
        (content,) = re.findall(f"<{kind}>(.*?)</{kind}>", sheet, re.S)
        digest = b64encode(sha256(content.encode()).digest()).decode()
        assert rules[f"{kind}-src"] == f"'sha256-{digest}'"
    assert "unsafe" not in policy


def test_nothing_in_it_points_anywhere(sheet: str) -> None:
    for kind, one in read(sheet).seen:
        assert not {"src", "style", "srcset", "action", "onclick", "onload"} & set(one), kind
        assert (one.get("href") or "data:").startswith("data:")
        assert "url(" not in (one.get("clip-path") or "") or "url(#" in str(one["clip-path"])
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", sheet)


def test_the_same_bytes_twice(sheet: str) -> None:
    assert run("report", SHEET).stdout == sheet


def test_it_has_all_that_it_should(sheet: str) -> None:
    kinds = [kind for kind, _ in read(sheet).seen]
    assert kinds.count("math") > 60
    for words in (
        "An arrow back multiplies a gradient", "Who learns from whom", "What truncation costs",
        "The paths that", "How far it reaches", "Vanishing and exploding", "The ten subtasks",
        "Are these gradients right?", "dLt_dak", "Norms of the chain",
    ):  # fmt: skip
        assert words in sheet
    assert 'verdict: <span class="good">pass</span> (20 <span class="good">right</span>)' in sheet


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
@pytest.mark.parametrize("command", ["report", "derive", "check"])
def test_names_are_text_wherever_they_stand(tmp_path: Path, cell: str, command: str) -> None:
    spec = nasty(tmp_path, cell)
    done = run(command, str(spec), "-o", str(tmp_path / "x.html"))
    assert done.returncode == 0, done.stderr
    content = (tmp_path / "x.html").read_text(encoding="utf-8")
    kinds = [kind for kind, _ in read(content).seen]
    assert kinds.count("script") == 1
    assert not any("onerror" in one for _, one in read(content).seen)
    assert "img" not in kinds


def test_text_shows_what_cannot_be_seen() -> None:
    assert text("a\x1b[31m\u202eb\xa0c") == "a\\x1b[31m\\u202eb\xa0c"
    assert text('<a href="x">\'&') == "&lt;a href=&quot;x&quot;&gt;&#x27;&amp;"


# ---------------------------------------------------------------------------- verbs, blocks


VERBS = [
    ("derive", SHEET), ("check", SHEET), ("sweep", SHEET, "--whh-scale", "0.5,1,2"), ("cells",),
    ("grade", SHEET, str(ROOT / "sample_configs" / "answers" / "exercise_sheet_7.yaml")),
]  # fmt: skip


DRAWN = {"derive": 8, "check": 1, "sweep": 1}
"""How many pictures there are of the sheet."""


@pytest.mark.parametrize("command", VERBS, ids=lambda command: command[0])
def test_every_verb_writes_html(command: tuple[str, ...], tmp_path: Path) -> None:
    done = run(*command, "-o", str(tmp_path / "x.html"))
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    content = (tmp_path / "x.html").read_text(encoding="utf-8")
    reader = read(content)
    assert [kind for kind, _ in reader.seen].count("h1") == 1
    kinds = [kind for kind, _ in reader.seen]
    assert kinds.count("figure") == DRAWN.get(command[0], 0)
    assert ("script-src" in content) == (command[0] in DRAWN)
    assert run(*command, "--format", "html").stdout == content


def test_a_table_keeps_every_cell_in_order() -> None:
    columns = (Column("t"), Column("∂L/∂h_t"), Column("rule", words=True, formula=True),
               Column("verdict", coloured="verdict"))  # fmt: skip
    rows = (("1", "0.5", "∂L/∂h_1\n(7–9)", "FAIL"), ("2", "-1\n2", "W_hh", ""))
    table = Table("a <b>", columns, rows, ("note & note",))

    class Cells(HTMLParser):
        found: list[str]

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag in ("td", "th"):
                self.found.append("")

        def handle_data(self, data: str) -> None:
            if self.found:
                self.found[-1] += data.strip()

    cells = Cells()
    cells.found = []
    cells.feed(html(table))
    assert [cell.split("\n")[0] for cell in cells.found[:4]] == ["t", "∂L∂ht", "rule", "verdict"]
    assert cells.found[4:8] == ["1", "0.5", "∂L∂h1(7–9)", "FAIL"]
    assert cells.found[8:11] == ["2", "-12", "Whh"]
    assert '<span class="bad">FAIL</span>' in html(table)
    assert "<h2>a &lt;b&gt;</h2>" in html(table)
    read(html(table))


def test_equations_side_by_side_are_formulas_of_their_own() -> None:
    block = Lines(("h_t = σ(a_t),  a_t = W x_t",), formulas=True)
    assert html(block).count("<math") >= 2
    read(html(block))


def test_a_page_without_script_allows_none() -> None:
    content = "".join(page("t", ["<p>x</p>"]))
    assert "<script" not in content
    assert "script-src" not in content


# ---------------------------------------------------------------------------- the command


BAD = [
    ((SHEET, "-o", "x.json"), "a report is HTML; the file's name must end in .html"),
    ((SHEET, "-o", "nowhere/x.html"), "there is no folder 'nowhere'"),
    ((SHEET, SHEET, "-o", "x.html"), "is given 2 times; once is enough"),
    ((SHEET, "--whh-scale", "1:2", "-o", "x.html"), "scales '1:2'"),
    (("missing.yaml", "-o", "x.html"), "missing.yaml"),
]


@pytest.mark.parametrize(("args", "words"), BAD)
def test_mistakes_write_nothing(args: tuple[str, ...], words: str, tmp_path: Path) -> None:
    done = run("report", *args, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_overwritten_with_force_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.html"
    path.write_text("mine", encoding="utf-8")
    done = run("report", SHEET, "-o", str(path))
    assert done.returncode == 2
    assert "--force overwrites it" in done.stderr
    assert path.read_text(encoding="utf-8") == "mine"
    assert run("report", SHEET, "-o", str(path), "--force").returncode == 0
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


EDGES = {
    "zeros": "weights: {W_xh: [[0], [0]], W_hh: [[0, 0], [0, 0]], W_hy: [[0, 0]]}\n"
    "inputs: {random: normal, steps: 4}\ntargets: {random: normal}\n",
    "no targets": "weights: {W_xh: [[1], [1]], W_hh: [[0.5, 0], [0, 1]]}\n"
    "inputs: {random: normal, steps: 4}\n",
    "overflow": "activation: identity\nweights: {W_xh: [[1], [2]], W_hh: [[1.0e+200, 0], [0, 3]]}\n"
    "inputs: {random: normal, steps: 6}\ntargets: {random: normal}\n",
    "one step": "weights: {W_xh: [[1], [1]], W_hh: [[0.5, 0], [0, 1]]}\n"
    "inputs: [[1]]\ntargets: [[1, 2]]\n",
    "nothing recurrent": "cell: {equations: ['h_t = tanh(W_x x_t) + h_{t-1}']}\n"
    "weights: {W_x: [[1], [1]]}\ninputs: {random: normal, steps: 4}\ntargets: {random: normal}\n",
    "long": "seed: 1\nsizes: {inputs: 1, hidden: 3, outputs: 1}\nweights: {W_xh: {init: normal}, "
    "W_hh: {init: orthogonal}, W_hy: {init: normal}}\n"
    "inputs: {random: normal, steps: 700}\ntargets: {random: normal}\n",
}


@pytest.mark.parametrize("name", EDGES)
def test_nets_at_the_edge(name: str) -> None:
    done = run("report", "-", "-q", stdin=f"name: {name}\n{EDGES[name]}")
    assert (done.returncode, done.stderr) == (0, "")
    reader = read(done.stdout)
    sliders = [one for kind, one in reader.seen if kind == "input"]
    assert len(sliders) == (name != "nothing recurrent")
    for _, one in reader.seen:  # no number that is none gets into a drawing
        for value in (one.get("d"), one.get("x"), one.get("y"), one.get("points")):
            assert not re.search("nan|inf", value or "")


def test_several_nets_are_beside_each_other(tmp_path: Path) -> None:
    specs = []
    for cell in ("rnn", "gru"):
        spec = nasty(tmp_path, cell).rename(tmp_path / f"{cell}.yaml")
        spec.write_text(re.sub("name: .*", f"name: my {cell}", spec.read_text("utf-8")), "utf-8")
        specs.append(str(spec))
    done = run("report", *specs, "--whh-scale", "0.5,2")
    assert (done.returncode, done.stderr) == (0, "")
    reader = read(done.stdout)
    assert [one["id"] for kind, one in reader.seen if one.get("class") == "net"] == ["n1", "n2"]
    assert done.stdout.count("<option>") == 2
    sections = done.stdout.split('<section class="net"')[1:]
    keys = [re.findall(r'>10<tspan dy="-5"[^>]*>([^<]*)<', one) for one in sections]
    assert len(keys[0]) == 2
    assert keys[0] == keys[1]  # one scale of colours, from where to where
    scales = [one["data-words"] for _, one in reader.seen if "data-words" in one]
    assert [str(words).partition(":")[0] for words in scales if words] == ["0.5", "2", "1"] * 2


@pytest.mark.parametrize("during", ["scaled_chains", "check_own"])
def test_ctrl_c_keeps_what_is_done(monkeypatch: pytest.MonkeyPatch, during: str) -> None:
    from rnngrad.analyses import overview
    from rnngrad.analyses.checking.comparing.verdicts import CutShortError, not_checked

    def stopped(*_: object, **__: object) -> None:
        if during == "check_own":
            raise CutShortError([not_checked("dL_dW_hh")])
        raise KeyboardInterrupt

    monkeypatch.setattr(overview, during, stopped)
    done = run("report", SHEET)
    assert done.returncode == 130
    assert "interrupted; the page says so" in done.stderr
    assert "Interrupted: what is missing here was not computed." in done.stdout
    assert "The ten subtasks" in done.stdout
    there = during == "check_own"
    assert ("Vanishing and exploding" in done.stdout) == there
    assert ("dL_dW_hh: " in done.stdout and "inconclusive" in done.stdout) == there
    read(done.stdout)
