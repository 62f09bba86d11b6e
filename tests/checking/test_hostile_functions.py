"""What a student's function may do to its process, and that the next one is none the worse."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rnngrad
from cli.running import HEARING, SHEET
from cli.running import run_apart as command
from rnngrad.cli.checks import against
from rnngrad.cli.checks.messages import MessageError, packed, unpacked
from rnngrad.cli.checks.options import CheckOptions
from rnngrad.cli.checks.separate import LONGEST_OUTPUT
from rnngrad.errors import UsageError

PROBLEM = rnngrad.load(SHEET)
SLOW = ("loops", "deaf", "stops_itself")

RIGHT = """
import ctypes, os, signal, subprocess, sys, threading, time
from collections.abc import Mapping
import numpy as np
import helper

def right(weights, inputs, targets, h_0):
    import rnngrad
    net = dict(
        weights=weights, inputs=inputs, targets=targets, h_0=h_0, activation="sigmoid",
        output_activation="sigmoid", loss="squared_error",
    )
    found = rnngrad.gradients(rnngrad.load(net))
    return {"dL_d" + name: found["dL_d" + name] for name in weights}

def zeros(weights, *others):
    return {"dL_d" + name: np.zeros_like(value) for name, value in weights.items()}

def replaces_numpy(*given):
    np.abs = lambda value, *_, **__: np.zeros_like(value)
    np.max = lambda *_, **__: np.float64(0)
    return zeros(*given)

def patches_rnngrad(*given):
    from rnngrad.analyses.checking import against, comparing
    against.compare = comparing.compare = lambda *_, **__: None
    against.check_arrays = lambda *_, **__: []
    return zeros(*given)

class Leaves(Mapping):
    def __getitem__(self, key):
        raise SystemExit(0)
    __iter__ = __len__ = __getitem__

def mapping_that_leaves(*given):
    Mapping.items = lambda self: sys.exit(0)
    return type("Leaving", (Leaves,), {"items": lambda self: sys.exit(0)})()

class Array:
    def __array__(self, *_, **__):
        os._exit(0)

def array_that_leaves(*given):
    return {"dL_dW_hh": Array()}

class Name(str):
    def __str__(self):
        os._exit(0)

def name_that_leaves(*given):
    return {Name("dL_dW_hh"): 1.0}

def error_that_leaves(*given):
    class Error(Exception):
        def __str__(self):
            os._exit(0)
    raise Error

def error_without_words(*given):
    class Error(Exception):
        def __str__(self):
            raise ValueError
    raise Error

def error_in_colour(*given):
    raise ValueError(chr(27) + "[31mred" + chr(7))

def leaves_at_once(*given):
    os._exit(0)

def interrupts(*given):
    raise KeyboardInterrupt

def loops(*given):
    print("what it said before")
    while True:
        pass

def deaf(*given):
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    time.sleep(600)

def waits_for_input(*given):
    input()

def crashes(*given):
    ctypes.string_at(0)

def aborts(*given):
    os.abort()

def kills_itself(*given):
    os.kill(os.getpid(), signal.SIGKILL)

def becomes_true(*given):
    os.execv("/bin/true", ["true"])

def becomes_sleep(*given):
    os.execv("/bin/sleep", ["sleep", "600"])

def forks(*given):
    while True:
        os.fork()
        time.sleep(0.05)

def forks_at_once(*given):
    while True:
        os.fork()

def forks_into_sessions(*given):
    for _ in range(10):
        os.fork()
        try:
            os.setsid()
        except OSError:
            pass
    time.sleep(600)

def forges_odd_things(*given):
    from rnngrad.cli.checks.messages import packed
    write(b"".join(packed("answer", changed=[[], {}, 1, None, "W_hh"], unfit={"dL_dW_hh": [1]})))
    time.sleep(600)

def stops_itself(*given):
    os.kill(os.getpid(), signal.SIGSTOP)

def names_too_many(*given):
    return {f"dL_d{i}": 0.0 for i in range(1001)}

def odd_name(*given):
    return {"dL_dW_hh" + chr(10): 0.0}

def hoards(*given):
    return {"dL_dW_hh": np.ones(2 ** 31)}

def returns_too_much(*given):
    return {"dL_dW_hh": np.zeros(2 ** 27 + 1)}

def eats(*given):
    kept = []
    while True:
        kept.append(bytearray(2 ** 26))

def recurses(*given):
    sys.setrecursionlimit(2 ** 30)
    return recurses(*given)

def ways_back():
    import stat
    for end in range(3, 64):
        try:
            if stat.S_ISFIFO(os.fstat(end).st_mode):
                yield end
        except OSError:
            pass

def write(data):
    for end in ways_back():
        try:
            os.write(end, data)
        except OSError:
            pass

def writes_junk(*given):
    write(b"verdict: pass " * 100)
    os._exit(0)

def writes_no_json(*given):
    write((4).to_bytes(8, "little") + b"[[[[")
    time.sleep(600)

def claims_much(*given):
    write((2 ** 62).to_bytes(8, "little"))
    os._exit(0)

def forges_zeros(*given):
    from rnngrad.cli.checks.messages import packed
    data = b"".join(packed("answer", zeros(*given), changed=[], unfit={}))
    write(data + data)
    os._exit(0)

def forges_the_right_once(*given):
    from rnngrad.cli.checks.messages import packed
    write(b"".join(packed("answer", right(*given), changed=[], unfit={})))
    os._exit(0)

def forges_another_kind(*given):
    from rnngrad.cli.checks.messages import packed
    write(b"".join(packed("pass")))
    os._exit(0)

def closes_everything(*given):
    os.closerange(0, 256)
    time.sleep(600)

def shouts(*given):
    block = b"x" * 2 ** 20
    for _ in range(256):
        os.write(1, block)
    return right(*given)

def shouts_for_ever(*given):
    threading.Thread(target=lambda: [os.write(2, b"y" * 4096) for _ in iter(int, 1)]).start()
    return right(*given)

def clears_the_screen(*given):
    print(chr(27) + "[2Jall" + chr(13) + "right" + chr(7))
    return zeros(*given)

def stays(*given):
    threading.Thread(target=time.sleep, args=(600,)).start()
    return right(*given)

def leaves_a_daemon(*given):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.setsid()
            with open("daemon.pid", "w") as file:
                file.write(str(os.getpid()))
            time.sleep(600)
        os._exit(0)
    while not os.path.exists("daemon.pid") or not open("daemon.pid").read():
        time.sleep(0.01)
    return right(*given)

class Counter:
    calls = 0

def another_each_time(*given):
    Counter.calls += 1
    found = right(*given)
    return {**found, "dL_dW_hh": found["dL_dW_hh"] + 1e-3 * (Counter.calls - 1)}

def never_the_same(*given):
    return {"dL_dW_hh": np.random.default_rng().normal(size=(1, 1))}

def a_hair_apart(*given):
    Counter.calls += 1
    return {name: value * (1 + 1e-14 * Counter.calls) for name, value in right(*given).items()}

def once_only(*given):
    Counter.calls += 1
    found = right(*given)
    if Counter.calls > 1:
        del found["dL_db_y"]
    return found

def works_once(*given):
    Counter.calls += 1
    if Counter.calls > 1:
        raise ValueError("again?")
    return right(*given)

def spoils(weights, inputs, targets, h_0):
    found = right(weights, inputs, targets, h_0)
    for array in (*weights.values(), inputs, targets, h_0):
        array[...] = 7
    weights.clear()
    return found

def crashes_on_more_steps(weights, inputs, targets, h_0):
    if len(inputs) > 3:
        crashes()
    return right(weights, inputs, targets, h_0)

def as_tuple(*given):
    found = right(*given)
    return 0.5, found["dL_dW_xh"], found["dL_dW_hh"], found["dL_db_h"], None

def as_list(*given):
    return list(as_tuple(*given))

def complex_ones(weights, *others):
    return {"dL_dW_hh": 1j, "dL_dW_xh": "text", "dL_db_h": object(), "dL_db_y": [[1], [1, 2]]}

def longdouble(*given):
    return {name: value.astype(np.longdouble) for name, value in right(*given).items()}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "student.py").write_text(RIGHT)
    (tmp_path / "helper.py").write_text("")
    monkeypatch.chdir(tmp_path)
    before = processes()
    yield tmp_path
    assert processes() <= before, "something was left behind"


def processes() -> set[int]:
    """Our own children, dead ones too."""
    found: set[int] = set()
    for path in Path("/proc/self/task").glob("*/children"):
        found.update(map(int, path.read_text().split()))
    return found


def check(function: str, **options: object) -> tuple[str, list[dict[str, object]]]:
    chosen = CheckOptions(**({"timeout": 1.0, "memory": 0.25} | options))  # type: ignore[arg-type]
    report, verdict, _ = against.run(PROBLEM, f"student.py:{function}", chosen)
    quantities = report.document()["quantities"]
    assert isinstance(quantities, list)
    return str(verdict), quantities


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("mapping_that_leaves", "SystemExit: 0"),
        ("array_that_leaves", "the function ended the process, with status 0"),
        ("name_that_leaves", "the function ended the process, with status 0"),
        ("error_that_leaves", "the function ended the process, with status 0"),
        ("error_without_words", "in error_without_words: Error: its message raises an error"),
        ("error_in_colour", r"ValueError: \x1b[31mred\x07, at"),
        ("leaves_at_once", "the function ended the process, with status 0"),
        ("interrupts", "in interrupts: KeyboardInterrupt"),
        ("loops", "the function took more than 1 s and was stopped; --timeout SECONDS"),
        ("deaf", "the function took more than 1 s"),
        ("waits_for_input", "EOFError"),
        ("crashes", "the function crashed in C (signal SIGSEGV)"),
        ("aborts", "the function crashed in C (signal SIGABRT)"),
        ("kills_itself", "the function was killed (signal SIGKILL)"),
        ("becomes_true", "the function ended the process, with status 0"),
        ("becomes_sleep", "the function closed the way back"),
        ("forks", "the function started more than 256 processes"),
        pytest.param(
            "forks_at_once",
            "the function started more than 256 processes",
            marks=pytest.mark.slow,  # some two thousand of them: a minute and a half of CPU time
        ),
        ("forks_into_sessions", "the function started more than 256 processes"),
        ("stops_itself", "the function took more than 1 s"),
        ("names_too_many", "returned 1,001 arrays, may return 1,000"),
        ("odd_name", "returned 'dL_dW_hh\\n', which is no name of an array"),
        ("hoards", "MemoryError"),
        ("eats", "it may use 0.25 GiB, --memory GIB gives it more"),
        ("recurses", "the function crashed in C"),
        ("writes_junk", "what came is no answer"),
        ("writes_no_json", "what came is no answer (its head is no JSON)"),
        ("claims_much", "what came is no answer (its head is too long)"),
        ("forges_the_right_once", "on a second call with the same arrays: the function ended"),
        ("forges_another_kind", "what came is no answer (it is of another kind)"),
        ("closes_everything", "the function closed the way back"),
        ("shouts_for_ever", ""),
    ],
)
def test_harm_is_a_fail_in_words_and_the_next_is_graded(
    folder: Path, function: str, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    start = time.monotonic()
    verdict, quantities = check(function, timeout=1.0 if function in SLOW else 20.0)
    assert time.monotonic() - start < 10
    if words:
        assert verdict == "fail"
        assert words in str(quantities[-1]["reason"])
        assert quantities[-1]["name"] == function
    assert len(capfd.readouterr().err) < LONGEST_OUTPUT + 1_000
    assert check("right", timeout=20.0)[0] == "pass"


@pytest.mark.parametrize("function", ["replaces_numpy", "patches_rnngrad", "forges_zeros", "zeros"])
def test_whatever_it_replaces_it_is_ours_that_compares(folder: Path, function: str) -> None:
    verdict, quantities = check(function, timeout=20.0)
    assert verdict == "fail"
    assert {q["got"] for q in quantities if q["verdict"] == "fail" and "got" in q} <= {0.0, None}
    assert np.abs(-1.0) == 1.0


def test_an_answer_of_odd_things_is_read_as_far_as_it_is_one(folder: Path) -> None:
    quantities = check("forges_odd_things")[1]
    assert quantities[0]["reason"] == "is no array of real numbers: [1]"
    assert "took more than 1 s" in str(quantities[1]["reason"])


def test_too_many_numbers_are_refused(folder: Path) -> None:
    reason = str(check("returns_too_much", timeout=20.0, memory=4.0)[1][0]["reason"])
    assert "returned 134,217,729 numbers, may return 134,217,728" in reason


def test_256_mib_of_output_are_cut(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert check("shouts", timeout=60.0)[0] == "pass"
    shown = capfd.readouterr()
    assert shown.out == ""
    assert shown.err.count("x") >= LONGEST_OUTPUT
    assert f"note: the first {LONGEST_OUTPUT:,} bytes of what it prints, no more" in shown.err
    assert len(shown.err) < LONGEST_OUTPUT + 200


def test_a_terminal_acts_on_nothing_that_it_prints(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert check("clears_the_screen", timeout=20.0)[0] == "fail"
    assert capfd.readouterr().err == "\\x1b[2Jall\nright\\x07\n" * 2


@pytest.mark.parametrize("function", ["stays", "leaves_a_daemon"])
def test_what_it_leaves_behind_is_ended(folder: Path, function: str) -> None:
    assert check(function, timeout=20.0)[0] == "pass"
    if function == "leaves_a_daemon":
        pid = int((folder / "daemon.pid").read_text())
        assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("name", ["sitecustomize", "usercustomize", "numpy", "json", "rnngrad"])
def test_files_beside_it_that_have_our_names(folder: Path, name: str) -> None:
    """They are not what rnngrad's own half of the process imports."""
    (folder / f"{name}.py").write_text("import os\nos._exit(0)\n")
    (folder / "plain.py").write_text("def zeros(w, *_):\n    return {'dL_dW_hh': 0 * w['W_hh']}\n")
    report, verdict, _ = against.run(PROBLEM, "plain.py:zeros", CheckOptions())
    assert str(verdict) == "fail"
    (entry,) = report.document()["quantities"]  # type: ignore[misc]
    assert entry["got"] == 0.0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("while True:\n    pass\n", "loads.py took more than 1 s and was stopped"),
        ("import os\nos._exit(0)\n", "loads.py ended the process, with status 0"),
        ("raise SystemExit(0)\n", "loads.py:1: SystemExit: 0"),
        ("import ctypes\nctypes.string_at(0)\n", "loads.py crashed in C"),
    ],
)
def test_a_file_that_does_harm_when_it_is_loaded(folder: Path, text: str, words: str) -> None:
    (folder / "loads.py").write_text(text)
    report, verdict, _ = against.run(PROBLEM, "loads.py:back", CheckOptions(timeout=1.0))
    assert str(verdict) == "fail"
    (entry,) = report.document()["quantities"]  # type: ignore[misc]
    assert words in entry["reason"]


def test_a_second_call_must_give_the_same(folder: Path) -> None:
    verdict, quantities = check("another_each_time", timeout=20.0)
    assert verdict == "fail"
    assert {q["verdict"] for q in quantities[:-1]} == {"pass"}
    words = str(quantities[-1]["reason"])
    assert "on a second call with the same arrays it answers otherwise: dL_dW_hh differs" in words
    assert "dL_dW_xh" not in words
    assert "answers otherwise" in str(check("never_the_same", timeout=20.0)[1][-1]["reason"])
    assert "dL_db_y is there only once" in str(check("once_only", timeout=20.0)[1][-1]["reason"])
    once = check("works_once", timeout=20.0)[1][-1]["reason"]
    assert "call with the same arrays: student.py:" in str(once)
    assert check("a_hair_apart", timeout=20.0)[0] == "pass"


def test_what_it_does_to_its_arrays_does_no_harm(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check("spoils", timeout=20.0, random=5)[0] == "pass"
    said = "note: spoils changes its inputs: W_xh, W_hh, b_h, W_hy, b_y, inputs, targets, h_0"
    assert said in capsys.readouterr().err


def test_a_crash_on_a_random_problem_ends_them(folder: Path) -> None:
    chosen = CheckOptions(timeout=20.0, random=30)
    report, verdict, _ = against.run(PROBLEM, "student.py:crashes_on_more_steps", chosen)
    assert str(verdict) == "fail"
    last = report.document()["quantities"][-1]  # type: ignore[index]
    assert "on the random problem with seed" in last["reason"]
    assert "crashed in C" in last["reason"]
    shown = [line for block in report.blocks() for line in getattr(block, "lines", ())]
    assert any("; the rest was not run: its process had ended" in line for line in shown)


def test_the_parts_of_a_tuple_have_names(folder: Path) -> None:
    names = "loss, dL_dW_xh,dL_dW_hh,dL_db_h,_"
    for function in ("as_tuple", "as_list"):
        verdict, quantities = check(function, returns=names, timeout=20.0)
        assert (verdict, len(quantities)) == ("pass", 3)
    swapped = check("as_tuple", returns="-,dL_dW_hh,dL_dW_xh,dL_db_h,-", timeout=20.0)
    assert swapped[0] == "fail"
    assert check("right", returns="dL_dW_hh", timeout=20.0)[0] == "pass"
    reason = str(check("as_tuple", returns="dL_dW_hh", timeout=20.0)[1][0]["reason"])
    assert "returned a tuple of 5, but --returns names 1" in reason
    reason = str(check("as_list", timeout=20.0)[1][0]["reason"])
    assert "returned a list of 5, without names" in reason
    assert "--returns NAME,NAME" in reason


@pytest.mark.parametrize("returns", ["", "dL_dh,,dL_dx", "dL_dh,dL_dh"])
def test_names_that_name_nothing(folder: Path, returns: str) -> None:
    with pytest.raises(UsageError, match="--returns"):
        check("as_tuple", returns=returns)


def test_what_is_no_array_is_told_as_ever(folder: Path) -> None:
    verdict, quantities = check("complex_ones", timeout=20.0)
    told = {q["name"]: str(q["reason"]) for q in quantities}
    assert verdict == "fail"
    assert told["dL_dW_hh"] == "is no array of real numbers: complex numbers"
    assert told["dL_dW_xh"] == "is no array of real numbers: text"
    assert told["dL_db_h"] == "is no array of real numbers: Python objects"
    assert "inhomogeneous" in told["dL_db_y"]
    assert check("longdouble", timeout=20.0)[0] == "pass"


# ---------------------------------------------------------------------------- the command


def test_the_command_tells_the_reason_in_table_and_json(folder: Path) -> None:
    against = ("check", SHEET, "--against", str(folder / "student.py:loops"), "--timeout", "0.5")
    table, document = command(*against), command(*against, "--json")
    assert (table.returncode, document.returncode) == (1, 1)
    assert "took more than 0.5 s and was stopped" in " ".join(table.stdout.split())
    assert "what it said before" in table.stderr
    assert "took more than 0.5 s" in json.loads(document.stdout)["quantities"][0]["reason"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--timeout", "0"), "--timeout 0: must be more than 0"),
        (("--memory", "-1"), "--memory"),
        (("--memory=nan",), "--memory nan: must be more than 0"),
    ],
)
def test_limits_that_are_none(folder: Path, words: tuple[str, ...], told: str) -> None:
    done = command("check", SHEET, "--against", str(folder / "student.py:right"), *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr


@pytest.mark.parametrize("option", ["--timeout=1", "--memory=1", "--returns=dL_dh"])
def test_limits_are_for_functions(tmp_path: Path, option: str) -> None:
    (tmp_path / "a.yaml").write_text("h: 1")
    done = command("check", SHEET, "--against", str(tmp_path / "a.yaml"), option)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{option.split('=')[0]} is for --against FILE.py:FUNCTION" in done.stderr


def test_a_memory_of_inf_is_no_limit(folder: Path) -> None:
    (folder / "plain.py").write_text(
        "import resource\ndef none(*_):\n"
        "    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY\n"
    )
    reasons = []
    for memory in ("inf", "4"):
        against = ("--against", str(folder / "plain.py:none"), "--memory", memory, "--json")
        done = command("check", SHEET, *against)
        reasons.append(json.loads(done.stdout)["quantities"][0]["reason"])
    assert "returned nothing" in reasons[0]
    assert "AssertionError" in reasons[1]


def test_ctrl_c_ends_both(folder: Path) -> None:
    (folder / "plain.py").write_text(
        "import os, time\ndef waits(*_):\n    print(os.getpid())\n    time.sleep(600)\n"
    )
    words = ("check", SHEET, "--against", "plain.py:waits")
    rnn = subprocess.Popen(
        [sys.executable, "-c", HEARING, *words],
        env=os.environ | {"PYTHONPATH": str(Path(SHEET).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert rnn.stderr is not None
    pid = int(rnn.stderr.readline())
    rnn.send_signal(signal.SIGINT)
    _, error = rnn.communicate(timeout=20)
    assert rnn.returncode == 130, error
    assert not Path(f"/proc/{pid}").exists()


def test_it_does_not_outlive_us(folder: Path) -> None:
    (folder / "plain.py").write_text(
        "import os, time\ndef waits(*_):\n    print(os.getpid())\n    time.sleep(600)\n"
    )
    rnn = subprocess.Popen(
        [sys.executable, "-m", "rnngrad", "check", SHEET, "--against", "plain.py:waits"],
        env=os.environ | {"PYTHONPATH": str(Path(SHEET).parents[1])},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert rnn.stderr is not None
    pid = int(rnn.stderr.readline())
    rnn.kill()
    rnn.communicate(timeout=20)
    for _ in range(200):
        if not Path(f"/proc/{pid}").exists() or "\nState:\tZ" in status(pid):
            break
        time.sleep(0.02)
    else:
        pytest.fail("the function runs on")


def status(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return "\nState:\tZ"


def test_its_python_can_start_before_numpy_is_imported() -> None:
    code = "import rnngrad.cli.checks.student, sys; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ---------------------------------------------------------------------------- messages


def reader(data: bytes) -> Callable[[int], bytes]:
    """The next n bytes, or EOFError."""
    stream = io.BytesIO(data)

    def read(count: int) -> bytes:
        found = stream.read(count)
        if len(found) < count:
            raise EOFError
        return found

    return read


def test_a_message_comes_back() -> None:
    arrays = {
        "a": np.arange(6.0).reshape(2, 3),
        "b": np.array(True),
        "c": np.zeros((0, 3), ">i4"),
        "d": np.float16([1, np.nan]),
    }
    message = unpacked(reader(b"".join(packed("answer", arrays, words="ähm"))))
    assert (message.kind, message.said) == ("answer", {"words": "ähm"})
    for name, array in arrays.items():
        assert message.arrays[name].dtype == array.dtype
        assert message.arrays[name].flags.writeable
        np.testing.assert_array_equal(message.arrays[name], array)


def head(text: str) -> bytes:
    return len(text.encode()).to_bytes(8, "little") + text.encode()


@pytest.mark.parametrize(
    "data",
    [
        b"\xff" * 64,
        head("null"),
        head("[" * 100_000),
        head("1" * 5_000),
        head('{"kind": "a", "said": {}}'),
        head('{"kind": 1, "said": {}, "arrays": []}'),
        *(
            head(json.dumps({"kind": "a", "said": {}, "arrays": rows})) + bytes(64)
            for rows in (
                [1],
                [["a", "|O", []]],
                [["a", "<f8", [-1]]],
                [["a", "<f8", [True]]],
                [["a", "<f8", [1.0]]],
                [["a", "<f8", "1"]],
                [["a", "<f8", [2**60]]],
                [["a", "<f8", [2**39, 2**39, 0]]],
                [["a", "<f8", [126]]],
                [["a", "<f8", [1] * 33]],
                [["a", "<U1", [1]]],
                [["a", "f8,f8", [1]]],
                [["a\n", "<f8", [1]]],
                [["a" * 201, "<f8", [1]]],
                [["\ud800", "<f8", [1]]],
                [["a", "<f8", [1]], ["a", "<f8", [1]]],
                [["a" + str(i), "<f8", [0]] for i in range(1001)],
            )
        ),
    ],
)
def test_what_is_no_message(data: bytes) -> None:
    with pytest.raises(MessageError):
        unpacked(reader(data), 125)


MESSAGE = b"".join(
    packed("answer", {"dL_dW_hh": np.ones((2, 3)), "h": np.ones(2, "f4")}, changed=[])
)


@given(st.lists(st.tuples(st.integers(0, len(MESSAGE) - 1), st.binary(max_size=3)), max_size=4))
def test_a_message_that_was_tampered_with_is_one_or_none(changes: list[tuple[int, bytes]]) -> None:
    data = bytearray(MESSAGE)
    for place, put in changes:
        data[place : place + len(put)] = put
    with suppress(MessageError, EOFError):
        for array in unpacked(reader(bytes(data)), 125).arrays.values():
            assert array.size <= 125
