"""Arrays in files, and files that are broken, hostile, or not there."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnngrad.arithmetic.arrays import Array
from rnngrad.errors import SpecError
from rnngrad.files import load
from rnngrad.files.arrays.readers import File, FileError, FileKeyError, load_array

MATRIX = np.array([[1.0, 2.0], [3.0, 4.0]])
Put = Callable[[str, bytes], None]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _W_hh(file: str, **more: str) -> Array:
    weights = {"W_xh": {"init": "zeros"}, "W_hh": {"file": file, **more}}
    return load({"weights": weights, "inputs": [1]}).weights["W_hh"]


def _words(file: str, **more: str) -> str:
    with pytest.raises(SpecError) as caught:
        _W_hh(file, **more)
    (words,) = caught.value.mistakes
    return words


def _npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def _headed(header: str, data: bytes = b"", version: int = 1) -> bytes:
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H", len(text)) + text + data


@pytest.mark.parametrize(
    "array",
    [
        MATRIX, MATRIX.astype("f4"), MATRIX.astype("f2"), MATRIX.astype(">f8"),
        MATRIX.astype("i1"), MATRIX.astype("u8"), np.asfortranarray(MATRIX), MATRIX[::-1, ::-1],
        MATRIX.astype(np.longdouble), MATRIX > 2,
    ],
    ids=lambda array: f"{array.dtype}{array.strides}",
)  # fmt: skip
def test_npy(array: np.ndarray[Any, Any], folder: Path) -> None:
    np.save(folder / "w.npy", array)
    read = _W_hh("w.npy")
    assert read.dtype == np.float64
    assert read.tolist() == array.astype(float).tolist()
    assert not read.flags.writeable


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(save: Callable[..., None], folder: Path) -> None:
    save(folder / "one.npz", w=MATRIX)
    save(folder / "two.npz", w=MATRIX, v=MATRIX.T)
    assert _W_hh("one.npz").tolist() == MATRIX.tolist()
    assert _W_hh("two.npz", key="v").tolist() == MATRIX.T.tolist()
    at = "weights.W_hh.key: W_hh: two.npz has no key "
    assert _words("two.npz", key="ww") == f"{at}'ww'; did you mean 'w'?"
    assert _words("two.npz", key="other") == f"{at}'other'; its keys are w and v"
    assert _words("two.npz") == (
        "weights.W_hh.file: W_hh: two.npz holds 2 arrays, give key: one of w and v"
    )


@pytest.mark.parametrize(
    "text",
    ["1,2\n3,4\n", "a,b\n1,2\n3,4\n", "\ufeff1, 2\r\n\r\n3 ,4", "# of W_hh\n1,2\n# more\n3,4\n",
     '"1","2"\n"3","4"\n'],
)  # fmt: skip
def test_csv(text: str, folder: Path) -> None:
    (folder / "w.csv").write_bytes(text.encode())
    assert _W_hh("w.csv").tolist() == MATRIX.tolist()


def test_a_csv_of_one_column_or_row_is_a_vector(folder: Path) -> None:
    (folder / "column.csv").write_text("1\n2\n")
    (folder / "row.csv").write_text("3,4\n")
    weights = {"W_xh": {"init": "zeros"}, "W_hh": {"init": "zeros"}, "b_h": {"file": "column.csv"}}
    spec = {"weights": weights, "inputs": {"file": "column.csv"}, "h_0": {"file": "row.csv"}}
    problem = load(spec)
    assert problem.weights["b_h"].tolist() == [1, 2]
    assert problem.h_0.tolist() == [3, 4]
    assert problem.x.tolist() == [[1], [2]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,2\n3,abc\n", "w.csv:2:2 is 'abc', must be a number"),
        ("a,b\n1,2\n3,x\n", "w.csv:3:2 is 'x', must be a number"),
        ("1,2\n3\n", "w.csv:2 has 1 cell, must have 2 like the others"),
        ("1,2\n3,\n", "w.csv:2:2 is '', must be a number"),
        ("1 2\n3 4\n", "w.csv:1:1 is '1 2', must be a number; cells are parted by commas"),
        ("1,2\n3,1_0\n", "w.csv:2:2 is '1_0', must be a number"),
        ("a,b\n", "w.csv holds no numbers"),
        ("", "w.csv holds no numbers"),
        ("1," + "2" * 200_000, "w.csv is damaged, or no .csv file: field larger than field limit "
         "(131072)"),
    ],
)  # fmt: skip
def test_bad_cells(text: str, words: str, folder: Path) -> None:
    (folder / "w.csv").write_text(text)
    assert _words("w.csv") == f"weights.W_hh.file: W_hh: {words}"


def test_not_finite(folder: Path) -> None:
    np.save(folder / "w.npy", [[1, 2], [np.nan, np.inf]])
    assert _words("w.npy") == (
        "weights.W_hh: W_hh: the array of 'w.npy' holds nan at [1, 0], counted from 0; "
        "must be finite"
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is damaged, or no .npy file: EOF"),
        (b"not an array at all", "is damaged, or no .npy file: the magic string"),
        (_npy(MATRIX)[:-1], "claims 32 bytes of numbers but holds 31; it is cut short or damaged"),
        (_npy(np.array([{}])), "holds Python objects, which are never unpickled"),
        (_npy(MATRIX * 1j), "holds complex numbers; it must hold real numbers"),
        (_npy(np.array([["a"]])), "holds text; it must hold real numbers"),
        (_npy(np.array([["2024-01-01"]], "M8[D]")), "holds values of type datetime64[D]"),
        (_npy(np.zeros((2, 2), "f8,i4")), "holds values of type"),
        (_headed("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000), }"),
         "claims 7,450.6 GiB; an array may take at most 8 GiB"),
        (_headed("{'descr': '<f8', 'fortran_order': False, 'shape': (20000, 20000), }"),
         "claims 3200000000 bytes of numbers but holds 0; it is cut short or damaged"),
        (_headed("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 2), }"),
         "is damaged, or no .npy file: a negative length"),
        (_headed("{'descr': '<f8', 'fortran_order': False, 'shape': (1e9, 2), }"),
         "is damaged, or no .npy file: shape is not valid"),
        (_headed("(" * 100), "is damaged, or no .npy file"),
        (_headed("__import__('os')"), "is damaged, or no .npy file"),
        (_headed("{}", version=9), "is a .npy file of version (9, 0), must be 1 or 2"),
    ],
)  # fmt: skip
def test_broken_and_hostile_npy(content: bytes, words: str, folder: Path) -> None:
    (folder / "w.npy").write_bytes(content)
    assert _words("w.npy").startswith(f"weights.W_hh.file: W_hh: w.npy {words}")
    with zipfile.ZipFile(folder / "w.npz", "w") as archive:
        archive.writestr("a.npy", content)
    assert _words("w.npz").startswith("weights.W_hh.file: W_hh: w.npz")


def test_a_bomb_of_zeros_is_not_unpacked(folder: Path) -> None:
    np.savez_compressed(folder / "bomb.npz", w=np.zeros((3000, 3000)))
    assert "would unpack to 72000128 bytes from a file of" in _words("bomb.npz")


def test_a_key_that_stands_twice_is_refused(folder: Path) -> None:
    with zipfile.ZipFile(folder / "twice.npz", "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(2):
            archive.writestr("w.npy", _npy(MATRIX))
    assert "twice.npz[w] stands twice in the file" in _words("twice.npz")


def test_broken_npz(folder: Path) -> None:
    np.savez(folder / "whole.npz", w=MATRIX)
    whole = (folder / "whole.npz").read_bytes()
    (folder / "cut.npz").write_bytes(whole[:-30])
    (folder / "none.npz").write_bytes(b"")
    flipped = bytearray(whole)
    flipped[whole.index(struct.pack("<d", 4.0))] ^= 255
    (folder / "flipped.npz").write_bytes(bytes(flipped))
    zipfile.ZipFile(folder / "empty.npz", "w").close()
    damaged = "is damaged, or no .npz file: "
    for name, words in [
        ("cut.npz", f"{damaged}File is not a zip file"),
        ("none.npz", f"{damaged}File is not a zip file"),
        ("flipped.npz", f"{damaged}Bad CRC-32 for file 'w.npy'"),
        ("empty.npz", "holds no arrays"),
    ]:
        assert _words(name) == f"weights.W_hh.file: W_hh: {name} {words}"


def test_files_that_are_not_there(folder: Path) -> None:
    np.save(folder / "w.npy", MATRIX)
    (folder / "folder.npy").mkdir()
    at = "weights.W_hh.file: W_hh: "
    assert _words("v.npy") == f"{at}v.npy: no such file; did you mean 'w.npy'?"
    assert _words("x/w.npy") == f"{at}x/w.npy: no such file (nor a folder 'x')"
    assert _words("folder.npy") == f"{at}folder.npy is a folder, not a file"
    assert _words("w.txt") == f"{at}w.txt is none of .npy, .npz and .csv"
    assert _words("") == f"{at}an empty name is none of .npy, .npz and .csv"
    assert _words("a\0.npy").startswith(f"{at}a\\x00.npy: cannot be read: ")  # Python's words
    assert _words("w.npy", key="w") == (
        "weights.W_hh.key: W_hh: w.npy takes no key; only .npz and models' files have keys"
    )


def test_paths_are_relative_to_the_spec(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = folder / "inner"
    inner.mkdir()
    np.save(inner / "w.npy", MATRIX)
    text = "weights:\n  W_xh: {init: zeros}\n  W_hh: {file: w.npy}\ninputs: [1]\n"
    (inner / "net.yaml").write_text(text)
    assert load("inner/net.yaml").hidden == 2
    with pytest.raises(SpecError, match=r"<stdin>:3:16: W_hh: w\.npy: no such file"):
        load("-", stdin=io.BytesIO(text.encode()))
    monkeypatch.chdir(inner)
    assert load("-", stdin=io.BytesIO(text.encode())).hidden == 2
    assert _W_hh(str(inner / "w.npy")).shape == (2, 2)


@given(data=st.data())
def test_damage_anywhere_is_an_error_or_an_array(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    suffix, whole = data.draw(st.sampled_from(list(WHOLE.items())))
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damage") / f"w{suffix}"
    path.write_bytes(bytes(damaged[: data.draw(st.integers(0, len(whole)))]))
    try:
        words = f"{path.name}: {load_array(File(path.name), path.parent).dtype}"
    except (FileError, FileKeyError) as error:
        words = str(error)
    assert path.name in words


def _npz() -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, w=MATRIX)
    return stream.getvalue()


WHOLE = {".npy": _npy(MATRIX), ".npz": _npz(), ".csv": b"a,b\n1,2\n3,4\n"}
