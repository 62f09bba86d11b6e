"""``rnngrad.from_torch``: modules that somebody has in hand, against PyTorch's own gradients."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnngrad
from oracles.compare import wrong_rows

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch
nn = torch.nn

T, INPUTS, HIDDEN, OUTPUTS, WORDS = 7, 3, 4, 5, 9
X = np.random.default_rng(0).normal(size=(T, INPUTS))


class Model(nn.Module):  # type: ignore[misc]
    """What people write: perhaps an embedding, a recurrent net, a read-out, something after it."""

    def __init__(self, rnn: Any, outputs: int = OUTPUTS, words: int = 0, after: Any = None) -> None:
        super().__init__()
        self.emb = nn.Embedding(words, INPUTS) if words else None
        self.encoder = rnn
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(HIDDEN, outputs)
        self.after = after
        self.last = False

    def forward(self, x: Any) -> Any:
        h = self.encoder(self.emb(x) if self.emb is not None else x)[0]
        out = self.head(self.drop(h if not self.last else h[-1:]))
        return out if self.after is None else self.after(out)


def _model(rnn: Any, **more: Any) -> Any:
    torch.manual_seed(1)
    made = Model(rnn, **more)
    for p in made.parameters():
        nn.init.normal_(p, std=0.6)
    return made.double().eval()


NETS = {
    "rnn": lambda: nn.RNN(INPUTS, HIDDEN),
    "relu": lambda: nn.RNN(INPUTS, HIDDEN, nonlinearity="relu"),
    "gru of two layers": lambda: nn.GRU(INPUTS, HIDDEN, 2),
    "lstm": lambda: nn.LSTM(INPUTS, HIDDEN, batch_first=True),
    "lstm with a projection": lambda: nn.LSTM(INPUTS, 6, proj_size=HIDDEN),
    "lstm without biases": lambda: nn.LSTM(INPUTS, HIDDEN, bias=False),
}
LABELS = torch.tensor([0, 3, 1, 4, 2, 2, 0])
ROWS = torch.tensor(np.random.default_rng(2).normal(size=(T, OUTPUTS)))
WEIGHTS = torch.tensor([1.0, 0.5, 2.0, 1.0, 3.0]).double()
LOSSES = {
    "labels, mean": (nn.CrossEntropyLoss(), LABELS),
    "labels, sum, weights": (nn.CrossEntropyLoss(WEIGHTS, reduction="sum"), LABELS),
    "labels, mean of weights, ignored": (nn.CrossEntropyLoss(WEIGHTS, ignore_index=2), LABELS),
    "squares, mean": (nn.MSELoss(), ROWS),
    "squares, sum": (nn.MSELoss(reduction="sum"), ROWS),
    "a function": (nn.functional.mse_loss, ROWS),
}


def _agree(model: Any, x: Any, problem: Any, value: Any) -> None:
    """Loss and gradients of the problem are those that ``value.backward()`` leaves."""
    model.zero_grad()
    value.backward()
    got: Any = rnngrad.gradients(problem)
    assert got["loss"] == pytest.approx(value.item(), rel=1e-12)
    expected = {"dL_dW_hy": model.head.weight.grad.numpy(), "dL_db_y": model.head.bias.grad.numpy()}
    if x.dtype == torch.float64:
        expected["dL_dx"] = x.grad.numpy()
    assert not wrong_rows({name: got[name] for name in expected}, expected)
    if model.encoder.proj_size:
        return  # whose parameters are one a gate
    given = {n: p.grad.numpy() for n, p in model.encoder.named_parameters()}
    report: Any = rnngrad.check(problem, given)
    assert report["verdict"] == "pass"
    assert len(report["quantities"]) >= (2 if len(given) == 2 else 3)


@pytest.mark.parametrize("net", NETS)
def test_every_net_is_the_modules(net: str) -> None:
    model, loss = _model(NETS[net]()), nn.MSELoss()
    x = torch.tensor(X, requires_grad=True)
    problem = rnngrad.from_torch(model, x, ROWS, loss=loss)
    _agree(model, x, problem, loss(model(x), ROWS))


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_pytorchs(name: str) -> None:
    model, (loss, targets) = _model(nn.GRU(INPUTS, HIDDEN)), LOSSES[name]
    x = torch.tensor(X, requires_grad=True)
    problem = rnngrad.from_torch(model, x, targets, loss=loss)
    _agree(model, x, problem, loss(model(x), targets))


def test_what_acts_on_the_logits_belongs_to_its_loss() -> None:
    x = torch.tensor(X, requires_grad=True)
    model, loss = _model(nn.GRU(INPUTS, HIDDEN), after=nn.LogSoftmax(dim=-1)), nn.NLLLoss()
    problem = rnngrad.from_torch(model, x, LABELS, loss=loss)
    _agree(model, x, problem, loss(model(x), LABELS))
    with pytest.raises(rnngrad.UsageError, match="does not give what its parts"):
        rnngrad.from_torch(model, x, ROWS, loss=nn.MSELoss())
    model, loss = _model(nn.RNN(INPUTS, HIDDEN), outputs=1, after=nn.Sigmoid()), nn.BCELoss()
    bits = (ROWS[:, :1] > 0).double()
    x.grad = None
    _agree(model, x, rnngrad.from_torch(model, x, bits, loss=loss), loss(model(x), bits))


def test_the_last_step_alone() -> None:
    model, loss = _model(nn.LSTM(INPUTS, HIDDEN)), nn.CrossEntropyLoss()
    model.last = True
    x = torch.tensor(X, requires_grad=True)
    problem = rnngrad.from_torch(model, x, LABELS[:1], loss=loss)
    _agree(model, x, problem, loss(model(x), LABELS[:1]))


def test_token_ids_and_a_file_of_all_gradients(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    model, loss = _model(nn.GRU(INPUTS, HIDDEN), words=WORDS), nn.CrossEntropyLoss()
    ids = torch.tensor([1, 8, 0, 0, 3, 8, 2])
    problem = rnngrad.from_torch(model, ids, LABELS, loss=loss)
    _agree(model, ids, problem, loss(model(ids), LABELS))
    save_file({n: p.grad for n, p in model.named_parameters()}, tmp_path / "g.safetensors")
    report: Any = rnngrad.check(problem, tmp_path / "g.safetensors")
    names = {one["name"]: one["verdict"] for one in report["quantities"]}
    assert names.keys() >= {"dL_dembedding", "dL_dW_hy", "dL_db_y", "dL_dW_hh"}
    assert set(names.values()) == {"pass"}
    by_name: Any = rnngrad.check(problem, {n: p.grad for n, p in model.named_parameters()})
    assert {one["name"]: one["verdict"] for one in by_name["quantities"]} == names


def test_a_file_without_a_layout_has_the_models_names(tmp_path: Path) -> None:
    """In a .npz too; a bug in the embedding's gradient is seen there."""
    model, loss = _model(nn.GRU(INPUTS, HIDDEN), words=WORDS), nn.CrossEntropyLoss()
    ids = torch.tensor([1, 8, 0, 0, 3, 8, 2])
    problem = rnngrad.from_torch(model, ids, LABELS, loss=loss)
    loss(model(ids), LABELS).backward()
    grads = {f"{n}.grad": p.grad.numpy() for n, p in model.named_parameters()}
    np.savez(tmp_path / "g.npz", **grads)
    assert rnngrad.check(problem, tmp_path / "g.npz")["verdict"] == "pass"
    wrong = grads["emb.weight.grad"].copy()
    wrong[8] /= 2  # the id that stands twice
    report: Any = rnngrad.check(problem, {**grads, "emb.weight.grad": wrong})
    failing = [one["name"] for one in report["quantities"] if one["verdict"] == "fail"]
    assert failing == ["dL_dembedding"]


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_one_half_of_a_bidirectional_net(direction: str) -> None:
    torch.manual_seed(2)
    net = nn.LSTM(INPUTS, HIDDEN, bidirectional=True).double()
    x = torch.tensor(X, requires_grad=True)
    h, _ = net(x)
    h.retain_grad()
    (h**2).prod(dim=1).sum().backward()
    half = slice(0, HIDDEN) if direction == "forward" else slice(HIDDEN, None)
    problem = rnngrad.from_torch(net, x, upstream=h.grad[:, half], direction=direction)
    got: Any = rnngrad.gradients(problem)
    ending = "_l0" + "_reverse" * (direction == "reverse")
    grads = {n.removesuffix(ending): p.grad.numpy() for n, p in net.named_parameters()
             if n.endswith(ending)}  # fmt: skip
    expected = {"dL_dW_xh": grads["weight_ih"], "dL_dW_hh": grads["weight_hh"],
                "dL_db_h": grads["bias_ih"]}  # fmt: skip
    assert not wrong_rows(got, expected)


def test_a_net_alone_with_upstream_and_starts() -> None:
    torch.manual_seed(3)
    net = nn.GRU(INPUTS, HIDDEN, 2).double()
    start = torch.randn(2, HIDDEN, dtype=torch.float64, requires_grad=True)
    h, _ = net(torch.tensor(X), start)
    h.retain_grad()
    torch.sin(h).prod(dim=0).sum().backward()
    problem = rnngrad.from_torch(net, X, upstream=h.grad, h_0=start)
    got = np.asarray(rnngrad.gradients(problem)["dL_dh"])[0]
    assert not wrong_rows({"dL_dh_0": got}, {"dL_dh_0": start.grad.numpy().ravel()})


def test_weights_behind_a_parametrisation_are_computed() -> None:
    from torch.nn.utils.parametrizations import weight_norm

    model = _model(weight_norm(nn.GRU(INPUTS, HIDDEN), "weight_hh_l0"))
    problem = rnngrad.from_torch(model, torch.tensor(X), ROWS, loss=nn.MSELoss())
    assert np.allclose(problem.weights["W_hh"], model.encoder.weight_hh_l0.detach(), rtol=1e-14)


B = 6


class OfBatch(nn.Module):  # type: ignore[misc]
    """The same for a batch, perhaps of the last step alone."""

    def __init__(self, *, first: bool, last: bool = False, words: int = 0) -> None:
        super().__init__()
        torch.manual_seed(6)
        self.emb = nn.Embedding(words, INPUTS) if words else None
        self.rnn = nn.GRU(INPUTS, HIDDEN, 2, batch_first=first)
        self.fc = nn.Linear(HIDDEN, OUTPUTS)
        self.first, self.last = first, last
        self.double()

    def forward(self, x: Any, *start: Any) -> Any:
        h = self.rnn(x if self.emb is None else self.emb(x), *start)[0]
        return self.fc(h if not self.last else h[:, -1] if self.first else h[-1])


OF_BATCHES: dict[str, tuple[Any, bool]] = {
    "labels": (nn.CrossEntropyLoss(), False),
    "labels, sum": (nn.CrossEntropyLoss(reduction="sum"), False),
    "labels, some ignored, weights": (nn.CrossEntropyLoss(WEIGHTS, ignore_index=3), False),
    "a label of the last step": (nn.CrossEntropyLoss(), True),
    "rows": (nn.MSELoss(), False),
    "a row of the last step": (nn.MSELoss(), True),
}


@pytest.mark.parametrize("tokens", [False, True])
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("name", OF_BATCHES)
def test_a_batch_of_tokens_or_rows(name: str, first: bool, tokens: bool) -> None:
    loss, last = OF_BATCHES[name]
    model = OfBatch(first=first, last=last, words=WORDS if tokens else 0)
    sides = (B, T) if first else (T, B)
    x = torch.randint(0, WORDS, sides) if tokens else torch.randn(*sides, INPUTS).double()
    of = (B,) if last else sides
    y = torch.randint(0, OUTPUTS, of) if "label" in name else torch.randn(*of, OUTPUTS).double()
    out = model(x)
    rows = "label" in name
    value = loss(out.reshape(-1, OUTPUTS), y.reshape(-1)) if rows else loss(out, y)
    value.backward()
    got: Any = rnngrad.gradients(rnngrad.from_torch(model, x, y, loss=loss))
    assert float(got["loss"]) == pytest.approx(value.item(), rel=1e-12)
    expected = {
        "dL_dW_xh.0": model.rnn.weight_ih_l0, "dL_dW_hh.1": model.rnn.weight_hh_l1,
        "dL_db_hh.0": model.rnn.bias_hh_l0, "dL_dW_hy": model.fc.weight, "dL_db_y": model.fc.bias,
    }  # fmt: skip
    assert not wrong_rows(got, {name: p.grad.numpy() for name, p in expected.items()})


@pytest.mark.parametrize("first", [False, True])
def test_starts_of_a_batch(first: bool) -> None:
    model, start = OfBatch(first=first), torch.randn(2, B, HIDDEN).double()
    sides = (B, T) if first else (T, B)
    x, y = torch.randn(*sides, INPUTS).double(), torch.randn(*sides, OUTPUTS).double()
    value = nn.MSELoss()(model(x, start), y)
    value.backward()
    got: Any = rnngrad.gradients(rnngrad.from_torch(model, x, y, nn.MSELoss(), h_0=start))
    assert float(got["loss"]) == pytest.approx(value.item(), rel=1e-12)
    assert not wrong_rows(got, {"dL_dW_hh.1": model.rnn.weight_hh_l1.grad.numpy()})


def test_a_packed_batch() -> None:
    """Refused in words; its padded inputs and lengths are the same net, in both directions."""
    torch.manual_seed(3)
    net = nn.GRU(INPUTS, HIDDEN, batch_first=True, bidirectional=True).double()
    packed = nn.utils.rnn.pack_padded_sequence(
        torch.randn(3, 7, INPUTS).double(), torch.tensor([7, 2, 4]), True, False
    )
    h, _ = nn.utils.rnn.pad_packed_sequence(net(packed)[0], batch_first=True)
    h.retain_grad()
    (h**3).sum().backward()
    with pytest.raises(rnngrad.UsageError, match=r"PackedSequence; give the padded inputs and le"):
        rnngrad.from_torch(net, packed, upstream=h.grad)
    inputs, lengths = nn.utils.rnn.pad_packed_sequence(packed, batch_first=True)
    problem = rnngrad.from_torch(net, inputs, upstream=h.grad, lengths=lengths)
    report: Any = rnngrad.check(problem, {n: p.grad for n, p in net.named_parameters()})
    assert report["verdict"] == "pass"
    assert len(report["quantities"]) == 8


def test_a_batch_that_is_wired_otherwise_is_refused() -> None:
    class Doubled(OfBatch):
        def forward(self, x: Any) -> Any:
            return 2 * super().forward(x)

    x = torch.randn(B, T, INPUTS).double()
    with pytest.raises(rnngrad.UsageError, match="does not give what its parts"):
        rnngrad.from_torch(Doubled(first=True), x, torch.randn(B, T, OUTPUTS), loss=nn.MSELoss())


def _wired_otherwise() -> Any:
    class Residual(Model):
        def forward(self, x: Any) -> Any:
            return self.head(torch.tanh(self.encoder(x)[0]))

    torch.manual_seed(1)
    return Residual(nn.GRU(INPUTS, HIDDEN)).double().eval()


def _normed() -> Any:
    model = _model(nn.GRU(INPUTS, HIDDEN))
    model.after = nn.LayerNorm(OUTPUTS).double()
    return model


REFUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "wired otherwise": (_wired_otherwise, {}, "does not give what its parts give one after"),
    "a LayerNorm": (_normed, {}, r"what Model does with after \(LayerNorm\) cannot be seen"),
    "training": (lambda: _model(nn.GRU(INPUTS, HIDDEN)).train(), {}, "drop has dropout and is in"),
    "two nets": (lambda: nn.ModuleList([nn.GRU(2, 2), nn.RNN(2, 2)]), {}, "has 2 recurrent nets"),
    "no module": (lambda: 3, {}, "int is no module of PyTorch's"),
    "a loss that is not known": (lambda: _model(nn.GRU(INPUTS, HIDDEN)), {"loss": nn.L1Loss()},
                                 "loss L1Loss is not known"),
    "no loss": (lambda: _model(nn.GRU(INPUTS, HIDDEN)), {"loss": None}, "targets need a loss"),
    "no single loss": (lambda: _model(nn.GRU(INPUTS, HIDDEN)),
                       {"loss": nn.MSELoss(reduction="none")}, "gives no single loss"),
    "smoothing": (lambda: _model(nn.GRU(INPUTS, HIDDEN)),
                  {"loss": nn.CrossEntropyLoss(label_smoothing=0.1)}, "no label_smoothing"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_certain_is_refused(case: str) -> None:
    made, more, words = REFUSED[case]
    with pytest.raises(rnngrad.UsageError, match=words):
        rnngrad.from_torch(made(), torch.tensor(X), ROWS, **{"loss": nn.MSELoss(), **more})


def test_rnngrad_does_not_import_pytorch() -> None:
    code = "import sys, rnngrad; rnngrad.from_torch; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("case", ["labels", "ignored", "rows", "a label each", "a row each",
                                  "a row each, as many outputs as steps"])  # fmt: skip
def test_a_batch(first: bool, case: str) -> None:
    """(B, T, ·) or (T, B, ·) as ``batch_first`` says: loss and every gradient of it."""
    outputs = T if "as many" in case else OUTPUTS
    model = _model(nn.LSTM(INPUTS, HIDDEN, batch_first=first), outputs=outputs, words=WORDS)
    stream, B = np.random.default_rng(5), 4
    ids = torch.tensor(stream.integers(0, WORDS, (B, T)))
    labels = torch.tensor(stream.integers(0, OUTPUTS, (B, T)))
    rows = torch.tensor(stream.normal(size=(B, T, outputs)))
    x = ids if first else ids.T
    out = model(x) if first else model(x).transpose(0, 1)
    loss: Any = nn.MSELoss() if "row" in case else nn.CrossEntropyLoss(WEIGHTS, ignore_index=2)
    if case in ("labels", "ignored"):
        if case == "labels":
            loss = nn.CrossEntropyLoss()
        y, value = labels if first else labels.T, loss(out.reshape(-1, OUTPUTS), labels.reshape(-1))
    elif case == "rows":
        y, value = rows if first else rows.transpose(0, 1), loss(out, rows)
    else:
        y = labels[:, 0] if case == "a label each" else rows[:, 0]
        value = loss(out[:, -1], y)
    problem = rnngrad.from_torch(model, x, y, loss=loss)
    assert isinstance(problem, rnngrad.Batch)
    _agree(model, x, problem, value)
    grads = {name: p.grad for name, p in model.named_parameters()}
    report: Any = rnngrad.check(problem, grads)
    assert report["verdict"] == "pass"
    assert {one["name"] for one in report["quantities"]} == {
        "dL_dW_xh", "dL_dW_hh", "dL_db_h", "dL_dW_hy", "dL_db_y", "dL_dembedding",
    }  # fmt: skip


class Bidirectional(nn.Module):  # type: ignore[misc]
    """A bidirectional net whose read-out sees both directions."""

    def __init__(self, rnn: Any) -> None:
        super().__init__()
        self.encoder, self.head = rnn, nn.Linear(2 * HIDDEN, OUTPUTS)

    def forward(self, x: Any) -> Any:
        return self.head(self.encoder(x)[0])


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_both_directions_of_a_stack(kind: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    torch.manual_seed(4)
    model = Bidirectional(getattr(nn, kind)(INPUTS, HIDDEN, 2, bidirectional=True)).double()
    loss = nn.CrossEntropyLoss()
    problem = rnngrad.from_torch(model, torch.tensor(X), LABELS, loss=loss)
    loss(model(torch.tensor(X)), LABELS).backward()
    grads = {n: p.grad for n, p in model.named_parameters()}
    save_file(grads, tmp_path / "g.safetensors")
    for given in (grads, tmp_path / "g.safetensors"):
        report: Any = rnngrad.check(problem, given)
        found = {one["name"]: one["verdict"] for one in report["quantities"]}
        assert set(found.values()) == {"pass"}
        assert {"dL_dW_hh_reverse.1", "dL_dW_xh.1", "dL_dW_hy", "dL_db_y"} <= found.keys()
    h = model.encoder(torch.tensor(X))[0]
    h.retain_grad()
    ends = torch.cat((h[-1, :HIDDEN], h[0, HIDDEN:]))  # what h_n[-2], h_n[-1] are
    model.zero_grad()
    loss(model.head(ends), LABELS[0]).backward()
    of_ends: Any = rnngrad.from_torch(model.encoder, torch.tensor(X), upstream=h.grad)
    own = {n: p.grad.clone() for n, p in model.encoder.named_parameters()}
    model.zero_grad()
    h_n = model.encoder(torch.tensor(X))[1]
    h_n = h_n[0] if kind == "LSTM" else h_n
    loss(model.head(torch.cat((h_n[-2], h_n[-1]))), LABELS[0]).backward()
    assert all(torch.allclose(p.grad, own[n]) for n, p in model.encoder.named_parameters())
    report = rnngrad.check(of_ends, own)
    assert report["verdict"] == "pass"
    grads["encoder.weight_hh_l1_reverse"] = grads["encoder.weight_hh_l1"]
    report = rnngrad.check(problem, grads)
    (wrong,) = [one for one in report["quantities"] if one["verdict"] == "fail"]
    assert wrong["name"] == "dL_dW_hh_reverse.1"


def test_starts_of_both_directions() -> None:
    torch.manual_seed(5)
    net = nn.LSTM(INPUTS, HIDDEN, 2, bidirectional=True).double()
    h_0, c_0 = (torch.randn(4, HIDDEN, dtype=torch.float64, requires_grad=True) for _ in range(2))
    h, _ = net(torch.tensor(X), (h_0, c_0))
    h.retain_grad()
    torch.sin(h).prod(dim=0).sum().backward()
    problem = rnngrad.from_torch(net, X, upstream=h.grad, h_0=h_0, c_0=c_0)
    result = rnngrad.derive(problem)
    expected = {f"dL_d{name}{way}": start.grad.numpy()[at::2].ravel()
                for name, start in (("h_0", h_0), ("c_0", c_0))
                for at, way in enumerate(("", "_reverse"))}  # fmt: skip
    assert not wrong_rows({name: result[name] for name in expected}, expected)


@pytest.mark.parametrize("between", [nn.Identity(), nn.Tanh(), nn.ReLU()])
@pytest.mark.parametrize("words", [0, WORDS])
def test_a_dense_layer_in_front(between: Any, words: int) -> None:
    class Front(Model):
        def __init__(self) -> None:
            super().__init__(nn.GRU(5, HIDDEN), words=words)
            rnn, head = self.encoder, self.head
            del self.encoder, self.head
            self.front, self.between = nn.Linear(INPUTS, 5), between
            self.encoder, self.head = rnn, head

        def forward(self, x: Any) -> Any:
            x = self.emb(x) if self.emb is not None else x
            return self.head(self.encoder(self.between(self.front(x)))[0])

    torch.manual_seed(6)
    model, loss = Front().double().eval(), nn.CrossEntropyLoss()
    x = torch.tensor([1, 8, 0, 0, 3, 8, 2]) if words else torch.tensor(X)
    problem = rnngrad.from_torch(model, x, LABELS, loss=loss)
    loss(model(x), LABELS).backward()
    report: Any = rnngrad.check(problem, {n: p.grad for n, p in model.named_parameters()})
    found = {one["name"]: one["verdict"] for one in report["quantities"]}
    assert set(found.values()) == {"pass"}
    assert {"dL_dW_in", "dL_db_in", "dL_dW_hy"} <= found.keys()
    assert ("dL_dembedding" in found) is bool(words)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_activation_with_options_is_not_the_one_by_default(dtype: Any) -> None:
    def model(between: Any) -> Any:
        torch.manual_seed(6)
        return Sequence(
            nn.Linear(INPUTS, 5), between, nn.GRU(5, HIDDEN), nn.Linear(HIDDEN, OUTPUTS)
        )

    class Sequence(nn.Sequential):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return self[3](self[2](self[1](self[0](x)))[0])

    x = torch.tensor(X).to(dtype)
    loss = nn.CrossEntropyLoss()
    for between in (nn.GELU(), nn.LeakyReLU(), nn.ReLU(inplace=True)):
        assert rnngrad.from_torch(model(between).to(dtype), x, LABELS, loss=loss)
    for between in (nn.GELU("tanh"), nn.LeakyReLU(0.2), nn.Softmin(-1)):
        with pytest.raises(rnngrad.UsageError) as refused:
            rnngrad.from_torch(model(between).to(dtype), x, LABELS, loss=loss)
        assert f"{between} stands before the recurrent net, where" in str(refused.value)


def test_a_dense_layer_in_front_that_is_followed_by_something_else_is_refused() -> None:
    class Hidden(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.front, self.rnn = nn.Linear(INPUTS, 5), nn.GRU(5, HIDDEN)
            self.head = nn.Linear(HIDDEN, OUTPUTS)

        def forward(self, x: Any) -> Any:
            return self.head(self.rnn(torch.sin(self.front(x)))[0])

    model = Hidden().double()
    with pytest.raises(rnngrad.UsageError, match=r"such as F.relu between them\? Make it a module"):
        rnngrad.from_torch(model, torch.tensor(X), LABELS, loss=nn.CrossEntropyLoss())
    with pytest.raises(rnngrad.UsageError, match="front stands before the recurrent net"):
        rnngrad.from_torch(model, X, LABELS, loss=nn.CrossEntropyLoss())
