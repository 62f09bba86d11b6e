"""The signs of the field in plain ASCII, for a terminal that has no others."""

from __future__ import annotations

_ASCII = {
    "∂": "d", "⁺": "+", "σ": "sigma", "Σ": "sum", "∏": "prod", "·": "*", "∘": ".*", "−": "-",
    "–": "-", "‖": "||", "×": "x", "⊗": "(x)", "ᵀ": "^T", "²": "^2", "∈": " in ", "≤": "<=",
    "≥": ">=", "≠": "!=", "→": "->", "⋮": ":", "─": "-", "━": "-", "█": "#", "╸": "-", "γ": "gamma",
    "▁": "_", "▂": ".", "▃": ":", "▄": "=", "▅": "+", "▆": "*", "▇": "%",
    "│": "|", "▓": "*", "▒": "+", "░": "-", "√": "sqrt", "∞": "inf", "½": "1/2", "φ": "phi",
    "λ": "lambda", "Ω": "Omega", "±": "+-", "⁴": "^4", "⁰": "^0", "¹": "^1", "³": "^3", "⁵": "^5",
    "⁶": "^6", "⁷": "^7", "⁸": "^8", "⁹": "^9", "ˡ": "^l", "ᵐ": "^m", "⁻": "^-", "⋯": "...",
    "ρ": "rho", "ℓ": "l", "⟨": "<", "⟩": ">", "‘": "'", "’": "'", "“": '"', "”": '"',
    "\N{NO-BREAK SPACE}": " ",
}  # fmt: skip
_TABLE = str.maketrans(_ASCII)


def to_ascii(text: str) -> str:
    """The text with its signs spelled in ASCII; what has no spelling becomes ``?``."""
    return text.translate(_TABLE).encode("ascii", "replace").decode("ascii")
