"""Random formulas that nest: Σ in ∏ in Σ, deep brackets, long sums and products, as text."""

from __future__ import annotations

from hypothesis import strategies as st

LONGEST = 1_000
NAMES = [
    "x_1", "h_2", "h_{t-1}", "x_t", "h_s", "x_k", "W_hh", "W_xh", "t_3", "y_3", "a_s", "1", "2",
    "dh_s/dh_{s-1}", "dh_t/dh_k", "dh_k/dW_xh", "dL_t/dy_t", "dL/dh_k", "dL_3/dh_1", "dh_3/dW_hh",
]  # fmt: skip
STARTS = ["1", "2", "k", "k+1", "k+0", "s", "t"]
STOPS = ["t", "T", "3", "s", "k"]
SERIES = st.builds(
    "{}_{{{}={}..{}}} ".format, st.sampled_from(["sum", "prod"]), st.sampled_from("kstij"),
    st.sampled_from(STARTS), st.sampled_from(STOPS),
)  # fmt: skip
AROUND = st.sampled_from(
    ["({})", "sigma({})", "sigma'({})", "tanh({})", "({})^2", "({})^4", "1 - ({})", "-{}",
     r"\frac{{{}}}{{2 + x_1}}", "d({})/dh_1", "d({})/dW_hh", "(1/({}))", "diag({})"]
)  # fmt: skip


def _wrapped(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return (
        st.builds("{}({})".format, SERIES, inner)
        | st.builds("{}{}".format, st.lists(SERIES, min_size=1, max_size=8).map("".join), inner)
        | st.builds(str.format, AROUND, inner)
        | st.lists(inner, min_size=2, max_size=5).map(" + ".join)
        | st.lists(inner.map("({})".format), min_size=2, max_size=5).map(" * ".join)
        | st.builds(lambda one, n: " + ".join([one] * n), inner, st.integers(2, 20))
        | st.builds(lambda one, n: " * ".join([f"({one})"] * n), inner, st.integers(2, 20))
    )


NESTED = st.recursive(st.sampled_from(NAMES), _wrapped, max_leaves=30).filter(
    lambda text: len(text) <= LONGEST
)
HARD = [
    "sum_{k=1..t} prod_{s=k+1..t} prod_{s=k+0..t} " * 5 + "sum_{k=1..t} dh_s/dh_{s-1}",
    "prod_{s=1..3} " * 25 + "(x_s + 1)",
    "prod_{s=1..3} prod_{k=1..3} " * 15 + "x_1",
    "sum_{k=1..3} " * 25 + "x_k",
    "sum_{k=1..T} sum_{s=1..T} sum_{i=1..T} sum_{j=1..T} sum_{t=1..T} x_k*x_s*x_i*x_j*x_t",
    "sum_{t=1..T} sum_{k=1..t} 2*dL_t/dy_t*dy_t/dh_t*dh_t/dh_k*dh_k/dW_xh + x_1",
    "sum_{k=1..T} dL/dh_k * dh_k/dW_xh",
    "tanh(" * 50 + "W_xh*x_1" + ")" * 50 + "*(x_1 + x_2)",
    "+".join(["x_1 h_1 W_hh"] * 70),
    "*".join(["(x_1 + h_1)"] * 80),
    "(" * 6 + "x_1 + h_1" + ")^4 + 1" * 6,
    "d(" + "*".join(["(x_1 + h_1)"] * 70) + ")/dh_1",
    "d(" + "sum_{k=1..3} sum_{s=1..3} " * 12 + "x_k*x_s)/dh_1",
    "*".join(["(sum_{k=1..3} sum_{s=1..3} (x_k + h_s))"] * 20),
    "(1 - " * 50 + "x_1" + ")" * 50,
    "(" * 50 + "x_1" + "*(1 - x_1))" * 50,
]
