"""The walks of an rnn layer, the chain and the spectrum, as their equations read: one step a line.

What ``net.walks``, ``chains.chain_norms`` and ``exponents.two_sided`` replace. Longer and
larger than mpmath could follow, and without any of their shortcuts.
"""

from __future__ import annotations

import numpy as np

from rnngrad.arithmetic.functions import Activation


def forward(net: dict[str, np.ndarray], activation: Activation) -> tuple[np.ndarray, np.ndarray]:
    """a_t (T, H) and h_t (T+1, H)."""
    h, a = [net["h_0"]], []
    for x in net["x"]:
        a.append(net["W_xh"] @ x + net["W_hh"] @ h[-1] + net["b_h"])
        h.append(activation.f(a[-1]))
    return np.array(a), np.array(h)


def backward(
    W_hh: np.ndarray, slopes: np.ndarray, dLt_dht: np.ndarray, last: int
) -> tuple[np.ndarray, np.ndarray]:
    """∂L/∂h_t (T+1, H) and ∂L/∂a_t (T, H)."""
    dL_dh, dL_da = np.zeros((len(slopes) + 1, len(W_hh))), np.zeros_like(slopes)
    dL_dh[1:] = dLt_dht
    for t in range(last, 0, -1):
        dL_da[t - 1] = slopes[t - 1] * dL_dh[t]
        dL_dh[t - 1] += dL_da[t - 1] @ W_hh
    return dL_dh, dL_da


def spectrum(W_hh: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """ln |R[i, i]| summed over all steps, a QR each."""
    Q, sums = np.eye(len(W_hh)), np.zeros(len(W_hh))
    for slope in slopes:
        order = np.argsort(-slope, kind="stable")
        Q[order], R = np.linalg.qr((slope[:, None] * (W_hh @ Q))[order])
        sums += np.log(np.abs(np.diagonal(R)))
    return sums
