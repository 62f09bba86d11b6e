"""YAML 1.2 scalars, places, and the texts that are no spec."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rnngrad.errors import SpecError
from rnngrad.files import load, yaml_text
from rnngrad.files.yaml_text import parse

NET = "weights: {W_xh: 1, W_hh: 0.5}\ninputs: [1, 2]\n"
FirstLines = Callable[..., list[str]]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3), ("1e3", 1e3), ("+1.5E+2", 150.0), (".5", 0.5), ("5.", 5.0), ("-0.0", -0.0),
        ("010", 10), ("-7", -7), ("0x1F", 31), ("0o17", 15),
        ("true", True), ("False", False), ("TRUE", True),
        ("null", None), ("~", None), ("Null", None),
        ("no", "no"), ("yes", "yes"), ("on", "on"), ("off", "off"), ("y", "y"),
        ("1_000", "1_000"), ("12:30:45", "12:30:45"), ("2024-01-01", "2024-01-01"),
        ("'1'", "1"), ('"true"', "true"), ("''", ""), ("1e", "1e"), ("0b11", "0b11"),
        (".inf", math.inf), ("-.INF", -math.inf), ("+.Inf", math.inf), ("inf", "inf"),
        ("nan", "nan"), ("9" * 5000, math.inf),
    ],
)  # fmt: skip
def test_scalars_follow_the_core_schema(text: str, value: Any) -> None:
    read = parse(f"[{text}]", "x").data[0]
    assert read == value
    assert type(read) is type(value)


def test_nan_is_a_number() -> None:
    assert all(math.isnan(value) for value in parse("[.nan, .NaN, .NAN]", "x").data)


TEXT = st.text(st.characters(max_codepoint=0xFFFF, exclude_characters="\x7f", codec="utf-8"))
SCALARS = st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | TEXT


@given(
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
        max_leaves=20,
    )
)
def test_json_is_read_as_it_is(data: Any) -> None:
    assert parse(json.dumps(data), "x").data == data


def test_the_pure_python_loader_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a: [1e-3, no, 'x']\nb: &r {c: ~}\nd: *r\n"
    fast = parse(text, "x")
    monkeypatch.setattr(yaml_text, "Loader", yaml.SafeLoader)
    slow = parse(text, "x")
    assert slow.data == fast.data == {"a": [1e-3, "no", "x"], "b": {"c": None}, "d": {"c": None}}
    for path in [("a", 1), ("b", "c"), ("d", "c"), ("d",)]:
        assert slow.place(path) == fast.place(path) is not None


def test_every_piece_has_a_place() -> None:
    document = parse("a:\n  b: [1,\n      [2, 3]]\n", "x")
    assert document.place(("a", "b", 1, 1)) == (2, 10)
    assert document.place(("a", "b", 1)) == (2, 6)
    assert document.place(("a", "b")) == (1, 5)
    assert document.place(("a", "b"), at_key=True) == (1, 2)
    assert document.place(("a", "nothing", 3)) == (0, 0)
    assert document.place(("nothing",)) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "<stdin>: is empty; a spec needs at least weights: and inputs:"),
        (b"# nothing\n", "<stdin>: is empty; a spec needs at least weights: and inputs:"),
        (b"- 1\n", "<stdin>:1:1: the top level is a list; "
         "a spec is a mapping of keys, such as weights: and inputs:"),
        (b"\x89PNG\x00", "<stdin>: is a binary file, not a spec in YAML"),
        (b"a: 1\nname: caf\xe9\n", "<stdin>:2:10: byte 0xe9 is not UTF-8; save the file as UTF-8"),
        (b"a: \x1b[31m\n", "<stdin>:1:4: the character \\x1b is not allowed; remove it"),
        (b"a: 1\n\tb: 2\n", "<stdin>:2:1: a tab cannot indent YAML; use spaces"),
        (b"a: [1, 2\nb: 3\n", "<stdin>:2:2: the list opened on line 1 lacks a ',' or its ']'"),
        (b"a: {b: 1\nc: 3\n", "<stdin>:2:2: the mapping opened on line 1 lacks a ',' or its '}'"),
        (b"a: 'b\nc: 3\n",
         "<stdin>:1:4: the quote opened on line 1 is never closed, or holds a wrong escape"),
        (b"a: b: c\n", "<stdin>:1:5: a ':' cannot stand here; "
         "check this line and the one above, or put the text in quotes"),
        (b"a:\n  b: 1\n c: 2\n", "<stdin>:3:2: this line is indented unlike the keys above it, "
         "or lacks its 'key:'"),
        (b"a: @b\n", "<stdin>:1:4: nothing can start with '@'; put it in quotes"),
        (b"a: !!python/object:os.system x\n",
         "<stdin>:1:4: the tag '!!python/object:os.system' is not allowed; leave it out"),
        (b"a: !x [1]\n", "<stdin>:1:4: the tag '!x' is not allowed; leave it out; "
         "text that starts with ! needs quotes"),
        (b"a: &a [*a]\n", "<stdin>:1:8: *a refers to itself"),
        (b"a: &net 1\nb: *nett\n",
         "<stdin>:2:4: *nett refers to no anchor before it; did you mean 'net'?"),
        (b"a: 1\n---\nb: 1\n",
         "<stdin>:2:1: a second document starts here; a spec is one document"),
        (b"? [1, 2]\n: 3\n",
         "<stdin>:1:3: a key must be a single word, not a list, a mapping or an alias"),
    ],
)  # fmt: skip
def test_what_is_no_spec_is_one_message(first_lines: FirstLines, text: bytes, words: str) -> None:
    assert first_lines(text) == [words]


def test_deep_nesting_is_one_message(first_lines: FirstLines) -> None:
    for bracket in ("[", "{a: ", "- "):
        (words,) = first_lines(bracket * 20_000)
        assert "nested more than 64 deep" in words
        assert len(words) < 200


def test_deep_nesting_by_aliases(first_lines: FirstLines) -> None:
    links = "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 2000))
    (words,) = first_lines("a0: &a0 [1]\n" + links)
    assert words.endswith("aliases nest more than 64 deep")


def test_an_alias_bomb_is_refused(first_lines: FirstLines) -> None:
    levels = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 20))
    (words,) = first_lines("a0: &a0 [1, 2]\n" + levels)
    assert words.endswith("aliases repeat more than 1,000,000 values")


def test_aliases_may_be_used(loaded: Callable[..., Any]) -> None:
    problem = loaded(
        "weights: {W_xh: &w [[1, 2], [3, 4]], W_hh: *w}\ninputs: &x [[1, 2]]\ntargets: *x\n"
    )
    assert (problem.weights["W_hh"] == [[1, 2], [3, 4]]).all()
    assert (problem.targets == problem.x).all()


def test_a_key_given_twice_names_both_places(refused: Callable[..., list[str]]) -> None:
    assert refused("seed: 1\n" + NET + "seed: 2\nname: x\nname: y\nname: z\n") == [
        "<stdin>:4:1: 'seed' is already given on line 1; keep one of them\n  seed: 2\n  ^",
        "<stdin>:6:1: 'name' is already given on line 5; keep one of them\n  name: y\n  ^",
        "<stdin>:7:1: 'name' is already given on line 5; keep one of them\n  name: z\n  ^",
    ]


def test_a_byte_order_mark_and_windows_lines(loaded: Callable[..., Any]) -> None:
    text = ("\ufeff" + NET.replace("\n", "\r\n")).encode()
    assert loaded(text).steps == 2


def _words(path: str) -> str:
    with pytest.raises(SpecError) as caught:
        load(path)
    (words,) = caught.value.mistakes
    return words


def test_what_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.yaml").write_text(NET)
    (tmp_path / "other.txt").write_text(NET)
    assert _words("nett.yaml") == "nett.yaml: no such file; did you mean 'net.yaml'?"
    assert _words("net") == "net: no such file; did you mean 'net.yaml'?"
    assert _words("zzz") == "zzz: no such file"
    assert _words("no/net.yaml") == "no/net.yaml: no such file (nor a folder 'no')"
    assert _words(".") == ".: is a folder, not a file; name the spec inside it"
    assert _words("/dev/zero") == "/dev/zero: is a device, not a file"
    assert _words("a\0b").startswith("a\\x00b: cannot be read: ")  # Python's words
    assert _words("a\x1b[31m.yaml") == "a\\x1b[31m.yaml: no such file"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(NET)
    path.chmod(0)
    assert _words(str(path)).endswith("cannot be read: Permission denied")


def test_a_fifo_is_read_and_names_are_the_stem(tmp_path: Path) -> None:
    path = tmp_path / "a.net.yaml"
    path.write_text(NET)
    assert load(path).name == "a.net"
    end, other = os.pipe()
    with os.fdopen(other, "w") as pipe:
        pipe.write(NET)
    assert load(f"/dev/fd/{end}").steps == 2
    os.close(end)


def test_a_spec_that_is_too_large(first_lines: FirstLines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_text, "LARGEST_SPEC", 70_000)
    assert "is larger than" in first_lines("#" * 70_001)[0]


def test_the_first_of_two_equal_keys_is_kept(first_lines: FirstLines) -> None:
    assert first_lines("seed: x\n" + NET + "seed: [y]\n") == [
        "<stdin>:1:7: seed is 'x', must be a whole number",
        "<stdin>:4:1: 'seed' is already given on line 1; keep one of them",
    ]
