"""Formulas of typst as the LaTeX that the grammar reads: what ``--format typst`` writes, and what
people write likewise. Source: the reference of typst 0.13, "Math"."""

from __future__ import annotations

import re

_IS_TYPST = re.compile(r"\bfrac\(|\bdot\.op\b|\blr\(\\[(\[{]|\bpartial\s|[_^]\(\"")
_HALF = re.compile(r"lr\(\\([()\[\]]), size: #[\d.]+em\)")
_PAIR = re.compile(r"\blr\(\\([(\[])")
_CALLED = re.compile(r"\bop\(\"(\w+)\"\)")
_GROUP = re.compile(r"\bfrac\(|[_^]\(")
_WORDS = {
    "partial": r"\partial ", "dot.op": r"\cdot ", "times.o": r"\otimes ", "dots.c": r"\cdots ",
    "sum": r"\sum ", "product": r"\prod ", "bar.v": "|", "quad": " ", "top": "T",
    "sigma": r"\sigma ",
}  # fmt: skip
_WORD = re.compile(r"(?<![\w\\.])(" + "|".join(map(re.escape, _WORDS)) + r")(?![A-Za-z0-9])")


def as_latex(text: str) -> str:
    """A formula of typst as LaTeX; any other text as it is."""
    if not _IS_TYPST.search(text) or "\\frac" in text:
        return text
    text = re.sub(r"\\\s*\n", "\n", text.strip().removesuffix("\\"))  # the end of a line
    text = _CALLED.sub(r"\1", _HALF.sub(r"\1", text)).replace('quad ""', " ")
    text = re.sub(r'"([^"\\]*)"', r"\1", text)
    text = re.sub(r"\\([)\]])\)", r"\1", _PAIR.sub(r"\1", text))
    return _WORD.sub(lambda found: _WORDS[found[1]], _braced(text))


def _braced(text: str) -> str:
    """frac(a, b), x_(t - 1) -> \\frac{a}{b}, x_{t - 1}"""
    parts, at = list[str](), 0
    while found := _GROUP.search(text, at):
        close = _closing(text, found.end())
        if close is None:
            break
        parts.append(text[at : found.start()])
        inner = text[found.end() : close]
        if found[0] == "frac(":
            top, bottom = _halves(inner)
            parts.append(f"\\frac{{{_braced(top)}}}{{{_braced(bottom)}}}")
        else:
            parts.append(f"{found[0][0]}{{{_braced(inner)}}}")
        at = close + 1
    return "".join(parts) + text[at:]


def _closing(text: str, start: int) -> int | None:
    """Where the bracket closes that was opened before ``start``."""
    depth = 1
    for at in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        if depth == 0:
            return at
    return None


def _halves(inner: str) -> tuple[str, str]:
    """Before and after the comma that stands in no bracket."""
    depth = 0
    for at, sign in enumerate(inner):
        depth += {"(": 1, ")": -1}.get(sign, 0)
        if sign == "," and depth == 0:
            return inner[:at], inner[at + 1 :]
    return inner, ""
