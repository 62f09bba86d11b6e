"""Texts in any Unicode encoding with its mark, and pipes, devices and folders in place of files."""

from __future__ import annotations

import codecs
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from rnngrad.cli.checks.options import CheckOptions
from rnngrad.cli.checks.separate import FaultError
from rnngrad.cli.checks.student import Student
from rnngrad.errors import SpecError, UsageError
from rnngrad.files import load
from rnngrad.files.arrays.readers import File, FileError, load_array
from rnngrad.files.models import ModelFileError, read_model
from rnngrad.files.opening import WAIT, NoFileError, contents, encoding_of
from rnngrad.files.submitted.answers import read_answers
from rnngrad.files.submitted.gradients import read_gradients

SPEC = "name: ∂é\nweights: {W_xh: 1, W_hh: 0.5}\ninputs: [1, 2]\n"
MARKED = {
    "utf-8": codecs.BOM_UTF8 + SPEC.encode(),
    "utf-16-le": codecs.BOM_UTF16_LE + SPEC.encode("utf-16-le"),
    "utf-16-be": codecs.BOM_UTF16_BE + SPEC.encode("utf-16-be"),
    "utf-32-le": codecs.BOM_UTF32_LE + SPEC.encode("utf-32-le"),
    "utf-32-be": codecs.BOM_UTF32_BE + SPEC.encode("utf-32-be"),
}
MARKS = {name: data[: len(data) - len(SPEC.encode(name))] for name, data in MARKED.items()}


@pytest.fixture(params=list(MARKED))
def encoding(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def _put(path: Path, text: str, encoding: str) -> str:
    path.write_bytes(MARKS[encoding] + text.encode(encoding))
    return str(path)


def test_a_mark_tells_the_encoding(encoding: str) -> None:
    assert MARKED[encoding].decode(encoding_of(MARKED[encoding])) == SPEC


def test_a_spec(tmp_path: Path, encoding: str) -> None:
    assert load(_put(tmp_path / "net.yaml", SPEC, encoding)).name == "∂é"


def test_a_spec_on_standard_input(encoding: str) -> None:
    import io

    assert load("-", stdin=io.BytesIO(MARKED[encoding])).name == "∂é"


def test_answers(tmp_path: Path, encoding: str) -> None:
    path = _put(tmp_path / "a.yaml", "name: Zoë\na1: ∂L_3/∂y_3\n", encoding)
    file = read_answers(path, ["a1"])
    assert file.answers == {"a1": "∂L_3/∂y_3"}
    assert file.document.data["name"] == "Zoë"


@pytest.mark.parametrize("name", ["g.json", "g.yaml"])
def test_gradients(tmp_path: Path, encoding: str, name: str) -> None:
    path = _put(tmp_path / name, '{"dL_dW_hh": [[0.25]]}', encoding)
    np.testing.assert_array_equal(read_gradients(path).arrays["dL_dW_hh"].values, [[0.25]])


def test_csv(tmp_path: Path, encoding: str) -> None:
    _put(tmp_path / "x.csv", "α,β\n1,2\n3,4\n", encoding)
    np.testing.assert_array_equal(load_array(File("x.csv"), tmp_path), [[1, 2], [3, 4]])


def _answer(source: str) -> dict[str, np.ndarray]:
    """What a function returns for a net with W_hh = 0.5."""
    with Student(source, CheckOptions()) as student:
        student.load()
        student.ask([load({"weights": {"W_xh": 1, "W_hh": 0.5}, "inputs": [1]})])
        return dict(student.answer().arrays)


def test_a_students_function(tmp_path: Path, encoding: str) -> None:
    source = "# Zoë\ndef f(weights, inputs, targets, h_0):\n    return {'é': weights['W_hh']}\n"
    path = _put(tmp_path / "s.py", source.replace("é", "w"), encoding)
    np.testing.assert_array_equal(_answer(f"{path}:f")["w"], [[0.5]])


def test_a_students_file_in_another_declared_encoding(tmp_path: Path) -> None:
    path = tmp_path / "s.py"
    path.write_bytes(b"# coding: latin-1\ndef f(*a):\n    return {'w': float(ord('\xe9'))}\n")
    assert float(_answer(f"{path}:f")["w"]) == 0xE9


def test_text_that_is_cut_short(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_bytes(MARKED["utf-16-le"][:-1])
    with pytest.raises(SpecError, match=r"net.yaml:3:15: byte 0x0a is not UTF-16; save"):
        load(tmp_path / "net.yaml")
    (tmp_path / "s.py").write_bytes(codecs.BOM_UTF16_LE + b"a\0b")
    with pytest.raises(FaultError, match="utf-16"):
        _answer(f"{tmp_path / 's.py'}:f")


# ---------------------------------------------------------------------------- no files

READERS = {
    "net.yaml": (lambda path: load(path), SpecError),
    "a.yaml": (lambda path: read_answers(path, ["a1"]), SpecError),
    "g.json": (read_gradients, SpecError),
    "g.npz": (read_gradients, SpecError),
    "s.py": (lambda path: _answer(f"{path}:f"), UsageError),
    "x.npy": (lambda path: load_array(File(path), Path()), FileError),
    "x.npz": (lambda path: load_array(File(path), Path()), FileError),
    "x.csv": (lambda path: load_array(File(path), Path()), FileError),
    "m.safetensors": (lambda path: read_model(Path(path)), ModelFileError),
    "m.h5": (lambda path: read_model(Path(path)), ModelFileError),
    "m.onnx": (lambda path: read_model(Path(path)), ModelFileError),
    "m": (lambda path: read_model(Path(path)), ModelFileError),
}


@pytest.mark.parametrize("name", list(READERS))
@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_what_is_no_file_is_told_at_once(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / name
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    read, error = READERS[name]
    start = time.monotonic()
    with pytest.raises(error) as caught:
        read(str(path))
    assert time.monotonic() - start < WAIT + 1.5
    assert kind in str(caught.value) or name == "m"
    assert "no such file" not in str(caught.value)


def test_a_pipe_with_a_writer_is_read(tmp_path: Path) -> None:
    """One that comes a little late, writes more than a pipe holds, and is slow at that."""
    path = tmp_path / "net.yaml"
    os.mkfifo(path)
    text = SPEC + "#" * 200_000 + "\n"

    def write() -> None:
        time.sleep(WAIT / 4)
        with path.open("w") as pipe:
            time.sleep(WAIT * 1.2)
            pipe.write(text)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert load(path).name == "∂é"
    finally:
        writer.join()


def test_an_unnamed_pipe_is_read_to_its_end() -> None:
    """As the shell's <(…) gives it: /dev/fd/63."""
    for data in (b"a: 1\n", b""):
        readable, writable = os.pipe()
        os.write(writable, data)
        os.close(writable)
        try:
            assert contents(f"/dev/fd/{readable}", 100) == data
        finally:
            os.close(readable)


def test_no_more_than_asked_is_read(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bytes(100_000))
    assert len(contents(str(tmp_path / "x"), 70_000)) == 70_000
    os.mkfifo(tmp_path / "p")
    with pytest.raises(NoFileError, match="nobody writes"):
        contents(str(tmp_path / "p"), 10)
