"""Text of a cell's equation -> tokens: any name, with its step below it or in brackets.

    W_xi   w_ci   b_i   α   alpha   \\gamma        parameters
    h_t   h_{t-1}   h[t-1]   hₜ₋₁   \\mathbf{h}_{t-1}   \\tilde{h}_t   h_{1,t}      names of a step

``\\mathbf{W}_{xi}`` is W_xi and ``\\tilde{h}_t`` is htilde_t, as in answers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from rnngrad.algebra import latex
from rnngrad.algebra.expressions import FormulaError, Index
from rnngrad.algebra.functions import FUNCTIONS, SPELLINGS
from rnngrad.algebra.tokens import LOW, LOW_DIGITS, MINUS, SIGNS, Scanner
from rnngrad.errors import did_you_mean

_SMALL = "α β γ δ ε ζ η θ κ λ μ ν ξ ρ τ φ χ ψ ω"
_CAPITAL = "Γ Δ Θ Λ Φ Ψ Ω"
GREEK: Mapping[str, str] = MappingProxyType(
    dict(zip(("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "kappa",
              "lambda", "mu", "nu", "xi", "rho", "tau", "phi", "chi", "psi", "omega"),
             _SMALL.split(), strict=True))
    | dict(zip(("Gamma", "Delta", "Theta", "Lambda", "Phi", "Psi", "Omega"), _CAPITAL.split(),
               strict=True))
)  # fmt: skip
"""\\alpha and α are alpha: one name however it is written."""
_VARIANTS = {"varepsilon": "epsilon", "varphi": "phi", "vartheta": "theta", "varrho": "rho"}
_SPELLED = {letter: name for name, letter in GREEK.items()}


def _spelled(text: str) -> str:
    """α -> alpha, \\alpha -> alpha"""
    return "".join(_SPELLED.get(sign, sign) for sign in text.removeprefix("\\"))


_LETTER = "A-Za-zα-ωΑ-Ω"
_LONG = "|".join(name for name in sorted(SPELLINGS, key=len, reverse=True) if "_" in name)
_WORD = re.compile(rf"(?:{_LONG})(?![{_LETTER}0-9_])|[{_LETTER}][{_LETTER}0-9\u0300-\u036f]*")
_SUB = re.compile(rf"\s*_\s*(?:\{{([^{{}}]{{0,40}})\}}|\(([^()]{{0,40}})\)|([{_LETTER}0-9]+))")
_STEP_IN_BRACKETS = re.compile(r"\s*\[\s*(t\s*(?:[-−–+]\s*\d{1,3})?)\s*\]")
_STEP = re.compile(r"t(?:([-+])(\d{1,3}))?")
_PART = re.compile(rf"[{_LETTER}0-9]+")
_BEHIND = re.compile(r"[-−+]\d")
ACCENTS = {"\u0303": "tilde", "\u0302": "hat", "\u0304": "bar"}
"""What stands above a letter -> how it is spelled behind it."""


class EquationScanner(Scanner):
    """``algebra.tokens`` for any names."""

    signs = MappingProxyType(SIGNS | dict.fromkeys("∘⊙×∗*", "∘") | dict.fromkeys("·⋅@", "·"))
    latex_signs = MappingProxyType(
        dict(latex.SIGNS)
        | dict.fromkeys(("odot", "circ", "ast", "times", "bullet"), "∘")
        | {"cdot": "·"}
    )
    word = _WORD
    sign = re.compile(r"\*\*|[-+*/^=()\[\]{}−–·×⋅∘⊙∗⁄÷²³ᵀ@]")
    accents = latex.ACCENTS | {"hat", "widehat", "bar", "overline"}

    def _command(self, start: int) -> None:
        match = latex.COMMAND.match(self.text, start)
        command = match[1] if match else ""
        if match and (command in GREEK or command in _VARIANTS or command in SPELLINGS):
            assert match is not None
            self.at = match.end()
            self._word(_VARIANTS.get(command, command), start)
        elif match and command in self.accents:
            self.at = match.end()
            self._dressed(command, start)
        elif match and command in latex.WORDS:
            raise FormulaError(f"\\{command} cannot stand in a cell's equation", start)
        else:
            super()._command(start)

    def _dressed(self, command: str, start: int) -> None:
        match = latex.DRESSED.match(self.text, self.at)
        if match is None:
            raise FormulaError(f"\\{command} must stand around a letter: \\{command}{{h}}", start)
        self.at = match.end()
        word = (match[1] or match[2]).removeprefix("\\")
        kind = command.removeprefix("wide").replace("overline", "bar")
        self._word(word + (kind if command in self.accents else ""), start)

    def _word(self, word: str, start: int) -> None:
        for mark, name in ACCENTS.items():
            word = word.replace(mark, name)
        if word in SPELLINGS:
            if _SUB.match(self.text, self.at):
                shown = "σ" if SPELLINGS[word] == "σ" else word
                words = f"{shown} is a function and has no index; write {shown}(…)"
                raise FormulaError(words, start)
            self._function(SPELLINGS[word], start)
            return
        word = _spelled(word)
        sub, step = self._below(word, start)
        name = f"{word}_{sub}" if sub else word
        if step is None and self._calls(name):
            hint = did_you_mean(word, sorted(SPELLINGS))
            known = hint or f"; there are {', '.join(FUNCTIONS)}"
            raise FormulaError(f"'{word}' is no function{known}", start)
        self._add("name", name, start, step)

    def _calls(self, name: str) -> bool:
        """Whether what follows reads as a call of a function: a small word and a bracket, without
        a blank in between."""
        return len(name) > 1 and name[0].islower() and self.text[self.at : self.at + 1] == "("

    def _below(self, word: str, start: int) -> tuple[str, Index | None]:
        """What stands below a name, and its step."""
        sub, step = "", None
        for _ in range(2):
            if match := _STEP_IN_BRACKETS.match(self.text, self.at):
                self.at, text, loose = match.end(), match[1], False
            elif match := LOW.match(self.text, self.at):
                self.at, text, loose = match.end(), match[0].translate(LOW_DIGITS), False
            elif match := _SUB.match(self.text, self.at):
                self.at, loose = match.end(), match[3] is not None
                text = next(group for group in match.groups() if group is not None)
            else:
                break
            text = re.sub(r"\s|\\(?:mathrm|text)|[{}]", "", text).translate(MINUS)
            *names, last = text.split(",")
            found = _STEP.fullmatch(last)
            if found is None:
                names.append(last)
            elif loose and _BEHIND.match(self.text, self.at):
                behind = self.text[self.at : self.at + 2]
                said = f"{word}_t{behind} can be read two ways"
                raise FormulaError(
                    f"{said}; write {word}_{{t{behind}}} or {word}_t {behind[0]} {behind[1]}", start
                )
            else:
                step = Index("t", int(f"{found[1]}{found[2]}") if found[1] else 0)
            if any(not _PART.fullmatch(_spelled(n)) for n in names):
                raise FormulaError(
                    f"'{text[:20]}' cannot stand below a name; letters and digits can, or a step",
                    start,
                )
            sub += "".join(map(_spelled, names))
            if step is not None:
                break
        return sub, step


def plain_name(text: str) -> str:
    """A name as equations have it, α as alpha, W_{xi} as W_xi, h_t as h; other text as it is."""
    try:
        found = [token for token in EquationScanner(text).run() if token.kind != "end"]
    except FormulaError:
        return text
    one = len(found) == 1 and found[0].kind == "name" and found[0].step in (None, Index("t", 0))
    return found[0].text if one else text
