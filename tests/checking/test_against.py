"""Somebody else's arrays: tolerances as the contract has them, and no right gradient failed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rnngrad
from oracles import nets, typing_by_hand, wrong_bptt
from oracles.plain import Net
from rnngrad.analyses.checking.against import check_arrays
from rnngrad.analyses.checking.comparing.verdicts import Checked, Verdict
from rnngrad.errors import QuantityError, SpecError, UsageError
from rnngrad.files.submitted.gradients import read_gradients
from rnngrad.net.given_arrays import EXACT, GivenArray

SHEET = Path(__file__).parents[2] / "sample_configs" / "exercise_sheet_7.yaml"
PROBLEM = rnngrad.load(SHEET)
RIGHT = dict(rnngrad.derive(PROBLEM))
RANDOM_PROBLEMS = 1000

Arrays = dict[str, np.ndarray]


def from_text(folder: Path, text: str, name: str = "answers.yaml") -> list[Checked]:
    (folder / name).write_text(text)
    return check_arrays(PROBLEM, read_gradients(str(folder / name)).arrays)


def verdict(folder: Path, text: str) -> Verdict:
    (entry,) = from_text(folder, text)
    return entry.verdict


# ---------------------------------------------------------------- no right gradient fails


def textbook_slope(name: str, a: np.ndarray) -> np.ndarray:
    """σ' from the output, as everybody writes it: no digit is left where a unit saturates."""
    if name == "tanh":
        return 1 - np.tanh(a) ** 2
    if name == "sigmoid":
        h = 1 / (1 + np.exp(-a))
        return h * (1 - h)
    return wrong_bptt.slope(name, a)


def somebody_s(seed: int, *, textbook: bool) -> tuple[Net, Arrays]:
    """A random net and its gradients by explicit sums over paths."""
    net = nets.random_net(seed)
    with np.errstate(all="ignore"):
        slope = textbook_slope if textbook else wrong_bptt.slope
        arrays = wrong_bptt.gradients(wrong_bptt.right_plan(net, slope))
    fused = net["loss"].endswith("cross_entropy") or net["output"] == "softmax"
    return net, {n: a for n, a in arrays.items() if not (fused and n == "dL_dy")}


def as_typed(array: np.ndarray) -> GivenArray:
    """Four significant digits, without the detour by a file."""
    written = [typing_by_hand.typed(float(v)) for v in array.ravel()]
    values = np.array([float(w) for w in written]).reshape(array.shape)
    power = np.array([int(w.partition("e")[2] or 0) for w in written]).reshape(array.shape)
    half_unit = np.where(values == 0, 0.0, 0.5 * 10.0 ** (power - 3))
    return GivenArray(values, half_unit=half_unit, digits=np.where(values == 0, EXACT, 4))


@pytest.mark.parametrize("textbook", [False, True], ids=["exact slopes", "1 − h²"])
@pytest.mark.parametrize(
    "seeds",
    [range(100), pytest.param(range(100, RANDOM_PROBLEMS), marks=pytest.mark.slow)],
    ids=str,
)
def test_no_right_gradient_fails(textbook: bool, seeds: range) -> None:
    """float64, float32 and typed by hand; all but a few saturated ones are plainly right."""
    passed = count = 0
    for seed in seeds:
        net, arrays = somebody_s(seed, textbook=textbook)
        copies = (
            arrays,
            {name: array.astype(np.float32) for name, array in arrays.items()},
            {name: as_typed(array) for name, array in arrays.items()},
        )
        for copy in copies:
            checked = check_arrays(nets.problem_of(net), copy)
            assert [c for c in checked if c.verdict is Verdict.FAIL] == [], seed
            passed += sum(c.verdict is Verdict.PASS for c in checked)
            count += len(checked)
    assert passed > 0.99 * count


def test_a_chaotic_net_is_undecided_not_wrong() -> None:
    """Rounded once more at the start, a chaotic net ends elsewhere: that is nobody's mistake."""
    rng = np.random.default_rng(0)
    functions = ("tanh", "identity", "squared_error")
    net = nets.drawn_net(
        rng, steps=150, sizes=(20, 2, 2), functions=functions, scale=1.0, readout=True, start=True,
        mean=False,
    )  # fmt: skip
    moved = {**net, "W_hh": net["W_hh"] * (1 + 1e-16 * np.sign(rng.normal(size=(20, 20))))}
    moved["h_0"] = net["h_0"] * (1 + 2.3e-16)
    there = rnngrad.gradients(nets.problem_of(moved))
    (entry,) = check_arrays(nets.problem_of(net), {"dL_dW_hh": there["dL_dW_hh"]})
    assert entry.verdict is Verdict.INCONCLUSIVE
    assert "rounding alone" in entry.reason
    assert entry.diagnosis is None


# ---------------------------------------------------------------- tolerances


@pytest.mark.parametrize("name", [n for n in RIGHT if not n.startswith("log10_")])
def test_a_relative_error_of_1e_9_is_the_limit(name: str) -> None:
    wrong = RIGHT[name].copy()
    last = np.unravel_index(np.abs(wrong).argmax(), wrong.shape)
    for factor, expected in ((1 + 5e-10, Verdict.PASS), (1 + 2e-9, Verdict.FAIL)):
        wrong[last] = RIGHT[name][last] * factor
        (entry,) = check_arrays(PROBLEM, {name: wrong})
        assert entry.verdict is expected
        assert entry.worst_index == last
        assert entry.max_rel_error == pytest.approx(factor - 1, rel=1e-5)


def test_a_step_s_row_is_compared_with_itself() -> None:
    """A vanishing row counts like any other: 2e-9 of it is wrong, however small it is."""
    problem = rnngrad.load(
        {
            "weights": {"W_xh": 1, "W_hh": 1e-3},
            "inputs": np.ones(20),
            "targets": np.zeros(20),
            "loss_steps": "last",
        }
    )
    dL_dh = rnngrad.derive(problem)["dL_dh"].copy()
    assert abs(dL_dh[0, 0]) < 1e-50
    dL_dh[0] *= 1 + 2e-9
    (entry,) = check_arrays(problem, {"dL_dh": dL_dh})
    assert (entry.verdict, entry.worst_index) == (Verdict.FAIL, (0, 0))


def test_rtol_is_ours_to_choose() -> None:
    wrong = {"dL_dW_hh": RIGHT["dL_dW_hh"] * 1.001}
    assert check_arrays(PROBLEM, wrong, rtol=1e-2)[0].verdict is Verdict.PASS
    assert check_arrays(PROBLEM, wrong, rtol=1e-4)[0].verdict is Verdict.FAIL


def test_float32_is_right_to_1e_4_and_its_underflow_forgiven() -> None:
    array = RIGHT["dL_dW_hh"]
    for factor, expected in ((1 + 5e-5, Verdict.PASS), (1 + 2e-4, Verdict.FAIL)):
        (entry,) = check_arrays(PROBLEM, {"dL_dW_hh": (array * factor).astype(np.float32)})
        assert entry.verdict is expected
    tiny = rnngrad.load(
        {
            "weights": {"W_xh": 1, "W_hh": 1e-5},
            "inputs": np.ones(12),
            "targets": np.zeros(12),
            "loss_steps": "last",
        }
    )
    dL_dh = rnngrad.derive(tiny)["dL_dh"].astype(np.float32)
    assert (dL_dh == 0).any()
    assert check_arrays(tiny, {"dL_dh": dL_dh})[0].verdict is Verdict.PASS
    assert check_arrays(tiny, {"dL_dh": dL_dh.astype(np.float64)})[0].verdict is Verdict.FAIL


def test_float16_is_right_to_its_own_rounding_and_no_further() -> None:
    """2⁻¹¹ is the array's own; the net is not blamed for it."""
    array = RIGHT["dL_dh"]
    for factor, expected in ((1.0, Verdict.PASS), (1.004, Verdict.FAIL), (1.01, Verdict.FAIL)):
        (entry,) = check_arrays(PROBLEM, {"dL_dh": (array * factor).astype(np.float16)})
        assert entry.verdict is expected
        assert "amplifies" not in entry.reason
        if expected is Verdict.PASS:
            assert entry.reason == "float16 array: right to its own rounding, 2^-11"
    (entry,) = check_arrays(PROBLEM, {"dL_dh": array.astype(np.float16)}, rtol=1e-9)
    assert entry.verdict is Verdict.PASS


def test_float16_overflow_is_undecided() -> None:
    spec = {"activation": "identity", "weights": {"W_xh": 1, "W_hh": 10}, "targets": [0] * 8}
    problem = rnngrad.load({**spec, "inputs": [1] * 8})
    with np.errstate(over="ignore"):
        half = rnngrad.derive(problem)["dL_dh"].astype(np.float16)
    (entry,) = check_arrays(problem, {"dL_dh": half})
    assert entry.verdict is Verdict.INCONCLUSIVE
    assert (
        entry.reason
        == "the right numbers are beyond the range of float16; compute and save in float64"
    )


@pytest.mark.parametrize("name", ["log10_chain", "log10_paths"])
def test_logarithms_are_compared_absolutely(name: str) -> None:
    for shift, expected in ((5e-9, Verdict.PASS), (2e-8, Verdict.FAIL)):
        (entry,) = check_arrays(PROBLEM, {name: RIGHT[name] + shift})
        assert entry.verdict is expected
        assert entry.max_rel_error == pytest.approx(shift, rel=1e-3)


def test_truncation_at_eight_steps_of_a_contracting_net_fails() -> None:
    """‖W_hh‖₂ = 0.3, T = 20: 1e-5 of the gradient, which absolute tolerances pass."""
    rng = np.random.default_rng(4)
    functions = ("tanh", "identity", "squared_error")
    net = nets.drawn_net(
        rng, steps=20, sizes=(4, 3, 2), functions=functions, scale=0.5, readout=True, start=True,
        mean=False,
    )  # fmt: skip
    net |= {"W_hh": 0.3 * np.linalg.qr(net["W_hh"])[0], "loss_weights": np.ones(20)}
    cut = wrong_bptt.gradients(wrong_bptt.right_plan(net) | {"keep": 8})
    checked = {c.name: c for c in check_arrays(nets.problem_of(net), cut)}
    assert checked["dL_dW_hh"].verdict is Verdict.FAIL
    diagnosis = checked["dL_dW_hh"].diagnosis
    assert diagnosis is not None
    assert (diagnosis.bug, diagnosis.steps) == ("truncated", 8)


# ---------------------------------------------------------------- typed by hand


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("0.03805", Verdict.PASS),
        ("0.0381", Verdict.PASS),
        ("3.81e-2", Verdict.PASS),
        ("[[0.0381]]", Verdict.PASS),
        ("0.0380", Verdict.FAIL),
        ("0.0382", Verdict.FAIL),
        ("0.038", Verdict.INCONCLUSIVE),
        ("0.04", Verdict.INCONCLUSIVE),
        ("0.05", Verdict.FAIL),
        ("0", Verdict.FAIL),
        ("0.0", Verdict.FAIL),
        ("1", Verdict.FAIL),
    ],
)
def test_digits_typed(tmp_path: Path, written: str, expected: Verdict) -> None:
    """∂L/∂W_hh of the sheet is 0.03805021858895877."""
    assert verdict(tmp_path, f"dL_dW_hh: {written}") is expected


def test_integers_are_exact(tmp_path: Path) -> None:
    assert verdict(tmp_path, "h: [0, 0.6457, 0.5664, 0.6631]") is Verdict.FAIL
    right = ", ".join(f"{v:.4f}" for v in RIGHT["h"].ravel()[1:])
    assert verdict(tmp_path, f"h: [0, {right}]") is Verdict.PASS
    assert verdict(tmp_path, f"h: [0, 1, {right.partition(', ')[2]}]") is Verdict.FAIL


def test_a_program_s_short_numbers_are_taken_at_their_word(tmp_path: Path) -> None:
    """0.5 in a file of 17 digits is 0.5; it decides nothing in a file typed by hand."""
    problem = rnngrad.load(
        {
            "activation": "identity",
            "weights": {"W_xh": 1, "W_hh": 0.5},
            "inputs": [1, 0.3],
            "targets": [0, 0.1],
        }
    )
    arrays = rnngrad.gradients(problem)
    text = f"dL_dW_hh: {arrays['dL_dW_hh'].tolist()}\ndL_dh: {arrays['dL_dh'].tolist()}\n"
    (tmp_path / "a.yaml").write_text(text)
    typed = read_gradients(str(tmp_path / "a.yaml")).arrays
    assert all(c.verdict is Verdict.PASS for c in check_arrays(problem, typed))


def test_null_stands_for_what_is_not_finite(tmp_path: Path) -> None:
    names = ("log10_paths", "log10_chain")
    text = rnngrad_json({name: RIGHT[name] for name in names})
    assert "null" in text
    assert all(c.verdict is Verdict.PASS for c in from_text(tmp_path, text, "a.json"))
    holes = rnngrad_json({"dL_dh": np.where(RIGHT["dL_dh"] > 0, np.nan, RIGHT["dL_dh"])})
    assert [c.verdict for c in from_text(tmp_path, holes, "b.json")] == [Verdict.FAIL]


def rnngrad_json(arrays: Arrays) -> str:
    import json

    from rnngrad.views.formats.to_json import nested

    return json.dumps({name: nested(array) for name, array in arrays.items()})


def test_a_right_zero_is_zero_but_for_rounding() -> None:
    """With target = y the gradient is 0; 1e-17 of it is rounding, 1e-9 is not."""
    spec = {"weights": {"W_xh": 0.3, "W_hh": 0.1}, "inputs": [0.7], "activation": "identity"}
    y = rnngrad.gradients(rnngrad.load({**spec}))["y"]
    problem = rnngrad.load({**spec, "targets": y})
    for off, expected in ((1e-17, Verdict.INCONCLUSIVE), (1e-9, Verdict.FAIL)):
        (entry,) = check_arrays(problem, {"dL_dy": [[off]]})
        assert entry.verdict is expected


# ---------------------------------------------------------------- what can be given


def test_a_wrong_shape_fails_without_an_error() -> None:
    (entry,) = check_arrays(PROBLEM, {"dL_dW_hh": RIGHT["dL_dW_hh"][0]})
    assert (entry.verdict, entry.max_rel_error, entry.worst_index) == (Verdict.FAIL, None, None)
    assert "must be 1×1" in entry.reason


def test_what_is_no_array_of_numbers_fails() -> None:
    for bad in ([[1j]], [["a"]], [[1, 2], [3]], [[object()]]):
        (entry,) = check_arrays(PROBLEM, {"dL_dW_hh": bad})
        assert entry.verdict is Verdict.FAIL
        assert entry.reason


def test_nan_fails() -> None:
    (entry,) = check_arrays(PROBLEM, {"dL_dW_hh": np.full((1, 1), np.nan)})
    assert entry.verdict is Verdict.FAIL


def test_what_overflows_is_undecided() -> None:
    spec = {"activation": "identity", "weights": {"W_xh": 1, "W_hh": 1e30}, "targets": [0] * 20}
    problem = rnngrad.load({**spec, "inputs": [1] * 20})
    right = rnngrad.derive(problem)["dL_dh"]
    assert not np.isfinite(right).all()
    (entry,) = check_arrays(problem, {"dL_dh": right})
    assert entry.verdict is Verdict.INCONCLUSIVE
    assert "beyond the range" in entry.reason


def test_names() -> None:
    with pytest.raises(QuantityError, match="did you mean 'dL_dW_hh'"):
        check_arrays(PROBLEM, {"dL_dW_hhh": [[1.0]]})
    with pytest.raises(UsageError, match="nothing to check"):
        check_arrays(PROBLEM, {})


def test_only_what_is_given_is_checked_in_the_table_s_order() -> None:
    given = {name: RIGHT[name] for name in ("dL_dx", "h", "dL_dW_hh")}
    checked = check_arrays(PROBLEM, {**given, "loss": rnngrad.derive(PROBLEM).loss})
    assert [c.name for c in checked] == ["loss", "h", "dL_dW_hh", "dL_dx"]
    assert all(c.verdict is Verdict.PASS for c in checked)


def test_a_relu_at_its_kink_is_undecided_and_off_it_decided() -> None:
    spec = {
        "activation": "relu",
        "weights": {"W_xh": [[1], [1]], "W_hh": [[0.5, 0.1], [0.2, 0.4]], "b_h": [-1, 0.5]},
        "inputs": [1, 1, 1],
        "targets": [[1, 0]] * 3,
    }
    problem = rnngrad.load(spec)
    right = rnngrad.derive(problem)
    a = right.passes.forward.a
    assert (a == 0).any()
    assert check_arrays(problem, {"dht_db_h": right["dht_db_h"]})[0].verdict is Verdict.PASS
    other = (a >= 0).astype(float)
    (entry,) = check_arrays(problem, {"dht_db_h": other})
    assert entry.verdict is Verdict.INCONCLUSIVE
    assert "kink" in entry.reason
    wrong = other.copy()
    wrong[-1] = 0.0
    assert check_arrays(problem, {"dht_db_h": wrong})[0].verdict is Verdict.FAIL


# ---------------------------------------------------------------- files


def test_npz_keeps_the_type(tmp_path: Path) -> None:
    np.savez(tmp_path / "g.npz", dL_dW_hh=RIGHT["dL_dW_hh"].astype(np.float32), h=RIGHT["h"])
    arrays = read_gradients(str(tmp_path / "g.npz")).arrays
    assert arrays["dL_dW_hh"].eps == np.finfo(np.float32).eps
    assert not arrays["h"].typed


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.yaml", "dL_dh: [1, 2, [3], 4]", r"a.yaml:1:15: dL_dh\[2\] is a list of 1 number"),
        ("a.yaml", "dL_dh: [1, x]", r"a.yaml:1:12: dL_dh\[1\] is 'x', must be a number"),
        ("a.yaml", "dL_dh: [true]", "is true, must be a number"),
        ("a.yaml", "h: 1\nh: 2", "'h' is already given on line 1"),
        ("a.yaml", "- 1", "the top level is a list, must map names to arrays"),
        ("a.yaml", "", "the top level is empty"),
        ("a.json", '{"h": {"shape": [1], "norm": 2}}', "--full writes the numbers"),
        ("a.json", '{"h": [1,', "a.json:1"),
        ("a.npz", "no zip", "damaged"),
        ("a.txt", "h: 1", "must end in .npz, .json or .yaml"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(SpecError, match=words):
        read_gradients(str(tmp_path / name))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "mine.npz").write_text("")
    with pytest.raises(SpecError, match=r"no such file; did you mean 'mine.npz'"):
        read_gradients(str(tmp_path / "mine.npy.npz"))
    (tmp_path / "d.npz").mkdir()
    with pytest.raises(SpecError, match="is a folder, not a file"):
        read_gradients(str(tmp_path / "d.npz"))
