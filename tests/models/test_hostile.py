"""Damaged and hostile files: whatever the bytes, the answer is a net or one ModelFileError."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tempfile
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles.examples import quarter_of
from rnngrad.files.models import ModelFileError, choose, load_model_array, read_model
from rnngrad.files.models.keras import hdf5_file

FIXTURES = Path(__file__).parent / "fixtures"
GOOD = (FIXTURES / "lstm.safetensors").read_bytes()
KEY = "rnn.weight_hh_l0"


def header() -> dict[str, Any]:
    return json.loads(GOOD[8 : 8 + int.from_bytes(GOOD[:8], "little")])


def rebuilt(found: Any, data: bytes | None = None) -> bytes:
    """A file of this header, over the good file's numbers."""
    text = found if isinstance(found, bytes) else json.dumps(found).encode()
    body = GOOD[8 + int.from_bytes(GOOD[:8], "little") :] if data is None else data
    return len(text).to_bytes(8, "little") + text + body


def changed(part: str, value: Any) -> bytes:
    found = header()
    found[KEY][part] = value
    return rebuilt(found)


def twice() -> bytes:
    text = json.dumps(header())
    return rebuilt((text[:-1] + f', "{KEY}": {json.dumps(header()[KEY])}}}').encode())


OFFSETS = header()[KEY]["data_offsets"]
HOSTILE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "no safetensors file"),
    "short": (GOOD[:5], "no safetensors file"),
    "no header": (GOOD[:8], "no safetensors file"),
    "half a header": (GOOD[:40], "no safetensors file"),
    "half the numbers": (GOOD[: len(GOOD) // 2 + 500], r"\] ends at byte .* it is cut short"),
    "one byte short": (GOOD[:-1], "it is cut short"),
    "one byte long": (GOOD + b"\0", "holds 1 bytes that no array claims"),
    "huge header": (b"\xff" * 8 + GOOD[8:], "claims a header of 18446744073709551615 bytes"),
    "no JSON": (rebuilt(b"{nothing"), "its header is no JSON"),
    "no UTF-8": (rebuilt(b"\xff\xfe"), "its header is no JSON"),
    "nested": (rebuilt(b"[" * 200_000), "its header is no JSON"),
    "huge number": (rebuilt(b"9" * 10_000), "its header is no JSON"),
    "a list": (rebuilt([]), "its header is a list"),
    "a key twice": (twice(), f"the key {KEY} stands twice"),
    "an array that is none": (rebuilt({KEY: 3}), rf"\[{KEY}\] is 3 in the header"),
    "no dtype": (changed("dtype", None), rf"\[{KEY}\] has dtype empty"),
    "dtype of another size": (changed("dtype", "F32"), rf"\[{KEY}\] is .* of F32, 256 bytes, but"),
    "dtype unknown": (changed("dtype", "F99"), rf"\[{KEY}\] is of type F99, which is not read"),
    "negative length": (changed("shape", [-16, -4]), rf"\[{KEY}\] has shape \[-16, -4\]"),
    "fractional length": (changed("shape", [16.0, 4]), rf"\[{KEY}\] has shape"),
    "true for a length": (changed("shape", [True, 64]), rf"\[{KEY}\] has shape"),
    "too long": (changed("shape", [2**40, 2**40]), rf"\[{KEY}\] is \[1099511627776"),
    "too many axes": (changed("shape", [1] * 100), rf"\[{KEY}\] has shape"),
    "no shape": (changed("shape", None), rf"\[{KEY}\] has shape None"),
    "another shape": (changed("shape", [4, 16]), rf"\[{KEY}\] is 4×16, must be H×H"),
    "offsets reversed": (changed("data_offsets", OFFSETS[::-1]), rf"\[{KEY}\] has data_offsets"),
    "negative offset": (changed("data_offsets", [-512, 0]), rf"\[{KEY}\] has data_offsets"),
    "one offset": (changed("data_offsets", OFFSETS[:1]), rf"\[{KEY}\] has data_offsets"),
    "offsets beyond": (changed("data_offsets", [10**6, 10**6 + 512]), "begins at byte .* damaged"),
    "overlapping": (
        changed("data_offsets", [OFFSETS[0] - 8, OFFSETS[1] - 8]),
        r"\] begins at byte .* must begin at",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_safetensors(tmp_path: Path, name: str) -> None:
    data, words = HOSTILE[name]
    path = tmp_path / "net.safetensors"
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match=words) as caught:
        choose(read_model(path), None)
    assert str(caught.value).startswith("net.safetensors")
    assert str(caught.value).isprintable()


def answers(data: bytes, suffix: str = ".safetensors") -> None:
    """A net, or a ModelFileError in one printable line: never another exception."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"net{suffix}"
        path.write_bytes(data)
        words = "a net"
        try:
            found = read_model(path)
            net = choose(found, None)
            assert all(np.isfinite(p).all() for p in net.layers[0].parameters.values())
            load_model_array(path, found.keys[0])
        except ModelFileError as error:
            words = str(error)
        assert words
        assert words.isprintable()


BYTES = st.binary(max_size=12)


@settings(max_examples=quarter_of(400))
@given(st.lists(st.tuples(st.integers(0, len(GOOD)), BYTES, st.integers(0, 12)), max_size=4))
def test_mutated_bytes(changes: list[tuple[int, bytes, int]]) -> None:
    data = GOOD
    for at, piece, instead in changes:
        data = data[:at] + piece + data[at + instead :]
    answers(data)


@settings(max_examples=200)
@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    answers(data)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5)
    | st.sampled_from(["F64", "F32", "BF16", "BOOL", "F8_E4M3", 0, 4, 16, 64, 512]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)  # fmt: skip
KEYS = st.sampled_from(
    ["rnn.weight_hh_l0", "rnn.weight_ih_l0", "rnn.bias_ih_l0", "fc.weight", "__metadata__", "a\nb"]
)
PARTS = st.sampled_from(["dtype", "shape", "data_offsets", "more"])


@settings(max_examples=quarter_of(150))
@given(st.lists(st.tuples(KEYS, PARTS, VALUES, st.booleans()), max_size=4))
def test_mutated_headers(changes: list[tuple[str, str, Any, bool]]) -> None:
    found = header()
    for key, part, value, whole in changes:
        if whole or not isinstance(found.get(key), dict):
            found[key] = value
        else:
            found[key][part] = value
    answers(rebuilt(found))


def npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


NPZ = npz(w_ih=np.ones((12, 3)), w_hh=np.ones((12, 4)))


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, len(NPZ)), BYTES, st.integers(0, 12)), max_size=4))
def test_mutated_npz(changes: list[tuple[int, bytes, int]]) -> None:
    data = NPZ
    for at, piece, instead in changes:
        data = data[:at] + piece + data[at + instead :]
    answers(data, ".npz")


def bomb(shape: tuple[int, ...]) -> bytes:
    """A .npz of zeros, deflated: about a thousandth of what it unpacks to."""
    stream = io.BytesIO()
    np.savez_compressed(stream, w_ih=np.zeros(shape), w_hh=np.ones((12, 4)))
    return stream.getvalue()


def lying() -> bytes:
    """A member whose .npy header claims a TiB over a few bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        head = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            head, {"descr": "<f8", "fortran_order": False, "shape": (12, 2**33)}
        )
        archive.writestr("w_ih.npy", head.getvalue() + bytes(64))
        full = io.BytesIO()
        np.save(full, np.ones((12, 4)))
        archive.writestr("w_hh.npy", full.getvalue())
    return stream.getvalue()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: bomb((12, 2**20)), r"net.npz\[w_ih\] would unpack to \d+ bytes from a file of"),
        (lying, r"net.npz\[w_ih\] claims 768.0 GiB"),
        (
            lambda: npz(w_ih=np.array([["a"]], dtype=object), w_hh=np.ones((12, 4))),
            r"net.npz\[w_ih\]",
        ),
        (lambda: npz(w_ih=np.ones((12, 3), dtype=complex), w_hh=np.ones((12, 4))), "complex"),
        (lambda: NPZ[:200], "net.npz is damaged"),
    ],
)
def test_hostile_npz(tmp_path: Path, make: Callable[[], bytes], words: str) -> None:
    path = tmp_path / "net.npz"
    path.write_bytes(make())
    with pytest.raises(ModelFileError, match=words):
        choose(read_model(path), None)


def test_no_more_is_read_than_is_asked_for(tmp_path: Path) -> None:
    """A net of a few KB beside an embedding of 64 MiB: the memory taken stays far below."""
    large = 2**26
    entries = {"rnn.weight_ih_l0": [4, 3], "rnn.weight_hh_l0": [4, 4], "big.weight": [2**20, 16]}
    at, found = 0, {}
    for key, shape in entries.items():
        size = 4 * shape[0] * shape[1]
        found[key] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    path = tmp_path / "net.safetensors"
    path.write_bytes(rebuilt(found, bytes(at)))
    assert path.stat().st_size > large
    tracemalloc.start()
    choose(read_model(path), None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < large / 16


def test_any_number_of_keys_is_answered_at_once(tmp_path: Path) -> None:
    """Thirty thousand nets, the last key given twice, and no net among as many keys."""
    path = tmp_path / "net.safetensors"
    empty = {"dtype": "F32", "shape": [0, 0], "data_offsets": [0, 0]}
    keys = [f"{k}.weight_hh" for k in range(30_000)]
    path.write_bytes(rebuilt(dict.fromkeys(keys, empty), b""))
    started = time.perf_counter()
    for prefix in (None, "x."):
        with pytest.raises(ModelFileError, match=r"net\.safetensors"):
            choose(read_model(path), prefix)
    text = json.dumps(dict.fromkeys(keys, empty))
    path.write_bytes(rebuilt((text[:-1] + f', "{keys[-1]}": 1}}').encode(), b""))
    with pytest.raises(ModelFileError, match=r"the key 29999.weight_hh stands twice"):
        read_model(path)
    path.write_bytes(rebuilt(dict.fromkeys((f"{k}" for k in range(30_000)), empty), b""))
    with pytest.raises(ModelFileError, match=r"its keys are '0', '1'.* and 29980 more"):
        choose(read_model(path), None)
    assert time.perf_counter() - started < 60  # minutes, where a step is quadratic


@pytest.mark.parametrize("name", ["net", "net.weights"])
def test_a_file_is_known_by_its_first_bytes(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    hdf5 = io.BytesIO()
    with h5py.File(hdf5, "w") as file:
        for part, shape in (("kernel", (3, 16)), ("recurrent_kernel", (4, 16))):
            file[f"lstm/{part}:0"] = np.ones(shape)
    for data, layout in ((GOOD, "torch"), (NPZ, "torch"), (hdf5.getvalue(), "keras")):
        path.write_bytes(data)
        assert read_model(path).layout == layout
    path.write_bytes(b"something else")
    with pytest.raises(ModelFileError, match=rf"{name}: a trained model's file must end in"):
        read_model(path)


@pytest.mark.parametrize(
    ("package", "suffix"), [("h5py", ".h5"), ("onnx", ".onnx"), ("msgpack", ".msgpack")]
)
def test_a_missing_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, suffix: str
) -> None:
    path = tmp_path / f"net{suffix}"
    path.write_bytes(b"\x89HDF\r\n\x1a\n")
    monkeypatch.setitem(sys.modules, package, None)
    words = rf"net{suffix} needs the package {package}: pip install 'rnngrad\[models\]'"
    with pytest.raises(ModelFileError, match=words):
        read_model(path)


def test_pytorchs_files_need_no_package() -> None:
    code = (
        "import sys; "
        "sys.modules.update(dict.fromkeys(('h5py', 'onnx', 'msgpack', 'torch', 'safetensors')));"
        "from pathlib import Path; from rnngrad.files.models import read_model;"
        f"assert read_model(Path({str(FIXTURES / 'lstm.safetensors')!r})).recurrent"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


FLAX = (FIXTURES / "named" / "linen_lstm.msgpack").read_bytes()


def of_flax(*arrays: Any, code: int = 1) -> bytes:
    """A mapping with one array of these parts, under the key w."""
    payload = msgpack.packb(arrays, use_bin_type=True)
    return msgpack.packb({"w": msgpack.ExtType(code, payload)}, use_bin_type=True)


EIGHT = bytes(8)
HOSTILE_FLAX: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "damaged, or no file of flax.serialization"),
    "half": (FLAX[: len(FLAX) // 2], "damaged, or no file of flax.serialization"),
    "more": (FLAX + b"\0", "damaged, or no file of flax.serialization: unpack"),
    "a list": (msgpack.packb([1, 2]), "must be a mapping of arrays"),
    "a key twice": (b"\x82\xa1w\x01\xa1w\x02", "the key w stands twice"),
    "a joined key twice": (
        msgpack.packb({"a/b": msgpack.ExtType(1, msgpack.packb(([1], "float64", EIGHT))),
                       "a": {"b": msgpack.ExtType(1, msgpack.packb(([1], "float64", EIGHT)))}}),
        r"\[a/b\] stands twice"),
    "another length": (of_flax([2], "float64", EIGHT), r"\[w\] is \[2\] of float64, 16 bytes, but "
                       "has 8"),
    "a negative length": (of_flax([-1], "float64", EIGHT), "not its shape, its type and its bytes"),
    "no bytes": (of_flax([1], "float64", "text"), "not its shape, its type and its bytes"),
    "two parts": (of_flax([1], "float64"), "not its shape, its type and its bytes"),
    "a shape that is true": (of_flax([True], "float64", EIGHT), "not its shape"),
    "nested": (b"\x81\xa1w" * 900 + b"\xc0", "nested more than 64 deep|damaged"),
    "nested beyond the package": (b"\x81\xa1w" * 20_000 + b"\xc0", "damaged"),
    "claims many keys": (b"\xdf\xff\xff\xff\xff" + bytes(100), "damaged"),
    "nested claims": (b"\xdd\x00\x0f\x00\x00" * 1000 + bytes(2**20), "damaged"),
    "chunks of two types": (
        msgpack.packb({"w": {"__msgpack_chunked_array__": True, "shape": {"0": 2},
                             "chunks": {"0": msgpack.ExtType(1, msgpack.packb(
                                 ([1], "float64", EIGHT))), "1": 3}}}),
        "not a shape and its chunks"),
}  # fmt: skip


@pytest.mark.cases(None)
@pytest.mark.parametrize("name", HOSTILE_FLAX)
def test_hostile_msgpack(tmp_path: Path, name: str) -> None:
    data, words = HOSTILE_FLAX[name]
    path = tmp_path / "m.msgpack"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(ModelFileError, match=words):
            read_model(path)
        assert tracemalloc.get_traced_memory()[1] < 2**25 + 20 * len(data)
    finally:
        tracemalloc.stop()


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, len(FLAX)), BYTES, st.integers(0, 12)), max_size=4))
def test_mutated_msgpack(changes: list[tuple[int, bytes, int]]) -> None:
    data = FLAX
    for at, put, over in changes:
        data = data[:at] + put + data[at + over :]
    answers(data, ".msgpack")


def test_a_byte_that_crashes_the_hdf5_library(tmp_path: Path) -> None:
    """A layer's name, a string of variable length, called a sequence of something else: HDF5 2.0.0
    dies of it, and takes the process with it that reads the file."""
    path = tmp_path / "net.h5"
    with h5py.File(path, "w") as file:
        file.create_group("lstm").attrs["name"] = "lstm_cell"
        file["lstm/kernel:0"], file["lstm/recurrent_kernel:0"] = np.ones((3, 16)), np.ones((4, 16))
    data = bytearray(path.read_bytes())
    data[data.index(b"name\0\0\0\0\x19\x01") + 9] ^= 0xFF
    path.write_bytes(data)
    answers(bytes(data), ".h5")


@pytest.mark.parametrize("ending", ["os.kill(os.getpid(), 11)", "os._exit(3)", "time.sleep(60)"])
def test_whatever_does_not_end_well_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    path = tmp_path / "net.h5"
    with h5py.File(path, "w") as file:
        file["kernel"] = 1.0
    monkeypatch.setattr(hdf5_file, "SCRIPT", f"import os, time\n{ending}")
    monkeypatch.setattr(hdf5_file, "SECONDS", 2)
    with pytest.raises(ModelFileError, match=r"net\.h5 crashes the HDF5 library"):
        read_model(path)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(GOOD)
    (tmp_path / "folder.npz").mkdir()
    cases = {
        "modle.safetensors": r"no such file; did you mean 'model.safetensors'\?",
        "folder.npz": "is a folder",
        "model.txt": "must end in .safetensors, .json, .npz",
    }
    for name, words in cases.items():
        with pytest.raises(ModelFileError, match=words) as caught:
            read_model(tmp_path / name)
        assert str(caught.value).startswith(name)
    with pytest.raises(ModelFileError, match=r"layout is 'torhc', must be .* mean 'torch'"):
        read_model(tmp_path / "model.safetensors", "torhc")
    with pytest.raises(ModelFileError, match=r"layout keras must end in .keras, .h5 or .hdf5"):
        read_model(tmp_path / "model.safetensors", "keras")
