"""Text -> tokens, in plain text and in LaTeX alike.

    token   kinds: number, name, call, d, d+, series, frac, sign, end
    name    head and subscript together: h_3, h_{t-1}, W_hh, \\tilde{h}_{3}, \\mathcal{L}
    call    σ, σ', sigmoid, tanh, g, exp, … (its bracket follows)
    d       ∂ or the d of dL_3; d+ is ∂⁺, the immediate partial

A scanner of one regular expression a token, each bounded, so the time is linear in the length.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple, NoReturn

from rnngrad.algebra import latex
from rnngrad.algebra.expressions import FormulaError, Index
from rnngrad.errors import did_you_mean

LONGEST = 20_000
"""Characters of a formula."""


class Token(NamedTuple):
    """``text`` is the sign, number, function or head; ``step`` a name's index; ``prime`` a σ'."""

    kind: str
    text: str
    at: int
    step: Index | None = None
    prime: bool = False
    bounds: tuple[str, Index, Index] | None = None


FUNCTIONS = {
    "σ": "σ", "sigma": "σ", "g": "g", "sigmoid": "sigmoid", "tanh": "tanh", "relu": "relu",
    "identity": "identity", "softplus": "softplus", "exp": "exp", "ln": "ln", "log": "ln",
    "diag": "diag",
}  # fmt: skip
"""A function as it may be written -> its one name."""

STEPPED = {
    "L": "L", "ℒ": "L", "Loss": "L", "y": "y", "t": "target", "target": "target", "h": "h",
    "x": "x", "a": "a", "htilde": "a", "h\u0303": "a", "z": "a", "o": "o", "ytilde": "o",
    "ỹ": "o", "y\u0303": "o",
}  # fmt: skip
"""A quantity of one step as it may be written -> its one name: a is h̃, o is ỹ."""

PARAMETERS = ("W_xh", "W_hh", "W_hy", "b_h", "b_y")
_GLUED = {name.replace("_", ""): name for name in PARAMETERS}
_ALONE = ("O",)
_SERIES = {"sum": "sum", "Σ": "sum", "∑": "sum", "prod": "prod", "∏": "prod", "Π": "prod"}
_KNOWN = (*FUNCTIONS, *STEPPED, *_GLUED, *_SERIES, "W", "b")

SIGNS = {
    "−": "-", "–": "-", "·": "*", "×": "*", "⋅": "*", "∘": "*", "⊙": "*", "∗": "*", "⁄": "/",
    "÷": "/", "{": "{", "}": "}", "⊗": "*", "(x)": "*", "≈": "=",
}  # fmt: skip
_NUMBER = re.compile(r"(?:\d+(?:\.(?!\.)\d*)?|\.\d+)(?:[eE][-+]?\d+)?")
_WORD = re.compile("[σΣ∑∏Πℒ∂τ]|[hy]\u0303|ỹ|d(?=[σℒỹ]|[hy]\u0303)|[A-Za-z]+")
_SIGN = re.compile(r"\*\*|\.\.|(?<=\s)\(x\)(?=\s)|[-+*/^=()\[\]{}−–·×⋅∘⊙∗⁄÷²³ᵀ⁺⊗≈]")
_PRIME = re.compile(r"\s*(?:['′’‘]|\^\s*\{?\s*(?:\\prime|'|′)\s*\}?)")
_PLUS = re.compile(r"\s*(?:⁺|\^\s*(?:\{\s*\+\s*\}|\+)|\+)")
_SUB = re.compile(r"\s*_\s*(?:\{([^{}]{0,40})\}|\(([^()]{0,40})\)|(\d+|xh|hh|hy|rh|[A-Za-zτ]))")
LOW_DIGITS = str.maketrans("₀₁₂₃₄₅₆₇₈₉ₜ₋₊ₕₓ", "0123456789t-+hx")
_GLUED_STEP = re.compile(r"\d{1,6}(?!\.?\d)")
LOW = re.compile("[₀₁₂₃₄₅₆₇₈₉ₜ₋₊ₕₓ]{1,9}")
INDICES = "cefijklmnpqrstuvwτ"
"""Letters that may count the steps of a Σ or ∏: those that are no name of the net."""

_INDEX = re.compile(rf"(?:([T{INDICES}])(?:([-+])(\d{{1,6}}))?|(\d{{1,6}}))")
_TRANSPOSED = re.compile(
    r"\^\s*(?:\{\s*(?:T|\\top|\\intercal)\s*\}|T(?![A-Za-z_])|\\top|\\intercal)"
)
_END = rf"[T{INDICES}\d\s+−-]{{1,20}}"
_BOUNDS = re.compile(
    rf"\s*_\s*\{{\s*([{INDICES}])\s*=\s*({_END})"
    rf"(?:(?:\.\.|\\l?dots|\\to)\s*({_END})\}}|\}}\s*\^\s*(?:\{{({_END})\}}|([\dT{INDICES}])))"
)
_COUNTED = re.compile(r"\s*_\s*\{\s*([^\s={}]{1,20})\s*=")
_TAU = re.compile(r"\\tau(?![A-Za-z])")
MINUS = str.maketrans("−–", "--")
_AMBIGUOUS = re.compile(r"[-−+]\d")


def tokens(text: str, step: str = "3") -> list[Token]:
    """The tokens of an answer, an ``end`` last; messages show ``step``. Raises FormulaError."""
    return Scanner(_TAU.sub("τ   ", text), step).run()  # as long, so that no place is moved


class Scanner:
    """The text, how far it has been read, and what was found. Words and signs are those of an
    answer; ``algebra.equations`` has those of a cell."""

    signs: Mapping[str, str] = SIGNS
    latex_signs: Mapping[str, str] = {**latex.SIGNS, "otimes": "*", "approx": "="}
    longest = LONGEST
    word, sign = _WORD, _SIGN

    def __init__(self, text: str, step: str = "3") -> None:
        if len(text) > self.longest:
            words = f"longer than {self.longest:,} characters; a formula here is much shorter"
            raise FormulaError(words)
        self.step = step
        self.text, self.at, self.found = latex.undressed(text), 0, list[Token]()

    def run(self) -> list[Token]:
        while self._more():
            self._one()
        self._add("end", "the end", self.at)
        return self.found

    def _more(self) -> bool:
        blank = latex.BLANK.match(self.text, self.at)
        self.at = blank.end() if blank else self.at
        return self.at < len(self.text)

    def _one(self) -> None:
        start = self.at
        if self.text[start] == "\\":
            self._command(start)
        elif match := _NUMBER.match(self.text, start):
            self.at = match.end()
            self._add("number", match[0], start)
        elif match := self.word.match(self.text, start):
            self.at = match.end()
            self._word(match[0], start)
        elif match := self.sign.match(self.text, start):
            self.at = match.end()
            self._sign(match[0], start)
        else:
            self._unknown(start)

    def _unknown(self, start: int) -> NoReturn:
        sign = self.text[start]
        if sign == ",":
            raise FormulaError("a ',' cannot stand here; decimals are written with a point", start)
        plain = sign.isprintable() and sign != "\u2026"
        shown = sign if plain else sign.encode("unicode_escape", "backslashreplace").decode()
        quotes = "; LaTeX needs single quotes in YAML, or a block (|)" if ord(sign) < 32 else ""
        raise FormulaError(f"the character '{shown}' cannot stand in a formula{quotes}", start)

    def _add(
        self, kind: str, text: str, at: int, index: Index | None = None, prime: bool = False
    ) -> None:
        self.found.append(Token(kind, text, at, index, prime))

    def _sign(self, sign: str, start: int) -> None:
        if sign in "²³":
            self._add("sign", "^", start)
            self._add("number", "2" if sign == "²" else "3", start)
        elif sign == "ᵀ":
            self._add("transpose", sign, start)
        elif sign == "^" and (match := _TRANSPOSED.match(self.text, start)):
            self.at = match.end()
            self._add("transpose", "ᵀ", start)
        else:
            self._add("sign", self.signs.get(sign, "^" if sign == "**" else sign), start)

    def _command(self, start: int) -> None:
        match = latex.COMMAND.match(self.text, start)
        if match is None:
            raise FormulaError("a '\\' must begin a LaTeX command, such as \\partial", start)
        command, self.at = match[1], match.end()
        if command in latex.WORDS:
            self._word(latex.WORDS[command], start)
        elif command in self.latex_signs:
            self._add("sign", self.latex_signs[command], start)
        elif command in latex.ACCENTS or command in latex.FONTS:
            self._dressed(command, start)
        elif command in latex.HATS:
            message = f"\\{command} is not known: names are written without, y_2, \\tilde{{h}}_2"
            raise FormulaError(message, start)
        elif command not in latex.SILENT:
            hint = did_you_mean(command, latex.COMMANDS).replace("'", "'\\", 1)
            raise FormulaError(f"the LaTeX command \\{command[:20]} is not known{hint}", start)

    def _dressed(self, command: str, start: int) -> None:
        match = latex.DRESSED.match(self.text, self.at)
        if match is None:
            raise FormulaError(f"\\{command} must stand around a letter: \\{command}{{h}}", start)
        self.at = match.end()
        word = (match[1] or match[2]).removeprefix("\\")
        word = latex.WORDS.get(word, word)
        self._word(f"{word}tilde" if command in latex.ACCENTS else word, start)

    def _word(self, word: str, start: int) -> None:
        if word in FUNCTIONS:
            self._function(FUNCTIONS[word], start)
        elif word in _SERIES:
            self._series(_SERIES[word], start)
        elif word in ("∂", "d"):
            self._d(start)
        elif word in STEPPED or word in _GLUED or word in ("W", "b") or word in _ALONE:
            self._name(word, start)
        elif word[0] == "d" and self._can_follow_d(word[1:]):
            self.at, end = start + 1, self.at
            self._d(start)
            self.at = end
            self._word(word[1:], start + 1)
        else:
            self._no_word(word, start)

    def _can_follow_d(self, word: str) -> bool:
        return word in _KNOWN and word not in _SERIES

    def _no_word(self, word: str, start: int) -> NoReturn:
        if word in ("T", "k", "s", "i", "j", "τ"):
            raise FormulaError(f"{word} is an index; it stands below a name: h_{word}", start)
        if word == "ᵀ" or word == "'":
            raise FormulaError(f"{word} cannot stand here", start)
        hint = did_you_mean(word[:30], _KNOWN)
        raise FormulaError(f"'{word[:30]}' is no name of the sheet{hint}", start)

    def _d(self, start: int) -> None:
        plus = _PLUS.match(self.text, self.at)
        if plus:
            self.at = plus.end()
        self._add("d", "∂", start, prime=plus is not None)

    def _series(self, name: str, start: int) -> None:
        """Σ with its bounds, which are read here: k=1..t below it, or t above it."""
        match = _BOUNDS.match(self.text, self.at)
        bounds = None
        if match is not None:
            self.at = match.end()
            ends = [
                _INDEX.fullmatch(_plain(end))
                for end in (match[2], match[3] or match[4] or match[5])
            ]
            if ends[0] and ends[1]:
                bounds = match[1], _step(ends[0]), _step(ends[1])
        counted = _COUNTED.match(self.text, self.at)
        if bounds is None and counted and counted[1] not in tuple(INDICES):
            letters = f"one letter of {' '.join(INDICES)}"
            raise FormulaError(
                f"{counted[1]} cannot count the steps of a {name}; {letters} can", start
            )
        if bounds is None:
            raise FormulaError(f"the bounds are written {name}_{{k=1..t}}", start)
        self.found.append(Token("series", name, start, bounds=bounds))

    def _function(self, name: str, start: int) -> None:
        primes = 0
        while match := _PRIME.match(self.text, self.at):
            self.at, primes = match.end(), primes + 1
        if primes > 1:
            raise FormulaError(f"{name}'' is a second derivative; none is needed", start)
        self._add("call", name, start, prime=primes == 1)

    def _name(self, word: str, start: int) -> None:
        if word in _GLUED:
            self._add("name", _GLUED[word], start)
            return
        if word in _ALONE:
            self._add("name", word, start)
            return
        sub, loose = self._subscript()
        if word in ("W", "b"):
            self._parameter(word, sub, start)
            return
        head = STEPPED[word]
        if sub is None and (glued := _GLUED_STEP.match(self.text, self.at)):
            self.at, sub = glued.end(), glued[0]
        if sub is None and head != "L":
            self._stepless(word, start)
        self._add(
            "name", head, start, None if sub is None else self._index(sub, loose, word, start)
        )

    def _stepless(self, word: str, start: int) -> NoReturn:
        if word == "t":
            said = f"the target of step {self.step} is t_{self.step}"
            raise FormulaError(f"t alone is an index; {said}", start)
        raise FormulaError(f"{word} needs its step below it: {word}_{self.step}", start)

    def _subscript(self) -> tuple[str | None, bool]:
        """What stands below the name, and whether without braces."""
        low = LOW.match(self.text, self.at)
        if low:
            self.at = low.end()
            return low[0].translate(LOW_DIGITS), False
        match = _SUB.match(self.text, self.at)
        if match is None:
            return None, False
        self.at = match.end()
        sub = match[1] if match[1] is not None else match[2] if match[2] is not None else match[3]
        return _plain(sub), match[3] is not None

    def _parameter(self, word: str, sub: str | None, start: int) -> None:
        name = f"{word}_{sub}"
        if name not in PARAMETERS:
            choices = [p for p in PARAMETERS if p[0] == word]
            hint = "; did you mean 'W_xh'?" if sub == "rh" else did_you_mean(name, choices)
            known = hint or f"; there are {', '.join(choices)}"
            raise FormulaError(f"'{name if sub else word}' is no parameter{known}", start)
        self._add("name", name, start)

    def _index(self, sub: str, loose: bool, word: str, start: int) -> Index:
        match = _INDEX.fullmatch(sub)
        if match is None:
            example = f"{word}_3, {word}_t, {word}_{{t-1}}"
            raise FormulaError(f"'{sub[:20]}' is no step; steps are written {example}", start)
        if loose and match[1] and _AMBIGUOUS.match(self.text, self.at):
            behind = self.text[self.at : self.at + 2]
            said = f"{word}_{sub}{behind} can be read two ways"
            raise FormulaError(
                f"{said}; write {word}_{{{sub}{behind}}} or {word}_{sub} {behind[0]} {behind[1]}",
                start,
            )
        return _step(match)


def _plain(index: str) -> str:
    """An index without blanks and fonts, with the minus of a keyboard."""
    return re.sub(r"\s|\\(?:mathrm|text)|[{}]", "", index).translate(MINUS)


def _step(match: re.Match[str]) -> Index:
    if match[4]:
        return Index(None, int(match[4]))
    return Index(match[1], int(f"{match[2]}{match[3]}") if match[3] else 0)
