"""Pictures as SVG: what is drawn is where the numbers are."""

from __future__ import annotations

import re
import struct
import zlib
from base64 import b64decode
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnngrad.views.pictures.by_matplotlib.words import SMALL, lowered
from rnngrad.views.pictures.picture import (
    Arrow,
    Axis,
    Band,
    Bar,
    Bars,
    Graph,
    Heat,
    Level,
    Line,
    Mark,
    Node,
    Picture,
    Region,
)
from rnngrad.views.pictures.svg.figure import figure
from rnngrad.views.pictures.svg.marks import SEEN, Choice
from rnngrad.views.pictures.svg.png import GONE, KEPT, palette, png
from rnngrad.views.pictures.svg.scale import scale, spelled
from rnngrad.views.pictures.svg.words import said

X = np.arange(1.0, 41.0)


ACROSS, UP = Axis("x"), Axis("y")


def picture(*marks: Mark, x: Axis = ACROSS, y: Axis = UP) -> Picture:
    return Picture("p", "a <title> & more", 'found "this"', x, y, marks)


def drawn(one: Picture, choice: Choice | None = None) -> ElementTree.Element:
    """The figure as XML: an SVG within a page has no other rules than these."""
    return ElementTree.fromstring(figure(one, "k", choice).replace("\u200b", ""))


def points(path: str) -> list[tuple[float, float]]:
    return [(float(a), float(b)) for a, b in re.findall(r"(-?[\d.]+),(-?[\d.]+)", path)]


def of_class(root: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [one for one in root.iter() if name in (one.get("class") or "").split()]


def ticks(root: ElementTree.Element) -> dict[str, tuple[float, float]]:
    """Words -> place."""
    texts = of_class(root, "quiet")
    return {"".join(t.itertext()): (float(t.get("x", 0)), float(t.get("y", 0))) for t in texts}


# ---------------------------------------------------------------------------- axes


@given(
    st.floats(-1e12, 1e12), st.floats(1e-9, 1e12), st.booleans(), st.floats(0, 0.1),
)  # fmt: skip
def test_ticks_are_few_round_and_in_order(low: float, span: float, log: bool, pad: float) -> None:
    ends = np.array([low, low + span]) if not log else 10.0 ** np.clip([low, low + span], -300, 300)
    found = scale(Axis("", log=log), [ends], 10, 400, pad)
    values = [value for value, _ in found.ticks]
    assert len(values) <= 10
    assert values == sorted(set(values))
    assert all(found.holds(value) for value in values)
    places = [found.at(value) for value in values]
    assert np.allclose(np.sort(places), places)
    if not log and found.high - found.low > 1e-6 * abs(found.high):
        assert len(values) >= 2
        step = values[1] - values[0]
        assert np.isclose(
            min(abs(step / 10.0 ** np.floor(np.log10(step)) - np.array([1, 2, 5, 10]))),
            0,
            atol=1e-6,
        )


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.25, "0.25"),
        (-40, "−40"),
        (2000, "2,000"),
        (1e-6, "10⁻⁶"),
        (2e-6, "2·10⁻⁶"),
        (1e5, "10⁵"),
        (0, "0"),
    ],
)
def test_values_are_spelled(value: float, words: str) -> None:
    assert spelled(value) == words


def test_a_line_is_where_its_numbers_are() -> None:
    y = np.sin(X)
    root = drawn(picture(Line("a", X, y), Line("b", X, 2 * y)))
    lines = of_class(root, "line")
    path = next(one for one in lines if one.get("clip-path"))
    found = np.array(points(path.get("d", "")))
    # the ticks' places give the scale, without the code that made it
    marks = [
        (float(w.replace("−", "-")), at) for w, at in ticks(root).items() if re.match(r"^−?\d", w)
    ]
    across = [(v, at[0]) for v, at in marks if at[1] > 240]
    up = [(v, at[1] - 4) for v, at in marks if at[1] <= 240]
    kx, x0 = np.polyfit(*zip(*across, strict=True), 1)
    ky, y0 = np.polyfit(*zip(*up, strict=True), 1)
    seen = {round((a - x0) / kx): (b - y0) / ky for a, b in found}
    assert len(seen) > 20
    for at, value in seen.items():
        assert abs(value - y[at - 1]) < 0.02
    names = ["".join(one.itertext()) for one in root.iter("li")]
    assert names == ["a", "b"]


def test_holes_part_a_line_and_a_log_axis_leaves_out_zeros() -> None:
    y = np.where(X == 20, np.nan, X)
    path = next(o for o in of_class(drawn(picture(Line("", X, y))), "line") if o.get("d"))
    assert path.get("d", "").count("M") == 2
    y = np.where(X == 20, 0.0, X)
    root = drawn(picture(Line("", X, y), y=Axis("y", log=True)))
    assert next(o for o in of_class(root, "line") if o.get("d")).get("d", "").count("M") == 2
    assert {"1", "10"} <= set(ticks(root))


@given(st.integers(0, 2**32 - 1))
def test_what_a_line_leaves_out_nobody_sees(seed: int) -> None:
    """At each point of the curve the drawn line is no farther than a pixel's part, upright."""
    y = np.cumsum(np.random.default_rng(seed).normal(size=len(X)))
    short = points(of_class(drawn(picture(Line("", X, y))), "line")[0].get("d", ""))
    whole = points(of_class(drawn(picture(Line("", X, y, points=True))), "line")[0].get("d", ""))
    a = np.array(whole)
    a[:, 0] = np.interp(a[:, 0], [a[0, 0], a[-1, 0]], [short[0][0], short[-1][0]])
    steep = np.abs(np.diff(a[:, 1]) / np.diff(a[:, 0])).max()
    line = np.interp(a[:, 0], *np.array(short).T)
    assert np.abs(line - a[:, 1]).max() <= SEEN * np.hypot(1, steep) + 0.1 + 0.1 * steep


def test_a_long_line_is_thinned_and_keeps_its_spikes() -> None:
    x = np.arange(100_000.0)
    y = np.zeros(len(x))
    y[77_777] = 5.0
    root = drawn(picture(Line("", x, y)))
    found = points(of_class(root, "line")[0].get("d", ""))
    assert len(found) < 20
    assert max(b for _, b in found) - min(b for _, b in found) > 150


# ---------------------------------------------------------------------------- marks


def test_all_marks_are_drawn_and_said() -> None:
    found = picture(
        Region("vanishes", -np.inf, 0.0, "gone"), Region("explodes", 0.0, np.inf, "blown up"),
        Band("seeds", X, X - 25, X - 15), Line("median", X, X - 20, error=np.ones(len(X))),
        Line("points", X, 20 - X, points=True), Level("floor", y=-15.0), Level("floor 2", y=-14.9),
        Level("critical <1>", x=20.0),
    )  # fmt: skip
    root = drawn(found)
    assert root.find("svg/title").text == found.title  # type: ignore[union-attr]
    assert root.find("svg/desc").text == found.finding  # type: ignore[union-attr]
    named = root.find("svg").get("aria-labelledby").split()  # type: ignore[union-attr]
    assert named == [root.find("svg/title").get("id"), root.find("svg/desc").get("id")]  # type: ignore[union-attr]
    assert len(of_class(root, "region")) == 2
    assert len(of_class(root, "error")) == 1
    places = ticks(root)
    assert {"vanishes", "explodes", "floor", "floor 2", "critical <1>"} <= set(places)
    assert abs(places["floor"][1] - places["floor 2"][1]) >= 13
    assert places["explodes"][1] < places["vanishes"][1]


def test_no_style_attribute_and_no_colour_but_by_class() -> None:
    text = figure(picture(Line("a", X, X), Heat("z", X, X, np.ones((40, 40)))), "k")
    assert "style=" not in text
    assert not re.search(r'(fill|stroke)="(?!none)', text)


def test_points_of_several_kinds_differ_by_their_marks_too() -> None:
    """In grey as well; the legend has the same marks."""
    many = [Line(name, X[:2], X[:2] + n, points=True) for n, name in enumerate("abcdef")]
    root = drawn(picture(*many))
    paths = [re.sub(r"M[\d.]+,[\d.]+", "M", one.get("d", "")) for one in of_class(root, "line")]
    in_legend, in_picture = paths[:6], paths[6:]
    assert len(set(in_legend)) == 6
    assert in_picture == [2 * one for one in in_legend]


def test_bars_lie_from_start_to_end() -> None:
    bars = Bars(
        (Bar("L_2 → step 2", 0, 80, "+80 %", "blown up"), Bar("rest", 80, 60, "−20 %", "gone"))
    )
    root = drawn(picture(bars, Level("100 %", x=60.0)))
    first, second = of_class(root, "bar")
    start, width = float(first.get("x", 0)), float(first.get("width", 0))
    assert np.isclose(float(second.get("width", 0)), width / 4, atol=0.11)
    assert np.isclose(float(second.get("x", 0)), start + width * 0.75, atol=0.11)
    assert "tone-gone" in (second.get("class") or "")


def test_the_unrolled_net_has_its_nodes_and_arrows() -> None:
    h = [Node(f"h_{t}", float(t), 0.0, words="0.1") for t in range(3)]
    L = Node("L_2", 2.0, 1.0, round=False)
    arrows = (
        Arrow(h[2], h[1], -2.0, "×0.01"),
        Arrow(h[1], h[0], 1.0, "×10"),
        Arrow(L, h[2], np.nan, "?"),
    )
    root = drawn(picture(Graph((*h, L), arrows)))
    assert len(list(root.iter("circle"))) == 3
    gone, blown, unknown = of_class(root, "arrow")
    assert gone.get("class") == "arrow tone-gone"
    assert blown.get("class") == "arrow tone-blown"
    widths = [float(one.get("stroke-width", 0)) for one in (gone, blown, unknown)]
    assert widths[0] < widths[1]
    assert widths[2] == 1.0
    assert points(gone.get("d", ""))[0][0] > points(gone.get("d", ""))[1][0]  # backwards


# ---------------------------------------------------------------------------- maps


def cells(content: bytes) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """The colour numbers of a PNG, read by the rules of the format; every check sum is right."""
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        kind, data = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        (check,) = struct.unpack(">I", content[at + 8 + length : at + 12 + length])
        assert zlib.crc32(kind + data) == check
        chunks[kind] = data
        at += 12 + length
    width, height, depth, kind_of_colour = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (depth, kind_of_colour, len(chunks[b"PLTE"])) == (8, 3, 768)
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert not rows[:, 0].any()
    return rows[:, 1:]


def test_colours_part_at_zero_and_holes_are_empty() -> None:
    z = np.array([[-8.0, -4.0, 0.0, 0.5, 2.0, np.nan, -np.inf]])
    found = cells(png(z, diverging=True))[0]
    assert found[5] == found[6] == 0
    assert [found[0], found[2], found[4]] == [1, 128, 255]
    assert np.isclose(found[1], 64.5, atol=1)
    colours = palette(True)
    assert colours[1] == GONE
    assert colours[128] == KEPT
    assert list(cells(png(np.array([[3.0, 4.0]]), diverging=False))[0]) == [1, 255]


@pytest.mark.parametrize("down", [False, True])
def test_a_map_tells_its_values(down: bool) -> None:
    rng = np.random.default_rng(1)
    z = rng.normal(size=(5, 7)) * 3
    z[0, 3], z[1, 1] = np.nan, -np.inf
    found = Heat("log10 ‖∂L_t/∂h_k‖", np.arange(7.0), np.arange(1.0, 6.0), z)
    root = drawn(picture(found, x=Axis("k of h_k"), y=Axis("t of L_t", down=down)))
    image = next(one for one in root.iter("image") if one.get("data-z"))
    kept = np.frombuffer(b64decode(image.get("data-z", "")), "<i2").reshape(5, 7)
    rows = np.array(image.get("data-y", "").split(), float)
    assert list(rows) == (list(found.y) if down else list(found.y[::-1]))
    values = kept * float(image.get("data-unit", 0))
    expected = z if down else z[::-1]
    known = np.isfinite(expected)
    assert np.abs(values - expected)[known].max() <= 0.005 + 1e-12
    assert set(kept[~known]) == {-32768, -32767}
    assert (kept == -32767).sum() == 1
    shown = cells(b64decode(image.get("href", "").partition(",")[2]))
    assert ((shown == 0) == ~known).all()
    order = np.argsort(expected[known])
    assert (np.diff(shown[known][order].astype(int)) >= 0).all()


def test_a_map_of_named_rows_tells_their_names() -> None:
    names = ("tanh", "<b>")
    found = Heat("rate", X[:3], X[:2], np.eye(2, 3), across=(0.1, 1.0, 10.0), down=names)
    image = next(one for one in drawn(picture(found)).iter("image") if one.get("data-z"))
    assert image.get("data-x", "").split() == ["0.1", "1", "10"]
    assert image.get("data-y", "").split() == ["<b>", "tanh"]


def test_a_choice_draws_its_line_last() -> None:
    lines = [Line(str(i), X, X * i) for i in range(4)]
    found = of_class(drawn(picture(*lines), Choice(("a", "b", "<c>", "d"), 1)), "line")
    assert [one.get("data-at") for one in found] == ["0", "2", "3", "1"]
    assert [one.get("class") for one in found] == ["line faint"] * 3 + ["line on"]
    assert found[1].get("data-words") == "<c>"


def test_without_a_number_nothing_is_drawn_and_the_finding_stays() -> None:
    nothing = picture(
        Region("vanishes", -1, 0, "gone"), Line("a", X, X * np.nan), Level("f", y=1.0)
    )
    root = drawn(nothing)
    assert root.find("svg") is None
    assert of_class(root, "finding")[0].text == nothing.finding
    assert drawn(picture()).find("svg") is None


def test_indices_are_set_below_and_names_stay_as_they_are() -> None:
    assert said("∂L_60/∂h_{t−1}") == "∂L<sub>60</sub>/∂h<sub>t−1</sub>"
    assert said("my_net of W_hh <b>") == "my_net of W<sub>hh</sub> &lt;b&gt;"
    assert said("log10 x") == "log<sub>10</sub> x"
    assert said("catalog10, a_very_long") == "catalog10, a_very_long"


@pytest.mark.parametrize(
    ("words", "small"),
    [
        ("log10 ‖∂L_t/∂h_k‖", "log₁₀ ‖∂Lₜ/∂hₖ‖"),
        ("∂h_t/∂h_{t−1}, L_60, W_xh[0,1]", "∂hₜ/∂hₜ₋₁, L₆₀, Wₓₕ[0,1]"),
        ("1/(γ·σ_max) = 2", "1/(γ·σₘₐₓ) = 2"),
        ("‖∂s_T/∂s_k‖", "‖∂s_T/∂s_k‖"),  # there is no small T, so the k stays beside it
        ("∂L/∂W_hy of my_net_2", "∂L/∂W_hy of my_net_2"),
        ("my_net_t at h_3", "my_net_t at h₃"),
    ],
)
def test_matplotlib_has_the_small_signs_of_unicode(words: str, small: str) -> None:
    assert lowered(words) == small
    if small != words:  # the same indices as in a page, where they are set below
        large = small.translate({ord(to) if isinstance(to, str) else to: of
                                 for of, to in SMALL.items() if of != ord("-")})  # fmt: skip
        assert large == re.sub("</?sub>", "", said(words))
