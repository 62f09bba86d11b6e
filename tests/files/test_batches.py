"""A batch in a spec: its axis, its lengths, its reductions, and what is wrong with one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnngrad
from rnngrad import Batch, Problem, SpecError

RNG = np.random.default_rng(0)
B, T, H = 4, 6, 5
WEIGHTS = {
    "W_xh": RNG.normal(size=(H, 3)), "W_hh": 0.4 * RNG.normal(size=(H, H)),
    "b_h": RNG.normal(size=H), "W_hy": RNG.normal(size=(2, H)), "b_y": RNG.normal(size=2),
}  # fmt: skip
X, Y = RNG.normal(size=(B, T, 3)), RNG.normal(size=(B, T, 2))


def spec(**more: Any) -> dict[str, Any]:
    return {"weights": WEIGHTS, "inputs": X, "targets": Y, "batch": "first"} | more


def batch(**more: Any) -> Batch:
    found = rnngrad.load(spec(**more))
    assert isinstance(found, Batch)
    return found


def single(k: int, steps: int = T, **more: Any) -> Problem:
    """Sequence k, from 0, as a spec of its own."""
    one = {"weights": WEIGHTS, "inputs": X[k, :steps], "targets": Y[k, :steps]} | more
    found = rnngrad.load(one)
    assert isinstance(found, Problem)
    return found


def refused(**more: Any) -> list[str]:
    with pytest.raises(SpecError) as caught:
        rnngrad.load(spec(**more))
    return caught.value.mistakes


def summed(parts: list[dict[str, Any]], name: str) -> np.ndarray:
    return np.sum([part[name] for part in parts], axis=0)


def test_gradients_are_those_of_the_sum() -> None:
    got = rnngrad.gradients(batch())
    parts = [rnngrad.gradients(single(k)) for k in range(B)]
    for name in ("loss", "dL_dW_xh", "dL_dW_hh", "dL_db_h", "dL_dW_hy", "dL_db_y"):
        np.testing.assert_allclose(got[name], summed(parts, name), rtol=1e-12)
    for name in ("losses", "h", "y", "dL_dy", "dLt_dht", "dL_dh", "dL_dx"):
        whole = np.stack([np.asarray(part[name]) for part in parts])
        np.testing.assert_allclose(got[name], whole, rtol=1e-10, atol=1e-13)
    assert np.shape(got["losses"]) == (B, T)
    assert np.shape(got["dL_dh"]) == (B, T + 1, H)
    assert np.shape(got["dL_dx"]) == (B, T, 3)


def test_the_second_axis_may_count() -> None:
    turned = batch(batch="second", inputs=X.swapaxes(0, 1), targets=Y.swapaxes(0, 1))
    got, right = rnngrad.gradients(turned), rnngrad.gradients(batch())
    for name, array in right.items():
        np.testing.assert_array_equal(got[name], array)


def test_as_lists() -> None:
    got = rnngrad.gradients(batch(inputs=X.tolist(), targets=Y.tolist()))
    np.testing.assert_array_equal(got["dL_dW_hh"], rnngrad.gradients(batch())["dL_dW_hh"])


def test_in_files(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    np.savez(tmp_path / "y.npz", a=Y, lengths=[6, 1, 2, 3])
    np.savez(tmp_path / "w.npz", **WEIGHTS)
    (tmp_path / "spec.yaml").write_text(
        "weights: {W_xh: {file: w.npz, key: W_xh}, W_hh: {file: w.npz, key: W_hh}, "
        "b_h: {file: w.npz, key: b_h}, W_hy: {file: w.npz, key: W_hy}, "
        "b_y: {file: w.npz, key: b_y}}\nbatch: first\nlengths: {file: y.npz, key: lengths}\n"
        "inputs: {file: x.npy}\ntargets: {file: y.npz, key: a}\n"
    )
    got = rnngrad.gradients(rnngrad.load(tmp_path / "spec.yaml"))
    right = rnngrad.gradients(batch(lengths=[6, 1, 2, 3]))
    np.testing.assert_array_equal(got["dL_dW_hh"], right["dL_dW_hh"])


@pytest.mark.parametrize("k", range(1, B + 1))
def test_a_sequence_is_a_problem(k: int) -> None:
    lengths = [6, 3, 1, 5]
    chosen = rnngrad.load(spec(sequence=k, lengths=lengths))
    assert isinstance(chosen, Problem)
    got, right = rnngrad.gradients(chosen), rnngrad.gradients(single(k - 1, lengths[k - 1]))
    derived = rnngrad.derive(chosen)
    for name, array in right.items():
        if name != "loss" and not name.startswith(("dL_dW", "dL_db")):
            np.testing.assert_array_equal(got[name], array)
            np.testing.assert_array_equal(derived[name], array)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_of_a_chosen_sequence_the_totals_are_the_batches(reduction: str) -> None:
    """L and dL_d<parameter> are the batch's, each sequence by itself and added up here; what the
    lines of the sheet sum is the sequence's own."""
    lengths = [6, 3, 1, 5]
    parts = [rnngrad.gradients(single(k, steps)) for k, steps in enumerate(lengths)]
    share = 1.0 if reduction == "sum" else 1 / B
    chosen = rnngrad.load(spec(sequence=2, lengths=lengths, batch_reduction=reduction))
    got, derived = rnngrad.gradients(chosen), rnngrad.derive(chosen)
    loss = share * sum(part["loss"] for part in parts)
    assert got["loss"] == pytest.approx(loss, rel=1e-13)
    assert derived.loss == pytest.approx(loss, rel=1e-13)
    squares = 0.0
    for name in ("dL_dW_xh", "dL_dW_hh", "dL_db_h", "dL_dW_hy", "dL_db_y"):
        total = share * summed(parts, name)
        np.testing.assert_allclose(got[name], total, rtol=1e-12)
        np.testing.assert_allclose(derived[name], total, rtol=1e-12)
        squares += float(np.sum(total**2))
    assert derived["gradient_norm"] == pytest.approx(np.sqrt(squares), rel=1e-12)
    by_id = {line.id: line for line in derived.lines}
    np.testing.assert_allclose(derived.value(by_id["b4"]), share * parts[1]["dL_dW_hh"], rtol=1e-12)
    assert derived.remarks[0].startswith(
        "b3 and b4: the sum over the steps of sequence 2 alone, its share of L; dL_dW_xh and its"
    )
    assert "sequence" not in str(rnngrad.derive(chosen.alone).remarks)


def test_a_chosen_sequence_is_drawn_anew_with_its_batch() -> None:
    drawn = {"batch": "first", "weights": {"W_xh": 1, "W_hh": 0.5}, "seed": 3,
             "inputs": {"random": "normal", "steps": 4, "sequences": 3},
             "targets": {"random": "normal"}}  # fmt: skip
    chosen = rnngrad.load({**drawn, "sequence": 2}).redraw(9)
    right = rnngrad.gradients(rnngrad.load({**drawn, "seed": 9}))
    np.testing.assert_array_equal(rnngrad.gradients(chosen)["dL_dW_hh"], right["dL_dW_hh"])
    np.testing.assert_array_equal(chosen.x, rnngrad.load({**drawn, "seed": 9}).sequences[1].x)


def test_lengths_leave_the_padding_out() -> None:
    lengths = [6, 3, 1, 5]
    x, y = X.copy(), Y.copy()
    for k, steps in enumerate(lengths):
        x[k, steps:], y[k, steps:] = 1e300, -1e300
    got = rnngrad.gradients(batch(inputs=x, targets=y, lengths=lengths))
    parts = [rnngrad.gradients(single(k, steps)) for k, steps in enumerate(lengths)]
    np.testing.assert_allclose(got["dL_dW_hh"], summed(parts, "dL_dW_hh"), rtol=1e-12)
    for k, steps in enumerate(lengths):
        assert not got["dL_dx"][k, steps:].any()
        assert not got["losses"][k, steps:].any()


def test_padded_targets_need_not_be_targets() -> None:
    y = np.abs(Y) / 10
    y[1, 3:] = -100.0
    found = batch(targets=y, lengths=[6, 3, 6, 6], loss="binary_cross_entropy",
                  output_activation="sigmoid")  # fmt: skip
    assert np.isfinite(rnngrad.gradients(found)["loss"])


@pytest.mark.parametrize("counting", ["all", "last", [2, 5]])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_reductions(counting: Any, reduction: str) -> None:
    """Each sequence counts its own steps; the mean over sequences divides by B."""
    lengths = [6, 3, 2, 5]
    more = {"loss_steps": counting, "loss_reduction": reduction}
    got = rnngrad.gradients(batch(lengths=lengths, batch_reduction="mean", **more))
    total = 0.0
    for k, steps in enumerate(lengths):
        own = [s for s in counting if s <= steps] if isinstance(counting, list) else counting
        one = single(k, steps, **{**more, "loss_steps": own})
        total += rnngrad.gradients(one)["loss"] / B
    assert got["loss"] == pytest.approx(total, rel=1e-13)


@pytest.mark.parametrize("axis", ["first", "second"])
def test_targets_of_the_last_step_alone(axis: str) -> None:
    """One row a sequence, (B, O), as a model that classifies sequences has them."""
    x = X if axis == "first" else X.swapaxes(0, 1)
    lengths = [6, 3, 1, 5]
    more = {"batch": axis, "inputs": x, "loss_steps": "last", "lengths": lengths}
    rows = np.stack([Y[k, steps - 1] for k, steps in enumerate(lengths)])
    whole = Y if axis == "first" else Y.swapaxes(0, 1)
    got = rnngrad.gradients(batch(**more, targets=rows))
    right = rnngrad.gradients(batch(**more, targets=whole))
    assert got["loss"] == right["loss"]
    np.testing.assert_array_equal(got["dL_dW_hh"], right["dL_dW_hh"])
    assert refused(**more, targets=rows[:3])[0].startswith("targets: is 3×2; batch: ")


@pytest.mark.parametrize("axis", ["first", "second"])
def test_rows_of_the_last_step_with_as_many_outputs_as_steps(axis: str) -> None:
    """(B, O) = (B, T), and (B, O) = (T, B) too: rows, but whole numbers are labels."""
    x = X[:, :2] if axis == "first" else X[:2, :2].swapaxes(0, 1)
    rows = Y[: B if axis == "first" else 2, 0]
    more = {"batch": axis, "inputs": x, "loss_steps": "last"}
    got = rnngrad.gradients(batch(**more, targets=rows))
    whole = rows[:, np.newaxis] if axis == "first" else rows[np.newaxis]
    right = rnngrad.gradients(batch(**more, targets=np.broadcast_to(whole, (*x.shape[:2], 2))))
    assert got["loss"] == right["loss"]
    np.testing.assert_array_equal(got["dL_dW_hh"], right["dL_dW_hh"])
    more |= {"loss": "cross_entropy", "output_activation": "softmax"}
    labels = np.ones(x.shape[:2])
    got = rnngrad.gradients(batch(**more, targets=labels))
    right = rnngrad.gradients(batch(**more, targets=labels[..., np.newaxis]))
    assert got["loss"] == right["loss"]
    one_hot = np.eye(2)[[1] * len(rows)]
    assert rnngrad.gradients(batch(**more, targets=one_hot))["loss"] == right["loss"]


def test_a_target_of_the_last_step_alone() -> None:
    one = {"weights": WEIGHTS, "inputs": X[0], "loss_steps": "last"}
    got = rnngrad.gradients(rnngrad.load({**one, "targets": Y[0, -1:]}))
    right = rnngrad.gradients(rnngrad.load({**one, "targets": Y[0]}))
    np.testing.assert_array_equal(got["dL_dW_hh"], right["dL_dW_hh"])
    with pytest.raises(SpecError, match="targets: has 1 step, must have 6"):
        rnngrad.load({**one, "loss_steps": "all", "targets": Y[0, -1:]})


def test_a_sequence_of_a_mean_has_its_share() -> None:
    whole = rnngrad.gradients(batch(batch_reduction="mean"))
    one = rnngrad.gradients(rnngrad.load(spec(batch_reduction="mean", sequence=2)))
    np.testing.assert_allclose(whole["dL_dh"][1], one["dL_dh"], rtol=1e-12)


def test_starts_of_each_sequence() -> None:
    h_0 = RNG.normal(size=(B, H))
    got = rnngrad.gradients(batch(h_0=h_0))
    parts = [rnngrad.gradients(single(k, h_0=h_0[k])) for k in range(B)]
    np.testing.assert_allclose(got["dL_dW_hh"], summed(parts, "dL_dW_hh"), rtol=1e-12)
    shared = rnngrad.gradients(batch(h_0=h_0[0]))
    np.testing.assert_array_equal(shared["h"][:, 0], np.tile(h_0[0], (B, 1)))


def test_drawn_sequences() -> None:
    """Each has a stream of its own: one more leaves the others as they were, and the first is that
    of a spec without a batch."""
    net = {"weights": WEIGHTS, "seed": 3, "targets": {"random": "normal"}}
    drawn = {"random": "normal", "steps": T, "scale": 0.5}
    two = rnngrad.load({**net, "batch": "first", "inputs": {**drawn, "sequences": 2}})
    three = rnngrad.load({**net, "batch": "second", "inputs": {**drawn, "sequences": 3}})
    one = rnngrad.load({**net, "inputs": drawn})
    assert isinstance(one, Problem)
    assert isinstance(two, Batch)
    assert isinstance(three, Batch)
    assert (two.size, three.size) == (2, 3)
    for mine, theirs in zip(two.sequences, three.sequences, strict=False):
        np.testing.assert_array_equal(mine.x, theirs.x)
        np.testing.assert_array_equal(mine.targets, theirs.targets)
    np.testing.assert_array_equal(two.sequences[0].x, one.x)
    assert not np.array_equal(two.sequences[0].x, two.sequences[1].x)
    again = two.redraw(4)
    assert not np.array_equal(again.sequences[1].x, two.sequences[1].x)
    assert again.sequences[1].redraw(3).x.tolist() == two.sequences[1].x.tolist()
    assert two.lengthen is not None
    assert two.lengthen(9).lengths == (9, 9)


def test_three_axes_need_the_key() -> None:
    with pytest.raises(SpecError) as caught:
        rnngrad.load({key: value for key, value in spec().items() if key != "batch"})
    words = caught.value.mistakes
    assert words[0] == (
        "inputs: is 4×6×3, which is a batch; say which axis counts the sequences: batch: first "
        "(4 sequences of 6 steps) or batch: second (6 sequences of 4 steps)"
    )


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            {"batch": "frist"},
            "batch: is 'frist', must be one of first or second; did you mean 'first'?",
        ),
        ({"sequence": 5}, "sequence: is 5; the batch has 4 sequences, 1 to 4"),
        ({"sequence": 0}, "sequence: is 0, must be a whole number, at least 1"),
        (
            {"lengths": [6, 7, 1, 2]},
            "lengths[1]: lengths holds 7; a sequence has 1 to 6 steps here",
        ),
        (
            {"lengths": [6, 0, 1, 2]},
            "lengths[1]: lengths holds 0; a sequence has 1 to 6 steps here",
        ),
        ({"lengths": [6, 1]}, "lengths: has 2 numbers, must have 4, one a sequence"),
        (
            {"lengths": [6] * 6},
            "lengths: has 6 numbers, must have 4, one a sequence; did you mean batch: second?",
        ),
        ({"lengths": 3}, "lengths: is no flat list, must have 4, one a sequence"),
        ({"targets": Y[:3]}, "targets: has 3 sequences, must have 4 like inputs"),
        (
            {"targets": Y.swapaxes(0, 1)},
            "targets: has 6 sequences, must have 4 like inputs; its axes "
            "are the other way round, not B×T",
        ),
        (
            {"targets": Y[0]},
            "targets: is 6×2; batch: first takes three axes, B×T×O, or labels, B×T = 4×6 as inputs "
            "have",
        ),
        ({"inputs": X[0]}, "inputs: is 6×3; batch: first takes three axes, B×T×I"),
        ({"targets": Y[:, :5]}, "targets: has 5 steps, must have 6, one for each of the inputs"),
        (
            {"targets": Y[:, :, :1]},
            "targets: has 1 number a row, must have 2 numbers because W_hy is 2×5",
        ),
        ({"h_0": np.ones((3, H))}, "h_0: has 3 sequences, must have 4 like inputs"),
        ({"h_0": np.ones((B, 2))}, "h_0: has length 2, must have length 5"),
        (
            {"batch_reduction": "mean_of_steps", "loss_reduction": "mean"},
            "batch_reduction: mean_of_steps is the mean over all steps that count; loss_reduction "
            "must be sum then",
        ),
        (
            {"batch_reduction": "max"},
            "batch_reduction: is 'max', must be one of sum, mean or mean_of_steps",
        ),
        (
            {"inputs": {"random": "normal", "steps": T}},
            "inputs: that are drawn must say how many sequences: add sequences: B",
        ),
        (
            {"targets": {"random": "normal", "sequences": 3}},
            "targets.sequences: is 3, must be 4 as in inputs",
        ),
        (
            {"inputs": [*X.tolist()[:3], X[3].tolist()[:4]]},
            "inputs[3]: is 4×3, must be 6×3 like the first; fill the shorter up and give lengths",
        ),
    ],
)
def test_mistakes(more: dict[str, Any], words: str) -> None:
    assert any(one.startswith(words) for one in refused(**more)), refused(**more)


def test_keys_of_a_batch_without_one() -> None:
    one = {"weights": WEIGHTS, "inputs": X[0], "targets": Y[0]}
    for key, value in {"sequence": 1, "lengths": [6], "batch_reduction": "mean"}.items():
        with pytest.raises(SpecError) as caught:
            rnngrad.load({**one, key: value})
        assert list(caught.value.mistakes) == [
            f"{key}: is of a batch, and the spec has none; batch: first or batch: second says "
            "which axis counts the sequences"
        ]


def test_the_place_of_a_wrong_target(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(
        "weights: {W_xh: 1, W_hh: 0.5}\noutput_activation: sigmoid\nloss: binary_cross_entropy\n"
        "batch: second\ninputs: [[[1], [2]], [[3], [4]], [[5], [6]]]\n"
        "targets: [[[1], [0]], [[1], [2]], [[1], [1]]]\n"
    )
    with pytest.raises(SpecError) as caught:
        rnngrad.load(tmp_path / "s.yaml")
    words = caught.value.mistakes[0].split("s.yaml:")[1]
    assert words.startswith("6:30: the target of step 2 of sequence 2 is 2; binary_cross_entropy ")


LABELS = np.array(
    [[0, 1, 1, 0, 1, 0], [1, 1, -100, 0, 0, 1], [0, 0, 0, 1, 1, 1], [1, 0, 1, 0, 1, -100]]
)
CLASSES: dict[str, Any] = {"loss": "cross_entropy", "output_activation": "softmax"}


@pytest.mark.parametrize("axis", ["first", "second"])
@pytest.mark.parametrize("more", [
    {}, {"class_weights": [1.0, 3.0]}, {"loss_reduction": "mean", "class_weights": [1.0, 3.0]},
    {"loss_steps": "last"}, {"lengths": [6, 4, 1, 5]},
    {"loss_reduction": "mean", "batch_reduction": "mean"},
])  # fmt: skip
def test_labels(axis: str, more: dict[str, Any]) -> None:
    """(B, T) whole numbers: each sequence's are those of a spec of its own."""
    turn = (lambda a: a) if axis == "first" else (lambda a: np.swapaxes(a, 0, 1))
    more = {**CLASSES, **more}
    got = rnngrad.gradients(batch(**more, batch=axis, inputs=turn(X), targets=turn(LABELS)))
    lengths = more.pop("lengths", [T] * B)
    share = 1 / B if more.pop("batch_reduction", "sum") == "mean" else 1.0
    used = LABELS.copy()
    if more.get("loss_steps") == "last":  # ignored there: no loss at all
        with pytest.raises(SpecError, match="no label counts"):
            rnngrad.load({"weights": WEIGHTS, "inputs": X[3], "targets": [-100], **more})
        used[3, -1] = 0
        got = rnngrad.gradients(batch(**more, batch=axis, inputs=turn(X), targets=turn(used)))
        rows = rnngrad.gradients(batch(**more, batch=axis, inputs=turn(X), targets=used[:, -1]))
        np.testing.assert_array_equal(got["dL_dW_hh"], rows["dL_dW_hh"])
    parts = []
    for k, n in enumerate(lengths):
        one = {"weights": WEIGHTS, "inputs": X[k, :n], "targets": used[k, :n], **more}
        parts.append(rnngrad.gradients(rnngrad.load(one)))
    np.testing.assert_allclose(got["dL_dW_hh"], share * summed(parts, "dL_dW_hh"), rtol=1e-12)
    assert got["loss"] == pytest.approx(share * sum(part["loss"] for part in parts), rel=1e-13)


def test_a_label_out_of_range_is_placed(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(
        "weights: {W_xh: 1, W_hh: 0.5, W_hy: [[1], [2]]}\noutput_activation: softmax\n"
        "loss: cross_entropy\nbatch: second\ninputs: [[[1], [2]], [[3], [4]], [[5], [6]]]\n"
        "targets: [[0, 1], [1, 2], [1, 1]]\n"
    )
    with pytest.raises(SpecError) as caught:
        rnngrad.load(tmp_path / "s.yaml")
    words = caught.value.mistakes[0].split("s.yaml:")[1]
    assert words.startswith("6:23: the label of step 2 of sequence 2 is 2, must be a class from 0")


IDS, TABLE = RNG.integers(0, 7, size=(B, T)), RNG.normal(size=(7, 3))


@pytest.mark.parametrize("axis", ["first", "second"])
def test_token_ids(axis: str, tmp_path: Path) -> None:
    """(B, T) ids; the gradient of the table adds up all sequences'."""
    turned = IDS if axis == "first" else IDS.T
    np.save(tmp_path / "ids.npy", turned)
    y = Y if axis == "first" else Y.swapaxes(0, 1)
    for ids in ({"ids": turned.tolist()}, {"file": str(tmp_path / "ids.npy")}):
        of = batch(batch=axis, inputs={**ids, "embedding": TABLE}, targets=y, lengths=[6, 2, 5, 1])
        right = batch(inputs=TABLE[IDS], lengths=[6, 2, 5, 1])
        np.testing.assert_array_equal(
            rnngrad.gradients(of)["dL_dW_xh"], rnngrad.gradients(right)["dL_dW_xh"]
        )
    table = np.zeros_like(TABLE)
    np.add.at(table, IDS, rnngrad.gradients(right)["dL_dx"])
    np.testing.assert_allclose(rnngrad.derive(of)["dL_dembedding"], table, rtol=1e-12, atol=1e-14)
    assert rnngrad.check(of, {"dL_dembedding": table})["verdict"] == "pass"
    assert rnngrad.check(of, {"dL_dembedding": table / 4})["verdict"] == "fail"


def test_token_ids_of_three_axes_need_no_batch_key_told() -> None:
    with pytest.raises(SpecError) as caught:
        rnngrad.load({"weights": WEIGHTS, "inputs": {"ids": IDS.tolist(), "embedding": TABLE}})
    assert "batch: first (4 sequences of 6 steps)" in caught.value.mistakes[0]


def test_upstream() -> None:
    """What comes back from any head, (B, T, H); L is not known."""
    rows = RNG.normal(size=(B, T, H))
    net = {name: w for name, w in WEIGHTS.items() if name not in ("W_hy", "b_y")}
    one = {"weights": net, "inputs": X, "upstream": rows, "batch": "first", "lengths": [6, 2, 5, 1]}
    of = rnngrad.load(one)
    got = rnngrad.gradients(of)
    assert "loss" not in got
    parts = [
        rnngrad.gradients(
            rnngrad.load({"weights": net, "inputs": X[k, :n], "upstream": rows[k, :n]})
        )
        for k, n in enumerate([6, 2, 5, 1])
    ]
    np.testing.assert_allclose(got["dL_dW_hh"], summed(parts, "dL_dW_hh"), rtol=1e-12)
    assert rnngrad.derive(of).loss is None
    assert rnngrad.check(of, {"dL_dW_hh": got["dL_dW_hh"]})["verdict"] == "pass"
    with pytest.raises(SpecError, match="batch_reduction: stands beside upstream"):
        rnngrad.load({**one, "batch_reduction": "mean"})
