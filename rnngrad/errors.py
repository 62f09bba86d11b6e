"""What can go wrong, as one tree.

    RnngradError                 anything that is the user's to mend; exit status 2
    ├── SpecError                a spec, or a file it names: all its mistakes at once
    ├── QuantityError            a quantity that does not exist, or not for this net
    ├── UsageError               options that contradict each other or the problem
    ├── OutputError              a result that cannot be written where it was asked for
    └── MemoryLimitError         what would take more memory than it may

Whatever is not in this tree is a fault of rnngrad's own, exit status 3. Deep code raises the small
fact; only ``cli/boundary.py`` prints.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class RnngradError(Exception):
    """The base of all errors that a user can correct."""


class SpecError(RnngradError):
    """The mistakes of a spec, each already in words with its place.

    ``mistakes`` holds all of them; ``str()`` shows the first six and says how many more there are.
    """

    SHOWN = 6

    def __init__(self, mistakes: Iterable[str]) -> None:
        self.mistakes: tuple[str, ...] = tuple(mistakes)
        shown = list(self.mistakes[: self.SHOWN])
        more = len(self.mistakes) - len(shown)
        if more:
            shown.append(f"and {more} more")
        super().__init__("\n".join(shown))


class QuantityError(RnngradError):
    """A quantity that does not exist, or not for this net."""


class UsageError(RnngradError):
    """Options that contradict each other or the problem."""


class OutputError(RnngradError):
    """A result that cannot be written to its file."""


class MemoryLimitError(RnngradError):
    """What would take more memory than it may."""


def did_you_mean(word: object, choices: Iterable[str]) -> str:
    """``"; did you mean 'sigmoid'?"`` for a near miss, else the empty string; another hint for a
    list of names where one is expected."""
    choices = list(choices)
    several = [part.strip() for part in str(word).split(",")]
    if len(several) > 1 and set(several) <= {*choices}:
        return f"; these are {len(several)} names: give each on its own, by repeating the option"
    close = get_close_matches(str(word), choices, n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close else ""


def printable(text: str) -> str:
    """``text`` as ``escaped``, but its lines and tabs are left as they are."""
    return "".join(c if c in "\n\t" else escaped(c) for c in text)


def escaped(text: str) -> str:
    """``text`` with whatever a terminal would act on, or not show, written as an escape."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode()
        for c in text
    )
