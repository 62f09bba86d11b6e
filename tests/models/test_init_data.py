"""``init MODEL --inputs --targets``: what shapes tell, what is assumed, and the three commands from
a state_dict to its own gradients checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnngrad
from cli.running import run
from rnngrad.errors import UsageError
from rnngrad.files.starters.data import Given, Sizes, Table, filled

torch = pytest.importorskip("torch")
save_file = pytest.importorskip("safetensors.torch").save_file
pytestmark = pytest.mark.torch

T = 6


class Net(torch.nn.Module):  # type: ignore[misc]
    """Embedding or none, a dense layer or none, a recurrent layer, a read-out."""

    def __init__(self, outputs: int, words: int = 0, wide: int = 0) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.emb = torch.nn.Embedding(words, wide or 3) if words else None
        self.first = torch.nn.Linear(wide, 3) if wide else torch.nn.Identity()
        self.rnn = torch.nn.LSTM(3, 4, batch_first=True)
        self.fc = torch.nn.Linear(4, outputs)
        self.double()

    def forward(self, x: Any) -> Any:
        return self.fc(self.rnn(self.first(self.emb(x) if self.emb else x))[0])


def _saved(folder: Path, net: Net, x: np.ndarray, y: np.ndarray, loss: Any, last: bool) -> None:
    """The state_dict, two arrays, and the gradients that ``loss.backward()`` leaves."""
    out = net(torch.tensor(x))
    many = out.dim() == 3
    if last:
        out = out[:, -1] if many else out[-1:]
    target = torch.tensor(y)
    if many and y.dtype.kind != "f":
        out, target = out.reshape(-1, out.shape[-1]), target.reshape(-1)
    loss(out, target).backward()
    save_file(net.state_dict(), folder / "m.safetensors")
    save_file({n: p.grad for n, p in net.named_parameters()}, folder / "g.safetensors")
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", y)


def _cases() -> dict[str, tuple[Net, np.ndarray, np.ndarray, Any, bool]]:
    stream = np.random.default_rng(3)
    x = stream.normal(size=(T, 3))
    ids, labels = stream.integers(0, 7, T), stream.integers(0, 5, T)
    rows, bits = stream.normal(size=(T, 2)), stream.integers(0, 2, (T, 1)).astype(float)
    cross, nn = torch.nn.CrossEntropyLoss(), torch.nn
    many_ids, many = stream.integers(0, 7, (4, T)), stream.normal(size=(4, T, 3))
    many_labels, many_rows = stream.integers(0, 5, (4, T)), stream.normal(size=(4, T, 2))
    padded = np.where(np.arange(T) < np.array([[T], [2], [4], [1]]), many_labels, -100)
    return {
        "a batch of token ids and labels": (Net(5, 7), many_ids, many_labels, cross, False),
        "a batch of token ids, padded": (Net(5, 7), many_ids, padded, cross, False),
        "rows, a dense layer": (Net(5, 0, 4), stream.normal(size=(T, 4)), labels, cross, False),
        "token ids, a dense layer": (Net(5, 7, 2), many_ids, many_labels, cross, False),
        "a batch of rows": (Net(2), many, many_rows, nn.MSELoss(), False),
        "a batch, a label of the last step": (Net(5), many, many_labels[:, 0], cross, True),
        "a batch of token ids, as many steps as outputs and numbers of a row": (
            Net(3, 7),
            many_ids[:, :3],
            many_labels[:, :3] % 3,
            cross,
            False,
        ),
        "a batch, a row of the last step, as many outputs as steps": (
            Net(T),
            many,
            stream.normal(size=(4, T)),
            nn.MSELoss(),
            True,
        ),
        "a batch, a row of the last step": (Net(2), many, many_rows[:, 0], nn.MSELoss(), True),
        "token ids and labels": (Net(5, 7), ids, labels, cross, False),
        "rows and labels": (Net(5), x, labels, cross, False),
        "a label of the last step": (Net(5), x, labels[:1], cross, True),
        "rows of numbers": (Net(2), x, rows, nn.MSELoss(), False),
        "a row of the last step": (Net(2), x, rows[:1], nn.MSELoss(), True),
        "0 or 1": (Net(1), x, bits, nn.BCEWithLogitsLoss(), False),
    }


@pytest.mark.parametrize("case", list(_cases()))
def test_three_commands_from_a_state_dict_to_its_own_gradients(case: str, tmp_path: Path) -> None:
    _saved(tmp_path, *_cases()[case])
    done = run("init", "m.safetensors", "--inputs", "x.npy", "--targets", "y.npy", "-o", "net.yaml",
               cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "assumed: the loss is PyTorch's" in done.stderr
    assert ("loss_steps: last" in (tmp_path / "net.yaml").read_text()) is ("last" in case)
    done = run("check", "net.yaml", "--against", "g.safetensors", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    names = ["dL_dW_hh", "dL_dW_hy", *(["dL_dembedding"] if "token" in case else []),
             *(["dL_dW_in", "dL_db_in"] if "dense" in case else [])]  # fmt: skip
    assert all(name in done.stdout for name in names)
    assert run("derive", "net.yaml", cwd=tmp_path).returncode == 0


def test_a_padded_batch_through_both_directions(tmp_path: Path) -> None:
    """Packed: ``lengths`` are proposed, and asked about where they are missing. Not packed: the
    padding is read, and its row of the embedding is not trained."""
    torch.manual_seed(2)
    emb, out = torch.nn.Embedding(9, 3, padding_idx=0), torch.nn.Linear(8, 4)
    net = torch.nn.ModuleDict({"emb": emb, "out": out})
    net["lstm"] = torch.nn.LSTM(3, 4, 2, batch_first=True, bidirectional=True)
    net.double()
    lengths, rnn = torch.tensor([6, 2, 5]), torch.nn.utils.rnn
    ids, labels = torch.randint(1, 9, (3, T)), torch.randint(0, 4, (3, T))
    for k, n in enumerate(lengths):
        ids[k, n:], labels[k, n:] = 0, -100

    def gradients(h: Any) -> dict[str, Any]:
        net.zero_grad()
        torch.nn.CrossEntropyLoss()(out(h).transpose(1, 2), labels).backward()
        return {name: p.grad.clone() for name, p in net.named_parameters()}

    packed = rnn.pack_padded_sequence(emb(ids), lengths, True, False)
    theirs = gradients(rnn.pad_packed_sequence(net["lstm"](packed)[0], True)[0])
    save_file(net.state_dict(), tmp_path / "m.safetensors")
    np.save(tmp_path / "x.npy", ids.numpy())
    np.save(tmp_path / "y.npy", labels.numpy())
    done = run("init", "m.safetensors", "--inputs", "x.npy", "--targets", "y.npy", "-o", "net.yaml",
               cwd=tmp_path)  # fmt: skip
    assert "assumed: lengths from x.npy and y.npy" in done.stderr
    assert "\nlengths: [6, 2, 5]\n" in (tmp_path / "net.yaml").read_text()
    assert rnngrad.check(rnngrad.load(tmp_path / "net.yaml"), theirs)["verdict"] == "pass"
    without = rnngrad.load(tmp_path / "net.yaml", overrides=["lengths=[6, 6, 6]"])
    told = {one["diagnosis"]["explanation"] for one in rnngrad.check(without, theirs)["quantities"]}
    assert {"lengths are 6, 2, 5?" in one for one in told} == {True}
    read = gradients(net["lstm"](emb(ids))[0])
    packed_too = rnngrad.check(rnngrad.load(tmp_path / "net.yaml"), read)["quantities"]
    told = {one["diagnosis"]["explanation"] for one in packed_too}
    assert {"is it not packed?" in one for one in told} == {True}
    report: Any = rnngrad.check(without, read)
    (wrong,) = (one for one in report["quantities"] if one["verdict"] == "fail")
    assert wrong["name"] == "dL_dembedding"
    words = "row 0: every number is 0: does the embedding have padding_idx=0?"
    assert wrong["reason"] == words
    alone: Any = rnngrad.derive(without).sequences[1]
    row = np.array(alone["dL_dembedding"])
    row[0] = 0
    (entry,) = rnngrad.check(alone.both, {"dL_dembedding": row})["quantities"]
    assert entry["reason"] == words


def test_lengths_are_not_taken_from_ends_that_differ() -> None:
    ids, labels = np.array([[3, 1, 2, 2], [2, 0, 0, 0]]), np.array([[1] * 4, [1, 1, -100, -100]])
    found = filled(Given(ids, "x", "x"), Given(labels, "y", "y"), IDS)
    assert not any("lengths" in line for line in (*found.lines, *found.assumed))
    labels[1, 1] = -100
    assert "lengths: [4, 1]" in filled(Given(ids, "x", "x"), Given(labels, "y", "y"), IDS).lines


def _given(shape: tuple[int, ...], whole: bool = False) -> Given:
    stream = np.random.default_rng(1)
    array = stream.integers(0, 3, shape) if whole else stream.normal(size=shape)
    return Given(array, "file.npy", "file.npy")


ROWS = Sizes(3, 4)
IDS = Sizes(3, 4, (Table("m", "emb", (9, 3)),))
BATCHES = {
    "one target a sequence, first": ((8, 5, 3), (8, 4), False, "first", True),
    "one target a sequence, second": ((5, 8, 3), (8, 4), False, "second", True),
    "one label a sequence, second": ((5, 8, 3), (8,), True, "second", True),
    "a label a step": ((8, 5, 3), (8, 5), True, "first", False),
    "a row a step": ((8, 5, 3), (8, 5, 4), False, "first", False),
    "as many steps as outputs": ((8, 4, 3), (8, 4), True, "first", False),
}  # fmt: skip


@pytest.mark.parametrize("case", BATCHES)
def test_sizes_tell_which_axis_counts_sequences(case: str) -> None:
    x, y, whole, batch, last = BATCHES[case]
    found = filled(_given(x), _given(y, whole), ROWS)
    assert f"batch: {batch}" in found.lines
    assert ("loss_steps: last" in found.lines) is last
    labels = "loss: cross_entropy" in found.lines
    reduction = "mean_of_steps" if labels else "mean"
    assert f"batch_reduction: {reduction}" in found.lines
    told = last and x[0] != x[1]
    words = next(one for one in found.assumed if one.startswith("batch"))
    assert ("since there is one target for each" in words) is told
    assert ("if the axes are the other way" in words) is not told


def test_a_batch_of_ids_is_looked_up() -> None:
    found = filled(_given((8, 5), True), _given((8, 5), True), IDS)
    assert "embedding: {file: m, key: emb}" in found.lines[0]
    assert "loss: cross_entropy" in found.lines
    rows = Given(_given((8, 3), True).array + 7.0, "x", "x")  # as wide as rows: the type decides
    assert "embedding" not in filled(rows, None, IDS).lines[0]
    beyond = Given(rows.array.astype(int), "x", "x")
    assert "embedding" not in filled(beyond, None, IDS).lines[0]


WRONG = {
    "another width": ((6, 2), None, False, "file.npy is 6×2; the net takes 3 numbers a step"),
    "four axes": ((2, 2, 6, 3), None, False, "the net takes 3 numbers a step"),
    "targets of other steps": ((6, 3), (5, 4), False, "file.npy is 5×4, must be 6×4"),
    "labels that are none": ((6, 3), (6,), False, "file.npy is 6, must be"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_arrays_that_do_not_fit_are_told(case: str) -> None:
    x, y, whole, words = WRONG[case]
    with pytest.raises(UsageError) as refused:
        filled(_given(x), None if y is None else _given(y, whole), ROWS)
    assert words in str(refused.value)


def test_an_id_beyond_the_table_is_told() -> None:
    ids = Given(np.array([1, 2, 30]), "ids.npy", "ids.npy")
    with pytest.raises(UsageError, match=r"the token id 30, but of rows emb has 9"):
        filled(ids, None, IDS)


def test_what_the_net_of_a_spec_leaves_open_is_said(tmp_path: Path) -> None:
    """No read-out, though two layers fit; the last step of both directions; labels of which none
    counts, so that the spec cannot be loaded."""
    torch.manual_seed(1)
    rnn = torch.nn.GRU(3, 4, batch_first=True, bidirectional=True)
    heads = torch.nn.ModuleDict({"rnn": rnn, "fc1": torch.nn.Linear(8, 8)})
    heads["fc2"] = torch.nn.Linear(8, 2)
    save_file(heads.state_dict(), tmp_path / "m.safetensors")
    np.save(tmp_path / "x.npy", np.ones((5, 6, 3)))
    np.save(tmp_path / "y.npy", np.array([-100] * 5))
    said = run("init", "m.safetensors", "--inputs", "x.npy", "--targets", "y.npy", "-o", "net.yaml",
               cwd=tmp_path).stderr  # fmt: skip
    assert "no read-out is taken, so y_t = [h_t; h_reverse_t]: fc1 and fc2 fit" in said
    assert "assumed: the read-out reads [h_T; h_reverse_T]" in said
    assert "this spec cannot be loaded as it is: net.yaml:" in said
    assert "no label counts" in said
    assert "# Assumed: the read-out reads" in (tmp_path / "net.yaml").read_text()


def test_both_options_need_a_model(tmp_path: Path) -> None:
    assert "need MODEL" in run("init", "--inputs", "x.npy", cwd=tmp_path).stderr


def test_inputs_alone_leave_the_loss_out(tmp_path: Path) -> None:
    _saved(tmp_path, *_cases()["rows of numbers"])
    done = run("init", "m.safetensors", "--inputs", "x.npy", "-o", "net.yaml", cwd=tmp_path)
    assert done.returncode == 0
    assert rnngrad.load(tmp_path / "net.yaml").loss is None


def test_a_layer_norm_beside_the_read_out_is_said(tmp_path: Path) -> None:
    """A state_dict does not say whether it stands between h_t and fc."""
    net = torch.nn.Module()
    net.rnn, net.norm = torch.nn.GRU(3, 4), torch.nn.LayerNorm(4)
    net.fc, net.other = torch.nn.Linear(4, 2), torch.nn.LayerNorm(3)
    save_file(net.state_dict(), tmp_path / "m.safetensors")
    done = run("init", "m.safetensors", cwd=tmp_path)
    words = "norm has vectors as long as h_t: if that normalises h_t before fc, the read-out here"
    assert f"not certain: {words} is approximate" in done.stderr
    assert f"# Not certain: {words}" in done.stdout
    np.save(tmp_path / "x.npy", np.zeros((T, 3)))
    np.save(tmp_path / "dh.npy", np.zeros((T, 4)))
    options = ("--inputs", "x.npy", "--upstream", "dh.npy")
    assert "certain" not in run("init", "m.safetensors", *options, cwd=tmp_path).stderr


OUT_OF_RANGE = {
    "too high": ([0, 3, 4, 1], "file.npy holds the label 4 in row 2; classes are 0 to 3"),
    "negative": ([0, -1, 3, 1], "file.npy holds the label -1 in row 1; classes are 0 to 3"),
    "of a batch": ([[0, 1, 2, 3], [0, 9, 1, 1], [0, 0, 0, 0]],
                   "file.npy holds the label 9 in row 1, place 1; classes are 0 to 3"),
}  # fmt: skip


@pytest.mark.parametrize("case", OUT_OF_RANGE)
def test_a_label_out_of_range_is_told_with_its_row(case: str) -> None:
    labels, words = OUT_OF_RANGE[case]
    y = np.array(labels)
    with pytest.raises(UsageError) as refused:
        filled(_given((*y.shape, 3)), Given(y, "file.npy", "file.npy"), ROWS)
    assert str(refused.value).startswith(words)
    assert "-100" in str(refused.value)


@pytest.mark.parametrize("many", [False, True])
def test_upstream_in_place_of_targets(many: bool, tmp_path: Path) -> None:
    """∂L/∂h_t of any head, and every gradient of the net from it, in the same commands."""
    net = Net(2)
    x = np.random.default_rng(6).normal(size=(4, T, 3) if many else (T, 3))
    h = net.rnn(torch.tensor(x))[0]
    h.retain_grad()
    (h**3).sum().backward()
    save_file(net.rnn.state_dict(), tmp_path / "m.safetensors")
    grads = {n: p.grad for n, p in net.rnn.named_parameters()}
    save_file(grads, tmp_path / "g.safetensors")
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "dh.npy", h.grad.numpy())
    options = ("--inputs", "x.npy", "--upstream", "dh.npy", "-o", "net.yaml")
    done = run("init", "m.safetensors", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "W_hy" not in (tmp_path / "net.yaml").read_text()
    done = run("check", "net.yaml", "--against", "g.safetensors", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    done = run("init", "m.safetensors", *options, "--force", "--targets", "dh.npy", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--upstream stands in place of --targets" in done.stderr


def test_upstream_of_another_shape_is_told() -> None:
    with pytest.raises(UsageError, match=r"file.npy is 6×5, must be 6×4: a row a step of the 4 "):
        filled(_given((6, 3)), None, Sizes(3, 4), _given((6, 5)))


@pytest.mark.parametrize("way", ["forward", "reverse"])
def test_targets_do_not_belong_to_half_a_net(way: str, tmp_path: Path) -> None:
    """The read-out of a bidirectional net reads both halves."""
    net = torch.nn.Module()
    net.rnn, net.fc = torch.nn.GRU(3, 4, bidirectional=True), torch.nn.Linear(8, 2)
    save_file(net.state_dict(), tmp_path / "m.safetensors")
    np.save(tmp_path / "x.npy", np.zeros((T, 3)))
    for name, width in (("y", 2), ("h", 4)):
        np.save(tmp_path / f"{name}.npy", np.zeros((T, width)))
    start = ("init", "m.safetensors", "--direction", way, "--inputs", "x.npy")
    for name in ("y.npy", "h.npy"):
        done = run(*start, "--targets", name, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert "reads both directions" in done.stderr
        assert "--upstream" in done.stderr
    done = run(*start, "--upstream", "h.npy", "-o", "net.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert rnngrad.load(tmp_path / "net.yaml").upstream
