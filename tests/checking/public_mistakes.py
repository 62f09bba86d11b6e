"""Mistakes in backward passes that people have published, as edits of plain reference passes.

A reference is the text of a function as it stands in courses and blog posts: loops over t, plain
NumPy, nothing of rnngrad. A mistake is an edit of that text, with its source, what it is in words,
and what check should say of it: the bug, and the part of ``where`` that is certain, of each of two
where two are made at once. ``bugs`` is empty where no name is fair: where nothing but zeros is
left, as many mistakes leave, or what was done is none of the graph's mistakes. Then check may only
say what is still right, or that all is zero.

``python tests/checking/public_mistakes.py`` prints what check says of each today.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

import rnngrad

RNN = """\
import numpy as np


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def softmax(a):
    e = np.exp(a - np.max(a))
    return e / np.sum(e)


def backward(weights, inputs, targets, h_0):
    W_xh, W_hh, b_h = weights["W_xh"], weights["W_hh"], weights["b_h"]
    W_hy, b_y = weights["W_hy"], weights["b_y"]
    T = len(inputs)

    a, h, y = [], [], []
    h_prev = h_0
    for t in range(T):
        a.append(W_xh @ inputs[t] + W_hh @ h_prev + b_h)
        h.append(np.tanh(a[t]))
        y.append(softmax(W_hy @ h[t] + b_y))
        h_prev = h[t]

    dW_xh, dW_hh, dW_hy = np.zeros_like(W_xh), np.zeros_like(W_hh), np.zeros_like(W_hy)
    db_h, db_y = np.zeros_like(b_h), np.zeros_like(b_y)
    dL_dh = np.zeros((T + 1, len(h_0)))
    dh_next = np.zeros_like(h_0)
    for t in reversed(range(T)):
        h_prev = h[t - 1] if t > 0 else h_0
        dy = y[t] - targets[t]
        dh = W_hy.T @ dy + dh_next
        da = dh * (1 - h[t] ** 2)
        dW_hy += np.outer(dy, h[t])
        db_y += dy
        dW_xh += np.outer(da, inputs[t])
        dW_hh += np.outer(da, h_prev)
        db_h += da
        dL_dh[t + 1] = dh
        dh_next = W_hh.T @ da
    dL_dh[0] = dh_next
    return {
        "dL_dW_xh": dW_xh, "dL_dW_hh": dW_hh, "dL_db_h": db_h,
        "dL_dW_hy": dW_hy, "dL_db_y": db_y, "dL_dh": dL_dh,
    }
"""

SHEET = (  # sigmoid everywhere and the squared error, as on the exercise sheet
    RNN.replace("np.tanh(a[t])", "sigmoid(a[t])")
    .replace("y.append(softmax(", "y.append(sigmoid(")
    .replace("(1 - h[t] ** 2)", "h[t] * (1 - h[t])")
    .replace("dy = y[t] - targets[t]", "dy = 2 * (y[t] - targets[t]) * y[t] * (1 - y[t])")
)

LSTM = """\
import numpy as np


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def softmax(a):
    e = np.exp(a - np.max(a))
    return e / np.sum(e)


def backward(weights, inputs, targets, h_0, *, c_0):
    W_xh, W_hh, b_h = weights["W_xh"], weights["W_hh"], weights["b_h"]
    W_hy, b_y = weights["W_hy"], weights["b_y"]
    T, H = len(inputs), len(h_0)

    gates, a_s, cs, hs, ys = [], [], [], [], []
    h, c = h_0, c_0
    for t in range(T):
        a = W_xh @ inputs[t] + W_hh @ h + b_h
        i, f, o = sigmoid(a[:H]), sigmoid(a[H : 2 * H]), sigmoid(a[3 * H :])
        g = np.tanh(a[2 * H : 3 * H])
        c = f * c + i * g
        h = o * np.tanh(c)
        gates.append((i, f, g, o))
        a_s.append(a)
        cs.append(c)
        hs.append(h)
        ys.append(softmax(W_hy @ h + b_y))

    dW_xh, dW_hh, dW_hy = np.zeros_like(W_xh), np.zeros_like(W_hh), np.zeros_like(W_hy)
    db_h, db_y = np.zeros_like(b_h), np.zeros_like(b_y)
    dL_dh, dL_dc = np.zeros((T + 1, H)), np.zeros((T + 1, H))
    dh_next, dc_next = np.zeros_like(h_0), np.zeros_like(c_0)
    for t in reversed(range(T)):
        i, f, g, o = gates[t]
        h, c = hs[t], cs[t]
        h_prev = hs[t - 1] if t > 0 else h_0
        c_prev = cs[t - 1] if t > 0 else c_0
        dy = ys[t] - targets[t]
        dh = W_hy.T @ dy + dh_next
        do = dh * np.tanh(c)
        dc = dh * o * (1 - np.tanh(c) ** 2) + dc_next
        di = dc * g
        df = dc * c_prev
        dg = dc * i
        da_i = di * i * (1 - i)
        da_f = df * f * (1 - f)
        da_g = dg * (1 - g**2)
        da_o = do * o * (1 - o)
        da = np.concatenate([da_i, da_f, da_g, da_o])
        dW_hy += np.outer(dy, h)
        db_y += dy
        dW_xh += np.outer(da, inputs[t])
        dW_hh += np.outer(da, h_prev)
        db_h += da
        dL_dh[t + 1], dL_dc[t + 1] = dh, dc_next
        dh_next = W_hh.T @ da
        dc_next = dc * f
    dL_dh[0], dL_dc[0] = dh_next, dc_next
    return {
        "dL_dW_xh": dW_xh, "dL_dW_hh": dW_hh, "dL_db_h": db_h,
        "dL_dW_hy": dW_hy, "dL_db_y": db_y, "dL_dh": dL_dh, "dL_dc": dL_dc,
    }
"""

GRU = """\
import numpy as np


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def softmax(a):
    e = np.exp(a - np.max(a))
    return e / np.sum(e)


def backward(weights, inputs, targets, h_0):
    W_xh, W_hh, W_hy = weights["W_xh"], weights["W_hh"], weights["W_hy"]
    b_xh, b_hh, b_y = weights["b_xh"], weights["b_hh"], weights["b_y"]
    T, H = len(inputs), len(h_0)
    W_hr, W_hz, W_hn = W_hh[:H], W_hh[H : 2 * H], W_hh[2 * H :]

    kept, hs, ys = [], [], []
    h = h_0
    for t in range(T):
        x, u = W_xh @ inputs[t] + b_xh, W_hh @ h + b_hh
        r = sigmoid(x[:H] + u[:H])
        z = sigmoid(x[H : 2 * H] + u[H : 2 * H])
        m = u[2 * H :]
        n = np.tanh(x[2 * H :] + r * m)
        h = (1 - z) * n + z * h
        kept.append((r, z, n, m, x + u))
        hs.append(h)
        ys.append(softmax(W_hy @ h + b_y))

    dW_xh, dW_hh, dW_hy = np.zeros_like(W_xh), np.zeros_like(W_hh), np.zeros_like(W_hy)
    db_xh, db_hh, db_y = np.zeros_like(b_xh), np.zeros_like(b_hh), np.zeros_like(b_y)
    dL_dh = np.zeros((T + 1, H))
    dh_next = np.zeros_like(h_0)
    for t in reversed(range(T)):
        r, z, n, m, a = kept[t]
        h = hs[t]
        h_prev = hs[t - 1] if t > 0 else h_0
        dy = ys[t] - targets[t]
        dh = W_hy.T @ dy + dh_next
        dn = dh * (1 - z)
        dz = dh * (h_prev - n)
        da_n = dn * (1 - n**2)
        dr = da_n * m
        dm = da_n * r
        da_r = dr * r * (1 - r)
        da_z = dz * z * (1 - z)
        da_x = np.concatenate([da_r, da_z, da_n])
        da_h = np.concatenate([da_r, da_z, dm])
        dW_hy += np.outer(dy, h)
        db_y += dy
        dW_xh += np.outer(da_x, inputs[t])
        dW_hh += np.outer(da_h, h_prev)
        db_xh += da_x
        db_hh += da_h
        dL_dh[t + 1] = dh
        dh_next = W_hh.T @ da_h + dh * z
    dL_dh[0] = dh_next
    return {
        "dL_dW_xh": dW_xh, "dL_dW_hh": dW_hh, "dL_db_xh": db_xh, "dL_db_hh": db_hh,
        "dL_dW_hy": dW_hy, "dL_db_y": db_y, "dL_dh": dL_dh,
    }
"""

REFERENCES = {"rnn": RNN, "sheet": SHEET, "lstm": LSTM, "gru": GRU}

GH = "https://github.com/"
SOURCES = {
    "issue": "the list of the issue that asked for this",
    "victorzhou": "https://victorzhou.com/blog/intro-to-rnns/, RNN.backprop",
    "AI_EC": GH + "elizaluna007/AI_EC, RNN.py",
    "qixianbiao": GH + "qixianbiao/RNN/issues/2, 'backward seems wrong'",
    "javaidnabi31": GH + "javaidnabi31/RNN-from-scratch/issues/2, 'dc update question'",
    "zero_to_gpt": GH + "VikParuchuri/zero_to_gpt/issues/9, 'hidden state index at t=1'",
    "learn_dl 29": GH + "hanbt/learn_dl/issues/29, calc_delta_k of rnn.py is wrong in two places",
    "learn_dl 30": GH + "hanbt/learn_dl/issues/30, W_x of the last step alone, why no sum?",
    "learn_dl 53": GH + "hanbt/learn_dl/issues/53, 'Error in lstm.py'",
    "learn_dl lstm": GH + "hanbt/learn_dl, lstm.py, calc_delta_k",
    "oreilly 26": GH + "oreilly-japan/deep-learning-from-scratch-2/issues/26",
    "d2l 2616": GH + "d2l-ai/d2l-en/issues/2616, dh_t/dW_hh is said to be h_(t-1)",
    "davidkorea": GH + "davidkorea/NLP_201811, RNN_LSTM_GRU, lossFun in the style of min-char-rnn",
    "neural2d": GH + "davidrmiller/neural2d/issues/40, '1 - tanh(tanh(x))^2'",
    "horn": GH + "apache/incubator-retired-horn/pull/4, Tanh.applyDerivative is 1 - x*x",
    "interviews": GH + "BoltzmannEntropy/interviews.ai/issues/4, 'y(1-y), not x(1-x)'",
    "rnn vignette": "https://cran.r-project.org/web/packages/rnn/vignettes/rnn_units.html",
    "lstm vignette": "https://cran.r-project.org/web/packages/rnn/vignettes/LSTM_units.html",
    "gru vignette": "https://cran.r-project.org/web/packages/rnn/vignettes/GRU_units.html",
    "trask": "https://datascience.stackexchange.com, a question on line 99 of "
    "https://iamtrask.github.io/2015/11/15/anyone-can-code-lstm/",
    "blame float": "https://datascience.stackexchange.com/questions/30850, 'can I blame float?'",
    "wildml": "https://www.wildml.com/2015/10/recurrent-neural-networks-tutorial-part-3-"
    "backpropagation-through-time-and-vanishing-gradients/, bptt_truncate",
    "gy910210": GH + "gy910210/rnn-from-scratch, the file 'mistake'",
    "MarkusHohle": GH + "MarkusHohle/RNN-from-Scratch, '3 full BP/RNN.py'",
    "FonzieTree": GH + "FonzieTree/RNN-From-Scratch, hello_rnn.py",
    "cpuheater": GH + "cpuheater/pytorch_examples/issues/5, 'updating the weights at every step'",
    "dlai 555129": "https://community.deeplearning.ai/t/555129, 'all outputs are zero'",
    "oxnn": GH + "tkocisky/oxnn/issues/3, which target belongs to which step",
    "torch grad": "https://docs.pytorch.org/docs/stable/generated/torch.Tensor.grad.html and "
    "D. Voigt Godoy, Deep Learning with PyTorch Step-by-Step: gradients accumulate",
    "korean": "a Korean course on min-char-rnn: 'take care: not hs[t] but hs[t-1]'",
    "demo 2": GH + "llSourcell/recurrent_neural_net_demo/issues/2, 'Wrong formula'",
    "trask sign": GH + "llSourcell/recurrent_neural_net_demo, rnn.py: error = y - layer_2",
    "SimpleGRU": "a public class SimpleGRU in NumPy: dW_y += dy h_prev^T, dy = y - target, and "
    "dh_next = dh_prev + U_z^T dz_sigmoid + U_r^T dr_sigmoid",
    "CaptainE 1": GH + "CaptainE/RNN-LSTM-in-numpy/issues/1, 'Questions on the LSTM backprop'",
    "CaptainE 2": GH + "CaptainE/RNN-LSTM-in-numpy/pull/2, the notebook after the fix",
    "nicklas": GH + "nicklashansen/rnn_lstm_from_scratch/issues/1, fails the gradient check",
    "EpyNN lstm": GH + "Synthaze/EpyNN, an early nnlibs/lstm/backward.py",
    "EpyNN gru": GH + "Synthaze/EpyNN, an early nnlibs/gru/backward.py: h[t-1] at t = 0",
    "mxnet": GH + "apache/mxnet/issues/4057, 'dCt should += rather than ='",
    "omerbsezer": GH + "omerbsezer/LSTM_RNN_Tutorials_with_Demo/issues/2, line 235",
    "Demo": GH + "llSourcell/LSTM_Networks, LSTM Demo.ipynb",
    "Demo 4": GH + "llSourcell/LSTM_Networks/issues/4, 'something missing in dphs?'",
    "nico 30": GH + "nicodjimenez/lstm/pull/30, 'do = np.tanh(s) * top_diff_h?'",
    "nico 33": GH + "nicodjimenez/lstm/issues/33, 'why there is no 0.5*'",
    "nico 41": GH + "nicodjimenez/lstm/issues/41, 'should be 1. + values**2'",
    "stock lstm": "a public LSTM for stock prices: each array clipped to norm 1",
    "ppo lstm": "a public LSTM cell for PPO: dc = np.clip(dc, -10, 10) in every step",
    "c_prev lstm": "a public LSTMLayer in NumPy: do = dh * tanh(c_prev) * o * (1 - o)",
    "Wc dc": "a public LSTM in NumPy: dz = Wf^T df + Wi^T di + Wc^T dc + Wo^T do",
    "no o": "a public char-LSTM: dc_next = da_next * (1 - tanh(c_next)^2)",
    "dot for ot": "a public course solution: dc_prev = dc_next ft + dot (1 - tanh^2) ft da_next",
    "course 8-10": "deeplearning.ai, Building your Recurrent Neural Network - Step by Step (v3), "
    "equations (8) to (10) as printed",
    "course 8": GH + "jinzishuai/learn2deeplearn/issues/44, 'all works but equation (8)'",
    "dansoutner": GH + "dansoutner/LSTM/issues/5, 'did you forget the derivative of softmax?'",
    "overwrote h": "https://newbe.dev/my-lstm-learns-loss-decreases-but-numerical-gradients-don-t-"
    "match-analytical-gradients",
    "8804who": GH + "8804who/paper_implementation, models/LSTM.ipynb",
    "cs231n": "CS231n assignment 3: the gates of lstm_step_backward stand in the order i, f, o, g",
    "AiDotNet": GH + "ooples/AiDotNet/pull/722, review of GruKernels.cs",
    "two grus": "https://gitcode.net/paddlepaddle/Paddle/-/issues/5493; "
    + GH
    + "mindspore-ai/mindspore/issues/149: z and 1 - z change places",
    "GRUCell": "a public GRUCell in NumPy: dh_prev = dh_next (1 - z) + dh_prev_z + dh_prev_r",
    "nianiaele": GH + "nianiaele/gru-cell-in-numpy, gru.py at 3301d00",
    "GRUBlock": "https://www.tensorflow.org/versions/r2.5/api_docs/java/org/tensorflow/op/core/"
    "GRUBlockCellGrad",
    "DIDL 88": GH + "ShusenTang/Dive-into-DL-PyTorch/issues/88, R * (H W) or (R * H) W?",
    "Arraymancer": GH + "mratsim/Arraymancer/pull/237, '+= instead of replacing'",
    "gru clip": "a public GRU in NumPy: the gates' gradients clipped in every step",
    "dlbook": "the review list of a public book on deep learning: 'P0-24 LSTM backward takes the "
    "start for zero at t = 0'",
    "bugs note": "a public note, 'LSTM Implementation Bugs and Fixes' (2025-09-06), point 1",
    "d_concat": "a public LSTM in NumPy: d_c = o * d_y + d_c_next, d_f = d_c * c_prev, no slopes",
    "power": "a public char-LSTM: dc = ot * da * (1 - np.power(c, 2))",
    "dc_bar": "a public LSTM of several layers: dc_bar = dh * i, di = dh * c_bar, df = dh * c_prev",
    "dC C_t": "a public LSTM in NumPy: df = dC * C_t",
    "h_prev slope": "a public RNN layer in NumPy: dtanh = dh_next * (1 - h_prev ** 2)",
    "h_prev dh": "a public encoder and decoder: dt = dh_next * (1 - h_prev ** 2), dh += dh_prev",
    "DWhh": "a public char-RNN: DWhh += hs[t-1].T @ dh_rec",
    "min-char-rnn": "https://gist.github.com/karpathy/d4dee566867f8291f086, the end of lossFun",
    "drh": "a public GRU in NumPy: dh_prev = dh * (1 - z) + drh * r",
    "h_tilde": "a public GRU in NumPy: dh_tilde = dh (1 - z) beside dz = dh (h_tilde - h_prev)",
    "darknet": GH + "pjreddie/darknet/issues/636, backward_gru_layer is empty",
}


class Mistake(NamedTuple):
    """``edits`` are (old, new) of the reference ``net``'s text; ``old`` occurs just once there."""

    id: str
    net: str
    source: str
    words: str
    edits: tuple[tuple[str, str], ...]
    bugs: tuple[str, ...]
    where: tuple[dict[str, Any], ...]
    pair: bool


PREV = "h[t - 1] if t > 0 else h_0"
PREVS = "hs[t - 1] if t > 0 else h_0"
BACK = "for t in reversed(range(T)):"
WRONG, STEPS, OVER = ("wrong-partial",), ("wrong-steps",), ("overwritten",)


def of(net: str, *records: Sequence[Any]) -> tuple[Mistake, ...]:
    """Records of one reference: name, source, words, edits, bugs, then where and "pair" if any."""
    return tuple(
        Mistake(
            f"{net}-{name}", net, source, words, tuple(edits), bugs,
            tuple(part for part in rest if isinstance(part, dict)), "pair" in rest,
        )
        for name, source, words, edits, bugs, *rest in records
    )  # fmt: skip


OF_RNN = of(
    "rnn",
    ("first-step", "issue", "the loop back stops before step 1",
     [(BACK, "for t in range(T - 1, 0, -1):")], STEPS, {"steps": {"1": 0}}),
    ("last-step", "issue", "the loop back begins at step T - 1",
     [(BACK, "for t in reversed(range(T - 1)):")], STEPS, {"steps": {"T": 0}}),
    ("equals", "issue", "= for += in ∂L/∂W_hh", [("dW_hh += ", "dW_hh = ")], OVER),
    ("h-minus-1", "issue", "h[-1] of a list for h_0", [(PREV, "h[t - 1]")], ("wrapped-index",)),
    ("carry-kept", "davidkorea", "dhnext += : the carry is added up and never reset",
     [("dh_next = W_hh.T", "dh_next += W_hh.T")], ("carry-not-reset",)),
    ("next-x", "issue", "x_{t+1} for x_t (x_T at the end)",
     [("np.outer(da, inputs[t])", "np.outer(da, inputs[min(t + 1, T - 1)])")],
     WRONG, {"used": "x_{t+1}"}),
    ("clip", "issue", "the carry is clipped in the loop",
     [("dh_next = W_hh.T @ da", "dh_next = np.clip(W_hh.T @ da, -0.05, 0.05)")],
     ("clipped-on-the-way",), {"limit": 0.05}),
    ("slope-twice", "issue", "σ' twice", [("(1 - h[t] ** 2)", "(1 - h[t] ** 2) ** 2")], WRONG),
    ("diagonal", "issue", "only the diagonal of W_hh on the way back",
     [("W_hh.T @ da", "np.diag(W_hh) * da")], WRONG),
    ("slope-at-output", "neural2d", "tanh' of what has been through tanh",
     [("(1 - h[t] ** 2)", "(1 - np.tanh(h[t]) ** 2)")], ("activation-derivative-of-output",)),
    ("not-transposed", "victorzhou", "d_h = Whh @ temp: W_hh where its transpose belongs",
     [("W_hh.T @ da", "W_hh @ da")], ("transposed-W_hh",)),
    ("equals-not-transposed", "AI_EC", "= for += in three sums, and W_hh not transposed",
     [("dW_xh += ", "dW_xh = "), ("dW_hh += ", "dW_hh = "), ("db_h += ", "db_h = "),
      ("W_hh.T @ da", "W_hh @ da")], (*OVER, "transposed-W_hh"), "pair"),
    ("no-carry", "qixianbiao", "nothing of h is passed on to the step before",
     [("dy + dh_next", "dy")], ("immediate-only",)),
    ("bias-of-itself", "javaidnabi31", "dc += dc for dc += dy: ∂L/∂b_y stays zero",
     [("db_y += dy", "db_y += db_y")], ()),
    ("h-1-for-h-0", "zero_to_gpt", "h_1 for h_0 at step 1 alone",
     [(PREV, "h[t - 1] if t > 0 else h[0]")], (*WRONG, *STEPS)),
    ("state-for-slope", "learn_dl 29", "h_t itself where its slope belongs",
     [("(1 - h[t] ** 2)", "h[t]")], WRONG, {"used": "h_t"}),
    ("state-next-step", "learn_dl 29", "h_{t+1} where the slope at t belongs",
     [("(1 - h[t] ** 2)", "h[min(t + 1, T - 1)]")], WRONG),
    ("slope-inverted", "oreilly 26", "1 / (1 - h²) for 1 - h²",
     [("* (1 - h[t] ** 2)", "/ (1 - h[t] ** 2)")], WRONG, {"partial": "∂h_t"}),
    ("weights-without-slope", "d2l 2616", "∂h_t/∂W_hh taken as h_{t-1}: no σ' at the weights",
     [("np.outer(da, inputs[t])", "np.outer(dh, inputs[t])"),
      ("np.outer(da, h_prev)", "np.outer(dh, h_prev)"), ("db_h += da", "db_h += dh")],
     ("missing-activation-derivative",)),
    ("carry-at-W_xh", "rnn vignette", "δ5 = δ4 Wᵀ for δ4 in ∂L/∂W_xh",
     [("np.outer(da, inputs[t])", "np.outer(W_hh.T @ da, inputs[t])")], ()),
    ("slope-added", "trask", "σ' is added where it multiplies",
     [("dh * (1 - h[t] ** 2)", "dh + (1 - h[t] ** 2)")], ()),
    ("truncated", "wildml", "each loss goes back two steps only (bptt_truncate)",
     [("W_hh.T @ da", "W_hh.T @ ((W_hy.T @ dy) * (1 - h[t] ** 2))")],
     ("truncated",), {"steps": 2}),
    ("losses-again", "gy910210", "L_1 … L_t go back once more at every t",
     [("dh = W_hy.T @ dy", "dh = (T - t) * (W_hy.T @ dy)")], (*STEPS, "carry-not-reset")),
    ("late-loss", "MarkusHohle", "∂L_{t+1}/∂h enters at h_t: L_T twice, L_1 never",
     [("dh = W_hy.T @ dy", "dh = W_hy.T @ (y[min(t + 1, T - 1)] - targets[min(t + 1, T - 1)])")],
     WRONG),
    ("twice-transposed", "MarkusHohle", "W_hh not transposed, and ∂L/∂W_hh transposed",
     [("W_hh.T @ da", "W_hh @ da"), ("np.outer(da, h_prev)", "np.outer(h_prev, da)")],
     ("transposed-W_hh", "transposed"), "pair"),
    ("output-for-error", "FonzieTree", "y_t for the error y_t - target_t at W_hy",
     [("np.outer(dy, h[t])", "np.outer(y[t], h[t])")], WRONG),
    ("slope-of-delta", "FonzieTree", "x (1 - x) of the error itself",
     [("dh * (1 - h[t] ** 2)", "dh * (1 - dh)")], ()),
    ("weights-moved", "cpuheater", "W_hh is updated before the step before is reached",
     [("W_hh.T @ da", "(W_hh - 0.1 * dW_hh).T @ da")], ()),
    ("no-loss", "dlai 555129", "da_prevt alone, without da[:, :, t]: all zeros",
     [("dh = W_hy.T @ dy + dh_next", "dh = dh_next")], ()),
    ("target-before", "oxnn", "the target of the step before (the last at step 1)",
     [("dy = y[t] - targets[t]", "dy = y[t] - targets[t - 1]")], WRONG),
    ("backward-twice", "torch grad", "backward() twice, .grad not reset: everything doubled",
     [("    return {\n", "    dW_xh, dW_hh, db_h, dW_hy, db_y, dL_dh = [\n"
       "        2 * each for each in (dW_xh, dW_hh, db_h, dW_hy, db_y, dL_dh)\n    ]\n"
       "    return {\n")], ("scaled",), {"factor": 2}),
    ("h-t", "korean", "h_t for h_{t-1} at W_hh",
     [("np.outer(da, h_prev)", "np.outer(da, h[t])")], ("h_t-for-h_prev",)),
    ("slope-of-input", "horn", "1 - a² for 1 - tanh(a)²",
     [("(1 - h[t] ** 2)", "(1 - a[t] ** 2)")], WRONG, {"partial": "∂h_t"}),
    ("readout-equals", "AI_EC", "d_Why = and d_by = of one step alone",
     [("dW_hy += ", "dW_hy = "), ("db_y += ", "db_y = ")], OVER),
    ("slope-before", "h_prev slope", "σ' at h_{t-1}: 1 - h_prev²",
     [("(1 - h[t] ** 2)", "(1 - h_prev**2)")], (*WRONG, "activation-derivative-wrong-step")),
    ("slope-before-carry-kept", "h_prev dh", "1 - h_prev², and dh += dh_prev",
     [("(1 - h[t] ** 2)", "(1 - h_prev**2)"), ("dh_next = W_hh.T", "dh_next += W_hh.T")],
     (*WRONG, "activation-derivative-wrong-step", "carry-not-reset"), "pair"),
    ("inner-product", "DWhh", "a number, the inner product of h_{t-1} and the error, at W_hh",
     [("np.outer(da, h_prev)", "h_prev @ da")], ()),
    ("clip-at-end", "min-char-rnn", "np.clip(dparam, -5, 5) before the comparison",
     [("    return {\n", "    for each in (dW_xh, dW_hh, dW_hy, db_h, db_y):\n"
       "        np.clip(each, -0.05, 0.05, out=each)\n    return {\n")],
     ("clipped",), {"limit": 0.05}),
)  # fmt: skip

OF_SHEET = of(
    "sheet",
    ("no-2", "SimpleGRU", "dy = y - target for the square's derivative",
     [("dy = 2 * (", "dy = (")], ("missing-factor-2",)),
    ("no-output-slope", "Demo", "error · w without the read-out's sigmoid'",
     [("dh = W_hy.T @ dy", "dh = W_hy.T @ (2 * (y[t] - targets[t]))")],
     ("missing-output-derivative",)),
    ("sign", "trask sign", "target - y, as for an update that is added",
     [("2 * (y[t] - targets[t])", "2 * (targets[t] - y[t])")], ("sign-flipped",)),
    ("output-slope-of-input", "demo 2", "x (1 - x) of the read-out's pre-activation",
     [("* y[t] * (1 - y[t])", "* (W_hy @ h[t] + b_y) * (1 - (W_hy @ h[t] + b_y))")],
     WRONG, {"partial": "∂L_t/∂ỹ_t", "used": "∂L_t/∂y_t ∘ ỹ_t ∘ (1 − ỹ_t)"}),
    ("output-slope-twice", "Demo", "dsigmoid of y_t, which has been through sigmoid",
     [("* y[t] * (1 - y[t])", "* sigmoid(y[t]) * (1 - sigmoid(y[t]))")], WRONG),
    ("slope-of-input", "interviews", "x (1 - x) for y (1 - y)",
     [("dh * h[t] * (1 - h[t])", "dh * a[t] * (1 - a[t])")], WRONG, {"partial": "∂h_t"}),
    ("slope-of-tanh", "Demo", "tanh' where the unit is a sigmoid",
     [("dh * h[t] * (1 - h[t])", "dh * (1 - np.tanh(a[t]) ** 2)")],
     WRONG, {"partial": "∂h_t"}),
)  # fmt: skip

OF_LSTM = of(
    "lstm",
    ("i-for-g", "issue", "∂c_t/∂i_t taken as i_t", [("di = dc * g", "di = dc * i")],
     WRONG, {"partial": "∂c_t/∂i_t", "used": "i_t"}),
    ("tanh-of-tanh-c", "EpyNN lstm", "tanh' of tanh(c_t)",
     [("(1 - np.tanh(c) ** 2)", "(1 - np.tanh(np.tanh(c)) ** 2)")], WRONG, {"partial": "∂h_t"}),
    ("no-c-carry", "mxnet", "dc = for dc +=: c's own carry left out",
     [("** 2) + dc_next", "** 2)")], WRONG, {"partial": "∂c_t/∂c_{t-1}", "used": "0"}),
    ("carry-without-f", "issue", "c's carry without f_t", [("dc_next = dc * f", "dc_next = dc")],
     WRONG, {"partial": "∂c_t/∂c_{t-1}", "used": "1"}),
    ("f-without-slope", "issue", "the forget gate's σ' left out",
     [("df * f * (1 - f)", "df")], WRONG, {"partial": "∂f_t"}),
    ("first-step", "issue", "the loop back stops before step 1",
     [(BACK, "for t in range(T - 1, 0, -1):")], STEPS, {"steps": {"1": 0}}),
    ("last-step", "issue", "the loop back begins at step T - 1",
     [(BACK, "for t in reversed(range(T - 1)):")], STEPS, {"steps": {"T": 0}}),
    ("equals", "issue", "= for += in ∂L/∂W_hh", [("dW_hh += ", "dW_hh = ")], OVER),
    ("h-minus-1", "issue", "hs[-1] of a list for h_0", [(PREVS, "hs[t - 1]")], ("wrapped-index",)),
    ("c-minus-1", "issue", "cs[-1] of a list for c_0",
     [("cs[t - 1] if t > 0 else c_0", "cs[t - 1]")], ("wrapped-index",)),
    ("carry-kept", "issue", "h's carry is added up and never reset",
     [("dh_next = W_hh.T", "dh_next += W_hh.T")], ("carry-not-reset",)),
    ("c-carry-kept", "issue", "c's carry is added up and never reset",
     [("dc_next = dc * f", "dc_next = dc_next + dc * f")], ("carry-not-reset",)),
    ("next-x", "issue", "x_{t+1} for x_t (x_T at the end)",
     [("np.outer(da, inputs[t])", "np.outer(da, inputs[min(t + 1, T - 1)])")],
     WRONG, {"used": "x_{t+1}"}),
    ("clip", "Demo", "e and dcs clipped in every step",
     [("dy + dh_next", "dy + np.clip(dh_next, -0.05, 0.05)")], ("clipped-on-the-way",)),
    ("clip-c", "ppo lstm", "dc clipped in every step",
     [("** 2) + dc_next", "** 2) + dc_next\n        dc = np.clip(dc, -0.05, 0.05)")],
     ("clipped-on-the-way",)),
    ("slope-twice", "issue", "σ' of gate i twice",
     [("di * i * (1 - i)", "di * (i * (1 - i)) ** 2")], WRONG, {"partial": "∂i_t"}),
    ("diagonal", "issue", "only the diagonals of W_hh on the way back",
     [("W_hh.T @ da", "sum(np.diag(W_hh[k * H :]) * da[k * H : (k + 1) * H] for k in range(4))")],
     WRONG),
    ("f-sigmoid-for-slope", "CaptainE 1", "df = sigmoid(f[t]) * df: σ(f) for σ'",
     [("df * f * (1 - f)", "df * sigmoid(f)")], WRONG, {"partial": "∂f_t"}),
    ("no-carries", "CaptainE 1", "dh_next and dC_next are never updated",
     [("dh_next = W_hh.T @ da", "dL_dh[0] = W_hh.T @ da"), ("dc_next = dc * f", "pass")],
     ("immediate-only",)),
    ("slopes-at-outputs", "CaptainE 2", "all slopes of what has been through the function",
     [("di * i * (1 - i)", "di * sigmoid(i) * (1 - sigmoid(i))"),
      ("df * f * (1 - f)", "df * sigmoid(f) * (1 - sigmoid(f))"),
      ("do * o * (1 - o)", "do * sigmoid(o) * (1 - sigmoid(o))"),
      ("(1 - g**2)", "(1 - np.tanh(g) ** 2)"),
      ("(1 - np.tanh(c) ** 2)", "(1 - np.tanh(np.tanh(c)) ** 2)")],
     ("activation-derivative-of-output",)),
    ("f-and-tanh-c", "nicklas", "σ(f) for σ', and tanh' of tanh(c_t)",
     [("df * f * (1 - f)", "df * sigmoid(f)"),
      ("(1 - np.tanh(c) ** 2)", "(1 - np.tanh(np.tanh(c)) ** 2)")], WRONG, "pair"),
    ("no-h-carry", "omerbsezer", "da[:, :, t] without da_prevt: c alone carries back",
     [("dy + dh_next", "dy")], WRONG),
    ("biases-of-f", "learn_dl 53", "b_i and b_o get the forget gate's error",
     [("db_h += da", "db_h += np.concatenate([da_f, da_f, da_g, da_f])")], WRONG),
    ("last-W_xh", "learn_dl 30", "∂L/∂W_xh of the last step alone",
     [("dW_xh += np.outer(da, inputs[t])", "dW_xh += np.outer(da, inputs[t]) * (t == T - 1)")],
     (*STEPS, *OVER)),
    ("biases-no-c-carry", "learn_dl lstm", "b_i and b_o of f, and c's carry left out",
     [("db_h += da", "db_h += np.concatenate([da_f, da_f, da_g, da_f])"),
      ("** 2) + dc_next", "** 2)")], WRONG, "pair"),
    ("o-tanh-slope", "Demo", "dtangent(o): tanh' for σ' at gate o",
     [("do * o * (1 - o)", "do * (1 - np.tanh(o) ** 2)")], WRONG, {"partial": "∂o_t"}),
    ("g-at-output", "Demo", "dtangent(c): tanh' of g_t, which has been through tanh",
     [("(1 - g**2)", "(1 - np.tanh(g) ** 2)")], WRONG, {"partial": "∂g_t"}),
    ("i-at-output", "Demo", "dsigmoid(i): σ' of i_t, which has been through σ",
     [("di * i * (1 - i)", "di * sigmoid(i) * (1 - sigmoid(i))")], WRONG, {"partial": "∂i_t"}),
    ("back-without-slopes", "Demo 4", "no gate's slope on the way back to h_{t-1}",
     [("W_hh.T @ da", "W_hh.T @ np.concatenate([di, df, dg, do])")],
     (*WRONG, "missing-activation-derivative")),
    ("average", "blame float", "averaged over the steps",
     [("    return {\n", "    dW_xh, dW_hh, db_h, dW_hy, db_y = [\n"
       "        each / T for each in (dW_xh, dW_hh, db_h, dW_hy, db_y)\n    ]\n"
       "    return {\n")], ("averaged-over-steps",)),
    ("one-step-too-many", "Demo", "range(rl, -1, -1): after step 1 index -1, step T again",
     [(BACK, "for t in range(T - 1, -2, -1):")], (*STEPS, "wrapped-index")),
    ("dc-for-g", "Wc dc", "W_cᵀ dc for W_cᵀ da_g on the way back",
     [("W_hh.T @ da", "W_hh.T @ np.concatenate([da_i, da_f, dc, da_o])")], WRONG,
     {"partial": "∂g_t/∂a_t", "used": "1"}, {"partial": "∂c_t/∂g_t", "used": "1"}, "pair"),
    ("c-before", "c_prev lstm", "tanh(c_{t-1}) for tanh(c_t), at both places",
     [("do = dh * np.tanh(c)", "do = dh * np.tanh(c_prev)"),
      ("(1 - np.tanh(c) ** 2)", "(1 - np.tanh(c_prev) ** 2)")], WRONG),
    ("dc-without-o", "no o", "∂h_t/∂c_t without o_t", [("dh * o * (1 -", "dh * (1 -")],
     WRONG, {"partial": "∂h_t"}),
    ("da_o-for-o", "dot for ot", "dot (gate o's error) for ot in c's carry",
     [("dc_next = dc * f", "dc_next = (dc_next + da_o * (1 - np.tanh(c) ** 2) * dh) * f")], ()),
    ("c-for-tanh-c", "nico 30", "∂h_t/∂o_t taken as c_t",
     [("do = dh * np.tanh(c)", "do = dh * c")], WRONG, {"partial": "∂h_t/∂o_t", "used": "c_t"}),
    ("one-plus-square", "nico 41", "tanh' as 1 + tanh²", [("(1 - g**2)", "(1 + g**2)")],
     WRONG, {"partial": "∂g_t"}),
    ("half", "nico 33", "half of ∂L/∂s_t", [("dc = dh *", "dc = 0.5 * dh *")],
     WRONG, {"partial": "∂h_t"}),
    ("product-for-sum", "lstm vignette",
     "δ8 = δ7 · δ4: the two ways into c_t multiplied, of which one begins as 0: dc stays 0",
     [("** 2) + dc_next", "** 2) * dc_next")], WRONG, {"partial": "∂h_t/∂c_t", "used": "0"}),
    ("f-for-i-back", "lstm vignette", "δ22 = δ16 W_i: gate f's error goes back through W_hi",
     [("W_hh.T @ da", "W_hh.T @ np.concatenate([da_f, da_f, da_g, da_o])")], WRONG),
    ("brackets", "course 8-10", "the slope multiplies one of two terms, in all three gates",
     [("dg * (1 - g**2)", "dc_next * i + (dc - dc_next) * i * g * (1 - np.tanh(g) ** 2)"),
      ("di * i * (1 - i)", "dc_next * g + (dc - dc_next) * g * i * (1 - i)"),
      ("df * f * (1 - f)", "dc_next * c_prev + (dc - dc_next) * c_prev * f * (1 - f)")], ()),
    ("bracket-f", "course 8-10", "gate f's slope multiplies one of two terms",
     [("df * f * (1 - f)", "dc_next * c_prev + (dc - dc_next) * c_prev * f * (1 - f)")], ()),
    ("equation-8", "course 8", "c̃ (1 - tanh(c̃)²) for 1 - c̃²",
     [("dg * (1 - g**2)", "dg * g * (1 - np.tanh(g) ** 2)")], WRONG, {"partial": "∂g_t"}),
    ("softmax-slope", "dansoutner", "p (1 - p) besides p - target",
     [("dy = ys[t] - targets[t]", "dy = (ys[t] - targets[t]) * ys[t] * (1 - ys[t])")], WRONG),
    ("start-moved", "overwrote h", "the state of an earlier run for h_0 and c_0",
     [("    h, c = h_0, c_0\n", "    h_0, c_0 = 0.5 * h_0, 0.5 * c_0\n    h, c = h_0, c_0\n")], ()),
    ("loop-forward", "8804who", "the loop back runs forward, the carry with it",
     [(BACK, "for t in range(T):")], ()),
    ("g-before-tanh", "8804who", "∂c_t/∂i_t taken before g's tanh",
     [("di = dc * g", "di = dc * a_s[t][2 * H : 3 * H]")], WRONG, {"partial": "∂c_t/∂i_t"}),
    ("norm", "stock lstm", "each array scaled to a norm",
     [("    return {\n", "    dW_xh, dW_hh, db_h, dW_hy, db_y = [\n"
       "        0.01 * each / np.linalg.norm(each) for each in (dW_xh, dW_hh, db_h, dW_hy, db_y)\n"
       "    ]\n    return {\n")], ("scaled",)),
    ("gate-order", "cs231n", "rows in the order i, f, o, g",
     [("np.outer(da, inputs[t])", "np.outer(np.concatenate([da_i, da_f, da_o, da_g]), inputs[t])"),
      ("np.outer(da, h_prev)", "np.outer(np.concatenate([da_i, da_f, da_o, da_g]), h_prev)"),
      ("db_h += da", "db_h += np.concatenate([da_i, da_f, da_o, da_g])")], ("gate-order",)),
    ("c-for-c-prev", "dC C_t", "c_t for c_{t-1} at gate f", [("df = dc * c_prev", "df = dc * c")],
     WRONG, {"partial": "∂c_t/∂f_t", "used": "c_t"}),
    ("error-for-output", "8804who", "the output itself for its error at W_hy",
     [("np.outer(dy, h)", "np.outer(ys[t], h)")], WRONG),
    ("start-as-zero", "dlbook", "h_0 and c_0 are taken as zero on the way back",
     [(PREVS, "hs[t - 1] if t > 0 else 0 * h_0"),
      ("cs[t - 1] if t > 0 else c_0", "cs[t - 1] if t > 0 else 0 * c_0")],
     ("dropped-h_0",)),
    ("no-tanh-slope", "d_concat", "∂h_t/∂c_t is o_t alone, without tanh'",
     [(" * (1 - np.tanh(c) ** 2)", "")], WRONG, {"partial": "∂h_t"}),
    ("no-slopes", "d_concat", "no slope anywhere: d_f = d_c * c_prev goes on as it is",
     [(" * (1 - np.tanh(c) ** 2)", ""), ("di * i * (1 - i)", "di"), ("df * f * (1 - f)", "df"),
      ("dg * (1 - g**2)", "dg"), ("do * o * (1 - o)", "do")], ("missing-activation-derivative",)),
    ("lists-shifted", "bugs note", "lists that begin with the start: h_{t-1}, c_{t-1}, c_{t-2}",
     [("np.outer(dy, h)", "np.outer(dy, h_prev)"),
      ("do = dh * np.tanh(c)", "do = dh * np.tanh(c_prev)"),
      ("(1 - np.tanh(c) ** 2)", "(1 - np.tanh(c_prev) ** 2)"),
      ("df = dc * c_prev", "df = dc * [c_0, *cs][t - 1]")],
     WRONG, {"partial": "∂ỹ_t/∂W_hy", "used": "h_{t-1}"}, "pair"),
    ("readout-before", "bugs note", "h[t] of a list that begins with h_0: h_{t-1} at W_hy",
     [("np.outer(dy, h)", "np.outer(dy, h_prev)")], WRONG, {"used": "h_{t-1}"}),
    ("c-square", "power", "1 - c² for 1 - tanh(c)²", [("(1 - np.tanh(c) ** 2)", "(1 - c**2)")],
     WRONG, {"partial": "∂h_t"}),
    ("dh-for-dc", "dc_bar", "the error of h_t where that of c_t belongs, at i, f and g",
     [("di = dc", "di = dh"), ("df = dc", "df = dh"), ("dg = dc", "dg = dh")], WRONG,
     {"partial": "∂h_t/∂c_t", "used": "1"}, {"partial": "∂c_t/∂c_{t-1}", "used": "0"}, "pair"),
    ("last-loss", "learn_dl lstm", "the last loss alone goes back",
     [("dh = W_hy.T @ dy", "dh = (t == T - 1) * (W_hy.T @ dy)")], ("last-loss-only",)),
)  # fmt: skip

OF_GRU = of(
    "gru",
    ("first-step", "issue", "the loop back stops before step 1",
     [(BACK, "for t in range(T - 1, 0, -1):")], STEPS, {"steps": {"1": 0}}),
    ("last-step", "issue", "the loop back begins at step T - 1",
     [(BACK, "for t in reversed(range(T - 1)):")], STEPS, {"steps": {"T": 0}}),
    ("equals", "Arraymancer", "the sums are replaced, not added to",
     [("dW_xh += ", "dW_xh = "), ("dW_hh += ", "dW_hh = "), ("db_xh += ", "db_xh = "),
      ("db_hh += ", "db_hh = ")], OVER),
    ("h-minus-1", "EpyNN gru", "hs[-1] of a list for h_0", [(PREVS, "hs[t - 1]")],
     ("wrapped-index",)),
    ("carry-kept", "issue", "the carry is added up and never reset",
     [("dh_next = W_hh.T", "dh_next += W_hh.T")], ("carry-not-reset",)),
    ("next-x", "issue", "x_{t+1} for x_t (x_T at the end)",
     [("np.outer(da_x, inputs[t])", "np.outer(da_x, inputs[min(t + 1, T - 1)])")],
     WRONG, {"used": "x_{t+1}"}),
    ("clip", "gru clip", "dh_next clipped in every step",
     [("dy + dh_next", "dy + np.clip(dh_next, -0.05, 0.05)")], ("clipped-on-the-way",)),
    ("clip-z", "gru clip", "gate z's gradient clipped in every step",
     [("dz * z * (1 - z)", "np.clip(dz * z * (1 - z), -0.02, 0.02)")], ("clipped-on-the-way",)),
    ("slope-twice", "issue", "σ' of gate z twice",
     [("dz * z * (1 - z)", "dz * (z * (1 - z)) ** 2")], WRONG, {"partial": "∂z_t"}),
    ("diagonal", "AiDotNet", "each thread adds its own unit's gate gradients only",
     [("W_hh.T @ da_h",
       "sum(np.diag(W_hh[k * H :]) * da_h[k * H : (k + 1) * H] for k in range(3))")], WRONG),
    ("n-at-output", "issue", "tanh' of n_t, which has been through tanh",
     [("(1 - n**2)", "(1 - np.tanh(n) ** 2)")], WRONG, {"partial": "∂n_t"}),
    ("r-without-slope", "issue", "gate r's σ' left out",
     [("dr * r * (1 - r)", "dr")], WRONG, {"partial": "∂r_t"}),
    ("no-direct-carry", "issue", "the carry z_t ∘ h_{t-1} left out", [(" + dh * z", "")],
     WRONG, {"partial": "∂h_t/∂h_{t-1}", "used": "0"}),
    ("carry-without-z", "issue", "the direct carry without z_t", [(" + dh * z", " + dh")],
     WRONG, {"partial": "∂h_t/∂h_{t-1}", "used": "1"}),
    ("one-minus-z-carry", "AiDotNet", "dH * z or dH * (1 - z): 1 - z_t for z_t in the carry",
     [(" + dh * z", " + dh * (1 - z)")], WRONG, {"partial": "∂h_t/∂h_{t-1}"}),
    ("z-swapped", "two grus", "z and 1 - z change places on the way back",
     [("dn = dh * (1 - z)", "dn = dh * z"), ("dh * (h_prev - n)", "dh * (n - h_prev)"),
      (" + dh * z", " + dh * (1 - z)")], WRONG,
     {"partial": "∂h_t/∂z_t", "used": "-(h_{t-1} - n_t)"},
     {"partial": "all that hold it", "used": "1 - z_t", "right": "z_t"}, "pair"),
    ("z-for-n", "two grus", "∂h_t/∂n_t taken as z_t", [("dn = dh * (1 - z)", "dn = dh * z")],
     WRONG, {"partial": "∂h_t/∂n_t", "used": "z_t"}),
    ("no-candidate-path", "GRUCell", "no way back through the candidate n",
     [("W_hh.T @ da_h", "W_hh[: 2 * H].T @ da_h[: 2 * H]")], WRONG, {"used": "0"}),
    ("candidate-path-and-readout", "SimpleGRU", "no way through n, and h_{t-1} at W_hy",
     [("W_hh.T @ da_h", "W_hh[: 2 * H].T @ da_h[: 2 * H]"),
      ("np.outer(dy, h)", "np.outer(dy, h_prev)")], WRONG, "pair"),
    ("readout-before", "SimpleGRU", "h_{t-1} for h_t at W_hy",
     [("np.outer(dy, h)", "np.outer(dy, h_prev)")], WRONG, {"used": "h_{t-1}"}),
    ("r-for-m", "gru vignette", "δ18 = δ17 σ'(r): r_t for what it multiplies",
     [("dr = da_n * m", "dr = da_n * r")], WRONG, {"used": "r_t"}),
    ("z-sum", "gru vignette", "δ9 = δ7 + δ8: a sum where ∂h_t/∂z_t is a difference",
     [("dh * (h_prev - n)", "dh * (h_prev + n)")], WRONG, {"partial": "∂h_t/∂z_t"}),
    ("rows-swapped", "gru vignette", "W_r gets the candidate's error, W_g gate r's",
     [("np.outer(da_x, inputs[t])", "np.outer(np.concatenate([da_n, da_z, da_r]), inputs[t])"),
      ("np.outer(da_h, h_prev)", "np.outer(np.concatenate([dm, da_z, da_r]), h_prev)"),
      ("db_xh += da_x", "db_xh += np.concatenate([da_n, da_z, da_r])"),
      ("db_hh += da_h", "db_hh += np.concatenate([dm, da_z, da_r])")], ("gate-order",)),
    ("z-one-term", "nianiaele", "dz11 += for dzt +=: gate z gets one of its two terms",
     [("dh * (h_prev - n)", "dh * h_prev")], WRONG, {"partial": "∂h_t/∂z_t", "used": "h_{t-1}"}),
    ("n-for-z", "nianiaele", "a product's two derivatives change places: n_t for 1 - z_t",
     [("dn = dh * (1 - z)", "dn = dh * n")], WRONG, {"partial": "∂h_t/∂n_t", "used": "n_t"}),
    ("both-products", "nianiaele", "n_t for 1 - z_t, and r_t for what it multiplies",
     [("dn = dh * (1 - z)", "dn = dh * n"), ("dr = da_n * m", "dr = da_n * r")], WRONG, "pair"),
    ("m-for-r", "nianiaele", "what r_t multiplies for r_t",
     [("dm = da_n * r", "dm = da_n * m")], WRONG),
    ("r-pre-activation", "nianiaele", "z6 for dz6: gate r's pre-activation for its error",
     [("dr * r * (1 - r)", "a[:H]")], ()),
    ("carry-without-error", "GRUBlock", "+ u for + d_h ∘ u", [(" + dh * z", " + z")], ()),
    ("W_r-for-W_z", "GRUBlock", "gate z's error goes back through W_hr",
     [("W_hh.T @ da_h", "W_hr.T @ (da_r + da_z) + W_hn.T @ dm")], WRONG),
    ("no-r", "DIDL 88", "r_t left out between n_t and W_hn h_{t-1} + b_hn",
     [("dm = da_n * r", "dm = da_n")], WRONG, {"used": "1"}),
    ("reset-before", "DIDL 88", "the way back of the other gru, whose r_t stands before W_hn",
     [("dr = da_n * m", "dr = (W_hn.T @ da_n) * h_prev"), ("dm = da_n * r", "dm = da_n"),
      ("np.outer(da_h, h_prev)", "np.concatenate([np.outer(da_h[: 2 * H], h_prev), "
       "np.outer(da_n, r * h_prev)])"),
      ("W_hh.T @ da_h", "W_hh[: 2 * H].T @ da_h[: 2 * H] + r * (W_hn.T @ da_n)")], ()),
    ("empty", "darknet", "the way back is not written: all zeros",
     [("dh = W_hy.T @ dy + dh_next", "dh = np.zeros(H)")], ()),
    ("no-carry", "qixianbiao", "nothing of h is passed on to the step before",
     [("dy + dh_next", "dy")], ("immediate-only",)),
    ("not-transposed", "victorzhou", "W_hh's blocks where their transposes belong",
     [("W_hh.T @ da_h", "W_hr @ da_r + W_hz @ da_z + W_hn @ dm")], ("transposed-W_hh",)),
    ("h-t", "korean", "h_t for h_{t-1} at W_hh",
     [("np.outer(da_h, h_prev)", "np.outer(da_h, h)")], ("h_t-for-h_prev",)),
    ("no-gate-paths", "drh", "no way back through the gates r and z",
     [("W_hh.T @ da_h", "W_hn.T @ dm")], WRONG,
     {"partial": "∂a_t/∂h_{t-1}", "used": "0", "right": "W_hr"},
     {"partial": "∂a_t/∂h_{t-1}", "used": "0", "right": "W_hz"}, "pair"),
    ("z-sign", "h_tilde", "∂h_t/∂z_t with the wrong sign",
     [("dh * (h_prev - n)", "dh * (n - h_prev)")], WRONG, {"partial": "∂h_t/∂z_t"}),
    ("equals-no-candidate", "GRUCell", "= for += in every sum, and no way through n",
     [("dW_xh += ", "dW_xh = "), ("dW_hh += ", "dW_hh = "), ("db_xh += ", "db_xh = "),
      ("db_hh += ", "db_hh = "), ("W_hh.T @ da_h", "W_hh[: 2 * H].T @ da_h[: 2 * H]")],
     (*OVER, *WRONG), "pair"),
)  # fmt: skip

MISTAKES = (*OF_RNN, *OF_SHEET, *OF_LSTM, *OF_GRU)
FROM_ISSUE = tuple(mistake for mistake in MISTAKES if mistake.source == "issue")
COLLECTED = tuple(mistake for mistake in MISTAKES if mistake.source != "issue")


def text(mistake: Mistake) -> str:
    """The reference with the mistake in it; every ``old`` must stand there exactly once."""
    source = REFERENCES[mistake.net]
    for old, new in mistake.edits:
        assert source.count(old) == 1, f"{mistake.id}: {old!r} occurs {source.count(old)} times"
        source = source.replace(old, new)
    return source


def function(source: str) -> Any:
    """The function ``backward`` of that text."""
    names: dict[str, Any] = {}
    exec(compile(source, "<backward>", "exec"), names)
    return names["backward"]


class Net(NamedTuple):
    """Sizes of a random net, and the factor of its W_hh: 0.3 vanishes, 2 explodes (rnn)."""

    steps: int
    hidden: int
    inputs: int = 3
    outputs: int = 2
    scale: float = 1.0
    seed: int = 0


SMALL = Net(6, 5)
NETS = (
    Net(3, 3, 2, 2),
    SMALL,
    Net(8, 4, scale=0.3),
    Net(10, 6, scale=2.0),
    Net(20, 8, 4, 3, scale=0.3),
    Net(30, 16, 4, 3, scale=2.0),
)
ROWS = {"rnn": 1, "sheet": 1, "lstm": 4, "gru": 3}


def spec(kind: str, net: Net) -> dict[str, Any]:
    """A random net of that reference's kind as a spec of plain arrays; h_0 and c_0 are not 0."""
    rng = np.random.default_rng([13, sorted(ROWS).index(kind), *net[:4], net.seed])
    rows, H, I, O = ROWS[kind] * net.hidden, net.hidden, net.inputs, net.outputs  # noqa: E741
    biases = ("b_xh", "b_hh") if kind == "gru" else ("b_h",)
    made: dict[str, Any] = {
        "cell": "rnn" if kind == "sheet" else kind,
        "weights": {
            "W_xh": rng.normal(0, I**-0.5, (rows, I)),
            "W_hh": net.scale * rng.normal(0, H**-0.5, (rows, H)),
            **{name: rng.normal(0, 0.3, rows) for name in biases},
            "W_hy": rng.normal(0, 1, (O, H)),
            "b_y": rng.normal(0, 0.3, O),
        },
        "inputs": rng.normal(0, 1, (net.steps, I)),
        "targets": np.eye(O)[rng.integers(0, O, net.steps)],
        "h_0": rng.normal(0, 0.6, H),
        "output_activation": "softmax",
        "loss": "cross_entropy",
    }
    if kind == "sheet":
        made |= {"activation": "sigmoid", "output_activation": "sigmoid", "loss": "squared_error"}
    if kind == "lstm":
        made["c_0"] = rng.normal(0, 0.6, H)
    return made


def answer(source: str, kind: str, net: Net, per_step: bool = False) -> dict[str, np.ndarray]:
    """What the function of that text returns for that net; ``dL_dh``, ``dL_dc`` if asked for."""
    made = spec(kind, net)
    given = [made[name] for name in ("weights", "inputs", "targets", "h_0")]
    start = {"c_0": made["c_0"]} if kind == "lstm" else {}
    with np.errstate(all="ignore"):
        got = function(source)(*given, **start)
    return {
        name: array for name, array in got.items() if per_step or name not in ("dL_dh", "dL_dc")
    }


class Finding(NamedTuple):
    """What check says of a mistake in a net: ``verdict`` is one of VERDICTS."""

    mistake: Mistake
    net: Net
    verdict: str
    said: str
    seconds: float


VERDICTS = ("named", "candidate", "localised", "silent", "wrong", "unseen")


def finding(mistake: Mistake, net: Net, per_step: bool = False) -> Finding:
    """Run check on that mistake in that net."""
    problem = rnngrad.load(spec(mistake.net, net))
    given = answer(text(mistake), mistake.net, net, per_step)
    began = time.perf_counter()
    report: dict[str, Any] = rnngrad.check(problem, against=given)
    seconds = time.perf_counter() - began
    failed = [row for row in report["quantities"] if row["verdict"] == "fail"]
    diagnoses = [(row["diagnosis"] or {}) | {"zero": is_zero(row)} for row in failed]
    verdict = judged(mistake, net, diagnoses) if failed else "unseen"
    said = dict.fromkeys(in_short(each) for each in diagnoses)
    return Finding(mistake, net, verdict, "; ".join(said), seconds)


def is_zero(row: dict[str, Any]) -> bool:
    """Whether check says that there is nothing but zeros."""
    return "every number is 0" in str(row.get("reason"))


def judged(mistake: Mistake, net: Net, diagnoses: Sequence[dict[str, Any]]) -> str:
    """A name counts where every wrong array has it; one false name anywhere is ``wrong``."""
    names = [each.get("bug") for each in diagnoses]
    if any(
        name is not None and not fits(mistake, net, each)
        for name, each in zip(names, diagnoses, strict=True)
    ):
        return "wrong"
    both = {name for each in diagnoses for name in (each.get("bug"), _other(each).get("bug"))}
    if not mistake.bugs and all(each.get("zero") for each in diagnoses):
        return "localised"
    if None not in names and (not mistake.pair or len(both - {None}) > 1 or _two_of_one(diagnoses)):
        return "named"
    if any(bug in str(each.get("candidates") or "") for each in diagnoses for bug in mistake.bugs):
        return "candidate"
    return "localised" if any(names) or any(each.get("where") for each in diagnoses) else "silent"


def fits(mistake: Mistake, net: Net, diagnosis: dict[str, Any]) -> bool:
    """One of the bugs and, unless there are two at once, the part of ``where`` that is certain."""
    other = _other(diagnosis)
    named = {diagnosis["bug"], other.get("bug", diagnosis["bug"])}
    if not named <= set(mistake.bugs) or (other and not mistake.pair):
        return False
    said = [{**one, **(one.get("where") or {})} for one in (diagnosis, other) if one]
    if len(mistake.where) == 1:
        return any(_all_agree(one, mistake.where[0], net) for one in said)
    return all(any(_all_agree(one, each, net) for each in mistake.where) for one in said) or (
        not mistake.where
    )


def _all_agree(said: dict[str, Any], where: dict[str, Any], net: Net) -> bool:
    return all(_agrees(key, said.get(key), value, net) for key, value in where.items())


def _agrees(key: str, said: Any, value: Any, net: Net) -> bool:
    """A partial begins as it must, a number is near, all else is equal; T is filled in."""
    if isinstance(value, str):
        value, said = value.replace("-", "−"), str(said).replace("-", "−")
    if key == "partial":
        return str(said).startswith(value)
    if isinstance(value, dict):
        value = {str(net.steps) if step == "T" else step: each for step, each in value.items()}
    if isinstance(value, (int, float)):
        return said is not None and bool(np.isclose(said, value, rtol=1e-6))
    return bool(said == value)


def _other(diagnosis: dict[str, Any]) -> dict[str, Any]:
    return diagnosis.get("with") or {}


def _two_of_one(diagnoses: Sequence[dict[str, Any]]) -> bool:
    """Two mistakes of one kind: named together, or at two places."""
    places = {str(each.get("where")) for each in diagnoses}
    return any(_other(each) for each in diagnoses) or len(places) > 1


def in_short(diagnosis: dict[str, Any]) -> str:
    """The bug and where it is, in a few words."""
    where = diagnosis.get("where") or {}
    place = ", ".join(f"{key} {value}" for key, value in where.items() if key != "right")
    other = _other(diagnosis)
    said = (diagnosis.get("bug") or "-") + (f" ({place})" if place else "")
    return said + (f" with {in_short(other)}" if other else "")


def score(
    nets: Iterable[Net] = NETS,
    mistakes: Iterable[Mistake] = MISTAKES,
    per_step: bool = False,
) -> list[Finding]:
    """What check says of every mistake in every net."""
    mistakes = tuple(mistakes)
    return [finding(mistake, net, per_step) for net in nets for mistake in mistakes]


def totals(findings: Iterable[Finding]) -> Counter[str]:
    """How many findings of each verdict."""
    return Counter(each.verdict for each in findings)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a row a mistake and net, then the totals."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--per-step", action="store_true", help="give dL_dh and dL_dc too")
    parser.add_argument("--small", action="store_true", help="the net of T = 6, H = 5 alone")
    parser.add_argument("--only", default="", help="mistakes whose id begins with this")
    options = parser.parse_args(arguments)
    chosen = [each for each in MISTAKES if each.id.startswith(options.only)]
    found = score((SMALL,) if options.small else NETS, chosen, options.per_step)
    say = print
    say(f"{'mistake':38} {'T':>3} {'H':>3} {'W_hh':>4} {'verdict':9} {'s':>6}  expected -> said")
    for each in found:
        bugs = "|".join(each.mistake.bugs) or "no name"
        say(
            f"{each.mistake.id:38} {each.net.steps:3} {each.net.hidden:3} {each.net.scale:4}"
            f" {each.verdict:9} {each.seconds:6.2f}  {bugs} -> {each.said}"
        )
    parts: dict[str, list[Finding]] = {"all": found}
    for scale in (0.3, 1.0, 2.0):
        parts[f"W_hh {scale}"] = [f for f in found if f.net.scale == scale]
    for kind in REFERENCES:
        parts[kind] = [f for f in found if f.mistake.net == kind]
    parts["the issue's"] = [f for f in found if f.mistake.source == "issue"]
    parts["collected"] = [f for f in found if f.mistake.source != "issue"]
    parts["two at once"] = [f for f in found if f.mistake.pair]
    parts["no fair name"] = [f for f in found if not f.mistake.bugs]
    for name, part in parts.items():
        counted = totals(part)
        say(f"{name:12}", *(f"{verdict} {counted[verdict]}" for verdict in VERDICTS))
    say(f"slowest: {max((f.seconds for f in found), default=0.0):.2f} s")


if __name__ == "__main__":
    main()
