"""Fuzzing, guided by coverage, of whatever reads what a user brings: with Atheris (libFuzzer).

    python .ci/fuzz.py                           all targets, a minute together, as CI does
    python .ci/fuzz.py yaml onnx --seconds 3600  an hour each
    python .ci/fuzz.py --corpus DIR --record     goes on with a corpus; docs/stress/fuzzing.json

    pip install -e '.[fuzz]'                     what it needs

A target must end with a result or with the error that its reader documents: whatever else comes out
of it is a finding, so is a second of CPU time per kilobyte, and memory of more than ten times the
input, beside what the libraries themselves take (``FREE``). A finding's input is kept in
``DIR/found/TARGET``; once mended it goes to ``.ci/fuzz_seeds/TARGET``, which every run starts from
and which ``tests/test_fuzz_seeds.py`` runs without Atheris.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

ROOT = Path(__file__).resolve().parent.parent
SEEDS = ROOT / ".ci" / "fuzz_seeds"
FIXTURES = ROOT / "tests" / "models" / "fixtures"
MODULES = ("rnngrad", "yaml", "zipfile", "csv")

SECONDS_PER_KIB = 1.0
TIMES_THE_INPUT = 10
FREE = 8 * 2**20
"""Bytes that a reader may take whatever the input: modules that it imports, tables, buffers."""
MEASURED = 8
"""One input in so many has its memory measured, which takes time."""


class Target(NamedTuple):
    """``prepare`` imports what is fuzzed and gives the function of the bytes; ``seeds`` what it
    starts from; ``words`` what libFuzzer puts in; inputs are ``longest`` bytes at most."""

    what: str
    prepare: Callable[[], Callable[[bytes], object]]
    seeds: Callable[[], Iterator[bytes]]
    words: tuple[str, ...] = ()
    longest: int = 4096


# ---------------------------------------------------------------------------- readers


def _yaml() -> Callable[[bytes], object]:
    from rnngrad.errors import SpecError
    from rnngrad.files.yaml_text import read

    def run(data: bytes) -> None:
        try:
            read("-", io.BytesIO(data))
        except SpecError as error:
            _words(*error.mistakes)

    return run


def _spec() -> Callable[[bytes], object]:
    import rnngrad
    from rnngrad.errors import SpecError
    from rnngrad.files.arrays import drawing

    def run(data: bytes) -> None:
        try:
            with patch.object(drawing, "LARGEST_ARRAY", 2**20):  # what is drawn was asked for
                rnngrad.load("-", stdin=io.BytesIO(data))
        except SpecError as error:
            _words(*error.mistakes)

    return run


def _cell() -> Callable[[bytes], object]:
    from rnngrad.algebra.equations import CellMistakesError, read_cell
    from rnngrad.algebra.step_graph import step_of

    def run(data: bytes) -> None:
        lines = data.decode("utf-8", "replace").split("\n")
        state = ("h", "c") if len(lines) > 1 else ("h",)
        try:
            step_of(read_cell("fuzzed", lines, state))
        except CellMistakesError as error:
            _words(*(mistake.message for mistake in error.mistakes))

    return run


def _formula() -> Callable[[bytes], object]:
    from rnngrad.algebra.expressions import FormulaError
    from rnngrad.algebra.grammar import parse
    from rnngrad.algebra.writing import written

    def run(data: bytes) -> None:
        try:
            sides = parse(data.decode("utf-8", "replace"))
        except FormulaError as error:
            _words(str(error))
            return
        for side in sides:
            written(side)

    return run


def _answers() -> Callable[[bytes], object]:
    import rnngrad
    from rnngrad.analyses.grading.grade import Grader

    net = {"weights": {"W_xh": 0.5, "W_hh": 0.8, "b_h": 0.1, "W_hy": 0.7, "b_y": 0.2}}
    steps = {"inputs": [1, -0.5, 0.3], "targets": [0.2, 0.4, -0.1]}
    problem = rnngrad.load({**net, **steps})
    graders = [Grader(problem), Grader(problem, hide=True)]

    def run(data: bytes) -> None:
        tasks = list(graders[0].tasks)
        if not data:
            return
        text = data[1:].decode("utf-8", "replace")
        grade = graders[data[0] & 1].one(tasks[(data[0] >> 1) % len(tasks)], text)
        _words(grade.hint or "right")

    return run


def _scales() -> Callable[[bytes], object]:
    from rnngrad.analyses.sweep.scales import points_in, scales_of
    from rnngrad.errors import UsageError

    def run(data: bytes) -> None:
        text = data.decode("utf-8", "replace")
        try:
            if points_in(text) < 10_000:  # more are so many as were asked for
                scales_of(text)
        except UsageError as error:
            str(error)

    return run


def _array(suffix: str) -> Callable[[], Callable[[bytes], object]]:
    """Of a file of arrays; the first byte says whether .npz is raw, or a sound zip around."""

    def prepare() -> Callable[[bytes], object]:
        from rnngrad.files.arrays.readers import File, FileError, FileKeyError, load_array

        folder = _folder()

        def run(data: bytes) -> None:
            content = _zipped(data) if suffix == ".npz" else data
            (folder / f"x{suffix}").write_bytes(content)
            for key in (None, "a") if suffix == ".npz" else (None,):
                try:
                    load_array(File(f"x{suffix}", key), folder)
                except (FileError, FileKeyError) as error:
                    _words(str(error))

        return run

    return prepare


def _model(*suffixes: str) -> Callable[[], Callable[[bytes], object]]:
    """Of a trained model's file: its nets, and its arrays one by one."""

    def prepare() -> Callable[[bytes], object]:
        from rnngrad.files.models import ModelFileError, choose, load_model_array, read_model
        from rnngrad.files.models.keras import hdf5_file

        folder = _folder()

        def one(path: Path) -> None:
            try:
                found = read_model(path)
                choose(found)
            except ModelFileError as error:
                _words(str(error))
            for key in (None, "rnn.weight_hh_l0", "W"):
                try:
                    load_model_array(path, key)
                except ModelFileError as error:
                    _words(str(error))

        def run(data: bytes) -> None:
            for suffix in suffixes:
                path = folder / f"net{suffix}"
                path.write_bytes(ASSEMBLED.get(suffix, bytes)(data))
                with patch.object(hdf5_file, "_ends_well", _ends_well):
                    one(path)

        return run

    return prepare


def _ends_well(path: Path, limit: int, *_: int) -> bool:
    """The rehearsal of HDF5's library as rnngrad has it, in a fork: a new Python takes 0.5 s."""
    from rnngrad.files.models.keras.hdf5_file import SCRIPT

    child = os.fork()
    if not child:
        signal.alarm(60)
        sys.argv = ["", str(path), str(limit)]
        try:
            exec(SCRIPT, {})
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def _folder() -> Path:
    """A new folder, in memory where that can be had: a disk is ten times as slow."""
    memory = Path("/dev/shm")
    return Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))


def _zipped(data: bytes) -> bytes:
    """Raw for an odd first byte, else a zip file whose one member is the rest."""
    if not data or data[0] & 1:
        return data[1:]
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(zipfile.ZipInfo("a.npy"), data[1:])
    return stream.getvalue()


def _headed(data: bytes) -> bytes:
    """Raw for an odd first byte, else a header of the right length, and 256 bytes of numbers."""
    if not data or data[0] & 1:
        return data[1:]
    return (len(data) - 1).to_bytes(8, "little") + data[1:] + bytes(256)


def _configured(data: bytes) -> bytes:
    """Raw for an odd first byte, else a .keras whose config.json is the rest."""
    if not data or data[0] & 1:
        return data[1:]
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(zipfile.ZipInfo("config.json"), data[1:])
        archive.writestr(zipfile.ZipInfo("model.weights.h5"), _of_keras())
    return stream.getvalue()


ASSEMBLED: dict[str, Callable[[bytes], bytes]] = {
    ".npz": _zipped,
    ".safetensors": _headed,
    ".keras": _configured,
}


def _words(*said: str) -> None:
    """What is said must be something, in letters that a terminal shows."""
    for text in said or ("",):
        if not text or not all(line.isprintable() for line in text.split("\n")):
            raise FindingError(f"not printable: {text!r}")


# ---------------------------------------------------------------------------- seeds


def _texts(*names: str) -> Callable[[], Iterator[bytes]]:
    return lambda: (path.read_bytes() for name in names for path in sorted(ROOT.glob(name)))


def _lines(*lines: str) -> Callable[[], Iterator[bytes]]:
    return lambda: (line.encode() for line in lines)


def _of_cells() -> Iterator[bytes]:
    import yaml

    for path in sorted((ROOT / "rnngrad" / "cells").glob("*.yaml")):
        equations = yaml.safe_load(path.read_text(encoding="utf-8"))["cell"]["equations"]
        yield "\n".join(equations).encode()


def _of_answers() -> Iterator[bytes]:
    import yaml

    text = (ROOT / "sample_configs" / "answers" / "exercise_sheet_7.yaml").read_text("utf-8")
    for number, answer in enumerate(yaml.safe_load(text).values()):
        yield bytes([2 * number]) + str(answer).encode()


def _npy(*values: Any) -> bytes:
    import numpy as np

    stream = io.BytesIO()
    np.save(stream, np.array(values, dtype=np.float32))
    return stream.getvalue()


def _npz_seeds() -> Iterator[bytes]:
    yield b"\0" + _npy(1, 2)
    for path in sorted((FIXTURES / "named").glob("*_rnn.npz")):
        yield b"\1" + path.read_bytes()


def _safetensors_seeds() -> Iterator[bytes]:
    for name in ("rnn", "gru_2", "lstm_projected", "lstm_weight_norm", "gru_bfloat16"):
        data = (FIXTURES / f"{name}.safetensors").read_bytes()
        yield b"\1" + data
        yield b"\0" + data[8 : 8 + int.from_bytes(data[:8], "little")]


def _of_keras() -> bytes:
    """A small file of weights as Keras 3 writes them."""
    if not _KERAS:
        import h5py
        import numpy as np

        stream = io.BytesIO()
        with h5py.File(stream, "w") as file:
            variables = file.create_group("layers/lstm/cell/vars")
            for name, shape in (("0", (2, 8)), ("1", (2, 8)), ("2", (8,))):
                variables[name] = np.ones(shape, np.float32)
        _KERAS.append(stream.getvalue())
    return _KERAS[0]


_KERAS: list[bytes] = []
_CONFIGURATION = {
    "class_name": "Sequential",
    "config": {
        "layers": [
            {
                "class_name": "LSTM",
                "config": {
                    "name": "lstm", "units": 2, "activation": "tanh", "use_bias": True,
                    "recurrent_activation": "sigmoid", "go_backwards": False,
                },
            },
            {"class_name": "Dense", "config": {"name": "dense", "units": 1}},
        ]
    },
}  # fmt: skip


def _keras_seeds() -> Iterator[bytes]:
    yield b"\0" + json.dumps(_CONFIGURATION).encode()
    yield b"\1" + _configured(b"\0" + json.dumps(_CONFIGURATION).encode())


def _hdf5_seeds() -> Iterator[bytes]:
    yield _of_keras()


def _pickles() -> Iterator[bytes]:
    import pickle

    yield pickle.dumps({"weight_hh_l0": [1.0]}, 2)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(zipfile.ZipInfo("archive/data.pkl"), pickle.dumps({"w": 1}, 2))
    yield stream.getvalue()
    yield _of_keras()
    yield (FIXTURES / "rnn.safetensors").read_bytes()


_KEYS = (
    "cell: ", "weights: ", "inputs: ", "targets: ", "W_hh: ", "W_xh: ", "init: ", "random: ",
    "steps: ", "file: ", "&a ", "*a", "<<: ", "!!", "? ", "- ", "[", "]", "{", "}", "|\n", ">\n",
    "\n", "---\n", "...\n", "%YAML", "1e-3", ".inf", "0x", "0o7", "~", "'", '\\"', "#", ": ",
    "\t", "layers: ", "equations: ", "batch: first", "sizes: ", "seed: ", "loss: ", "upstream: ",
    "lengths: ",
)  # fmt: skip
_SIGNS = (
    "h_t", "h_{t-1}", "x_t", "W_hh", "b_h", "tanh(", "σ(", "relu(", "\\frac{", "\\partial", "∂",
    "Σ_{k=1..3}", "∏_{k=2..t}", "\\left(", "\\right)", "∘", "⊙", "·", "@", "^T", "ᵀ", "^2", "'",
    "=", "(", ")", "[t-1]", "{", "}", "\\sum_{k=1}^{t}", "L_t", "y_t", "dL/dW",
    "\\operatorname{diag}", "1/2", "e^{", "\\\\", "&", "exp(", "log(", "sqrt(", "softplus(", "²",
    "₋₁", "ₜ", "(1 - ", "\\tag{1}", "(32)",
)  # fmt: skip

TARGETS: dict[str, Target] = {
    "yaml": Target("YAML reader", _yaml, _texts("sample_configs/*.yaml"), _KEYS, 2048),
    "spec": Target("spec reader", _spec, _texts("sample_configs/*.yaml"), _KEYS, 2048),
    "cell": Target("equations of a cell", _cell, _of_cells, _SIGNS, 1024),
    "formula": Target(
        "formulas of answers",
        _formula,
        lambda: (answer[1:] for answer in _of_answers()),
        _SIGNS,
        1024,
    ),
    "answers": Target("grading of answers", _answers, _of_answers, _SIGNS, 256),
    "scales": Target(
        "ranges of --whh-scale",
        _scales,
        _lines("0.5,1,2", "0.1:4:40", "0.01:100:41:log", "1e308:1.5e308:3", "-1,0,1"),
        (":log", ":", ",", "e308", "inf", "nan", "_", "٣", "²", "0x1p3"),
        256,
    ),
    "csv": Target(".csv", _array(".csv"), _texts("sample_configs/copy/*.csv"), ("\n", ",", '"')),
    "npy": Target(".npy", _array(".npy"), lambda: iter([_npy(1), _npy([1, 2], [3, 4])])),
    "npz": Target(".npz", _model(".npz"), _npz_seeds, (".npy", "kernel", "'shape'"), 8192),
    "safetensors": Target(
        ".safetensors",
        _model(".safetensors"),
        _safetensors_seeds,
        ('\\"F32\\"', '\\"data_offsets\\"', '\\"shape\\"', "weight_hh_l0", "weight_ih_l0", "["),
        8192,
    ),
    "onnx": Target(
        ".onnx", _model(".onnx"), _texts("tests/models/fixtures/*.onnx"), ("LSTM", "GRU"), 16384
    ),
    "hdf5": Target(".h5", _model(".h5"), _hdf5_seeds, (), 16384),
    "keras": Target(".keras", _model(".keras"), _keras_seeds, ('\\"class_name\\"', "LSTM"), 16384),
    "pt": Target(".pt, and files of no known name", _model(".pt", ""), _pickles, ("PK",), 16384),
}  # fmt: skip


# ---------------------------------------------------------------------------- one input


class FindingError(Exception):
    """What a target must not do; its text begins with a short name of the finding."""


def judged(run: Callable[[bytes], object], data: bytes, *, memory: bool) -> None:
    """Runs one input. Raises FindingError for all that a target must not do."""
    if memory:
        tracemalloc.start()
    begun = time.process_time()
    try:
        run(data)
    except FindingError:
        raise
    except Exception as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if "rnngrad" in f.filename]
        last = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "outside"
        raise FindingError(f"{type(error).__name__} at {last}: {error}") from error
    finally:
        took = time.process_time() - begun
        peak = tracemalloc.get_traced_memory()[1] if memory else 0
        tracemalloc.stop()
    kib = 1 + len(data) // 1024
    if took > kib * SECONDS_PER_KIB * (3 if memory else 1):
        raise FindingError(f"slow: {took:.1f} s for {len(data)} bytes")
    if peak > TIMES_THE_INPUT * len(data) + FREE:
        raise FindingError(f"memory: {peak} bytes for {len(data)}")


# ---------------------------------------------------------------------------- a target


def fuzz(name: str, seconds: int, corpus: Path) -> None:
    """Fuzzes one target; what is found goes to files, and the numbers to ``NAME.json``."""
    import atheris

    with atheris.instrument_imports(include=list(MODULES)):
        run = TARGETS[name].prepare()
    found, grown = corpus / "found" / name, corpus / name
    found.mkdir(parents=True, exist_ok=True)
    grown.mkdir(parents=True, exist_ok=True)
    for seed in (*TARGETS[name].seeds(), *(p.read_bytes() for p in kept(name))):
        (grown / hashlib.sha1(seed).hexdigest()).write_bytes(seed)
    words = corpus / f"{name}.dict"
    words.write_text("".join(f'"{_escaped(w)}"\n' for w in TARGETS[name].words), encoding="ascii")
    seen: set[str] = set()
    count, told = 0, time.monotonic()

    def one(data: bytes) -> None:
        nonlocal count, told
        count += 1
        try:
            judged(run, data, memory=count % MEASURED == 0)
        except FindingError as error:
            what = (
                str(error).split(":")[0] if str(error)[0].islower() else str(error).split(": ")[0]
            )
            if what not in seen:
                seen.add(what)
                digest = hashlib.sha1(data).hexdigest()[:12]
                (found / digest).write_bytes(data)
                sys.stderr.write(f"FOUND {name} {digest} {error}\n")
        if time.monotonic() - told > 1:
            told = time.monotonic()
            numbers = {"inputs": count, "seconds": time.process_time()}
            (corpus / f"{name}.json").write_text(json.dumps(numbers), encoding="utf-8")

    atheris.Setup(
        [
            name, str(grown), *([f"-dict={words}"] if TARGETS[name].words else []),
            f"-max_total_time={seconds}", "-timeout=100",
            f"-max_len={TARGETS[name].longest}", f"-artifact_prefix={found}/", "-verbosity=0",
            "-rss_limit_mb=4096",
        ],
        one,
    )  # fmt: skip
    atheris.Fuzz()


def _escaped(word: str) -> str:
    return "".join(
        chr(b) if 32 <= b < 127 else f"\\x{b:02x}" for b in word.replace("\\\\", "\\").encode()
    ).replace("\\", "\\\\").replace("\\\\x", "\\x").replace('\\\\"', '\\"')  # fmt: skip


def kept(name: str) -> list[Path]:
    """The inputs that once were findings."""
    return sorted((SEEDS / name).glob("*"))


# ---------------------------------------------------------------------------- all of them


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("targets", nargs="*", help=f"of {', '.join(TARGETS)}; default: all")
    parser.add_argument("--seconds", type=int, help="for each; default: a minute for all together")
    parser.add_argument("--corpus", type=Path, help="a folder to go on with, and to keep")
    parser.add_argument("--record", action="store_true", help="write docs/stress/fuzzing.json")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    try:
        import atheris  # noqa: F401
    except ImportError:
        parser.error("needs Atheris: pip install -e '.[fuzz]'")
    names = asked.targets or list(TARGETS)
    seconds = asked.seconds if asked.seconds is not None else max(1, 60 // len(names))
    corpus = asked.corpus or _folder()
    corpus.mkdir(parents=True, exist_ok=True)
    if asked.one:
        fuzz(names[0], seconds, corpus)
        return 0
    for name in names:
        _child(name, seconds, corpus)
    findings = {name: _still_wrong(name, corpus) for name in TARGETS}
    for name, wrong in findings.items():
        for path, words in wrong:
            sys.stdout.write(f"{name}: {words}\n  {path}\n")
    if asked.record:
        _record(corpus, findings)
    sys.stdout.write(f"{sum(map(len, findings.values()))} open findings\n")
    return int(any(findings.values()))


def _child(name: str, seconds: int, corpus: Path) -> None:
    """One target for so long, in processes of its own: a crash in C ends no more than that."""
    numbers, totals = corpus / f"{name}.json", corpus / f"{name}.total.json"
    end = time.monotonic() + seconds
    while (left := int(end - time.monotonic())) > 0:
        numbers.unlink(missing_ok=True)
        subprocess.run(
            [sys.executable, __file__, name, "--one", "--seconds", str(left), "--corpus", corpus],
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            check=False,
            stdout=subprocess.DEVNULL,
        )
        if not numbers.exists():
            break
        ran = json.loads(numbers.read_text(encoding="utf-8"))
        before = json.loads(totals.read_text(encoding="utf-8")) if totals.exists() else {}
        total = {key: before.get(key, 0) + value for key, value in ran.items()}
        totals.write_text(json.dumps(total), encoding="utf-8")


def _still_wrong(name: str, corpus: Path) -> list[tuple[Path, str]]:
    """The findings of a corpus, and the kept inputs, that the code of today does not mend."""
    wrong = []
    paths = [*sorted((corpus / "found" / name).glob("*")), *kept(name)]
    run = TARGETS[name].prepare() if paths else None
    for path in paths:
        assert run is not None
        try:
            judged(run, path.read_bytes(), memory=False)
            judged(run, path.read_bytes(), memory=True)
        except FindingError as error:
            wrong.append((path, str(error)))
    return wrong


def _record(corpus: Path, findings: dict[str, list[tuple[Path, str]]]) -> None:
    from stress import Row, record

    total = {
        name: json.loads((corpus / f"{name}.total.json").read_text(encoding="utf-8"))
        for name in TARGETS
        if (corpus / f"{name}.total.json").exists()
    }
    rows = [
        Row(
            "fuzzing",
            TARGETS[name].what,
            f"{total[name]['seconds'] / 3600:.2f} h of CPU time, {total[name]['inputs']:,} inputs",
            not findings[name],
            "; ".join(words for _, words in findings[name]),
        )
        for name in total
    ]
    record("fuzzing", "python .ci/fuzz.py --seconds 3600 --corpus DIR --record", rows)


if __name__ == "__main__":
    sys.exit(main())
