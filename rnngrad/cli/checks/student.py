"""A student's function, FILE.py:FUNCTION: asked in a process of its own, and believed nothing.

It is code and runs with the rights of whoever names it on the command line. It shares nothing with
us but three pipes: what it gives back is read as plain arrays (``messages.py``), so whatever it
does to itself or to NumPy, here its numbers are compared by ours. What it does wrong is told in
words; what it prints goes to standard error, whichever way it prints.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Self

from rnngrad.cli.checks.options import CheckOptions
from rnngrad.cli.checks.separate import FaultError, GoneError, LateError, Separate
from rnngrad.errors import UsageError, printable

if TYPE_CHECKING:
    from rnngrad.cli.checks.messages import Message
    from rnngrad.net.batch import Batch
    from rnngrad.net.bidirectional import Bidirectional
    from rnngrad.net.problem import Problem

STARTING = 60.0
"""Seconds for Python and NumPy to start in the process, before the function's own time begins."""
LONGEST_WORDS = 2_000
OUT_OF_MEMORY = ("MemoryError", "Cannot allocate memory", "failed to map segment")
"""What Python, the system and the loader of libraries say of it."""


class Returned(NamedTuple):
    """What the function gave back, and the inputs that it changed on the way."""

    arrays: Mapping[str, Any]
    changed: tuple[str, ...]


class NoArray:
    """What a function returned for an array and is none: to convert it says why."""

    def __init__(self, why: str) -> None:
        self.why = why

    def __array__(self, *_: object, **__: object) -> NoReturn:
        raise TypeError(self.why)


class Student:
    """A function that was named on the command line, in its process from now on.

    ``load``, then ``ask`` for some problems and take the ``answer`` of each. Raises UsageError
    where there is no such file or function, FaultError for what its code does wrong, GoneError
    where its process can answer no more.
    """

    def __init__(self, source: str, options: CheckOptions) -> None:
        file, _, self.name = source.rpartition(":") if ".py:" in source else (source, "", "")
        self.path, self.options = Path(file), options
        self.gone = False
        self.takes: frozenset[str] = frozenset()
        self._given: dict[str, None] = {}
        if sys.platform == "win32":
            raise UsageError("--against FILE.py:FUNCTION does not run on Windows")
        if not self.path.is_file():
            from rnngrad.files.opening import why_no_file  # imports NumPy, which may wait

            raise UsageError(f"{file}: {why_no_file(self.path)}")
        for name, value in (("timeout", options.timeout), ("memory", options.memory)):
            if not value > 0:
                raise UsageError(f"--{name} {value:g}: must be more than 0")
        returns = ",".join(_parts(options.returns))
        memory = str(options.memory)
        self._process = Separate(
            "rnngrad.cli.checks.student_child", (file, self.name, returns, memory)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.close()

    def load(self) -> None:
        """Run the file."""
        from rnngrad.cli.checks.messages import packed

        self._process.subject = f"the Python of {self.path.name}"
        self._process.allow(STARTING)
        self._heard("ready")
        self._process.subject = self.path.name
        self._process.send(packed("load"))
        self._process.allow(self.options.timeout)
        match self._heard("loaded", "missing"):
            case ("missing", {"words": str(words)}, _):
                raise UsageError(f"{self.path}: {_printable(words)}")
            case ("loaded", {"takes": list(takes)}, _):
                self.takes = frozenset(name for name in takes if isinstance(name, str))
            case _:
                raise self._no_answer("it lacks something")
        self._process.subject = "the function"

    def ask(self, problems: Sequence[Problem | Batch | Bidirectional]) -> None:
        """Send these problems, to be answered one after another."""
        from rnngrad.cli.checks.messages import packed
        from rnngrad.cli.checks.student_child import WEIGHT

        for problem in problems:
            arrays = dict(_arrays(problem, WEIGHT))
            self._given |= dict.fromkeys(name.removeprefix(WEIGHT) for name in arrays)
            self._process.send(packed("call", arrays))

    def answer(self) -> Returned:
        """What the function returns for the next problem."""
        from rnngrad.cli.checks.messages import MOST_ARRAYS, is_name

        self._process.allow(self.options.timeout)
        message = self._heard("answer")
        match message.said:
            case {"changed": list(changed), "unfit": dict(unfit)} if all(map(is_name, unfit)):
                none = {name: NoArray(_printable(str(why))) for name, why in unfit.items()}
            case _:
                raise self._no_answer("it lacks something")
        if len(none) > MOST_ARRAYS:
            raise self._no_answer("it has too many arrays")
        known = tuple(name for name in self._given if name in changed)
        return Returned({**message.arrays, **none}, known)

    def _heard(self, *kinds: str) -> Message:
        """The next message, of one of these kinds; FaultError where it is a fault."""
        from rnngrad.cli.checks.messages import MessageError, unpacked
        from rnngrad.cli.checks.student_child import MOST_NUMBERS

        try:
            message = unpacked(self._process.read, MOST_NUMBERS)
        except MessageError as error:
            raise self._no_answer(str(error)) from None
        except LateError as late:
            self.gone = True
            more = "" if "ready" in kinds else "; --timeout SECONDS gives it longer"
            raise LateError(f"{late}{more}") from None
        except GoneError:
            self.gone = True
            raise
        finally:
            self._process.catch_up()
        match message:
            case ("fault", {"words": str(words)}, _):
                raise FaultError(self._memory(_printable(words)))
            case (kind, _, _) if kind in kinds:
                return message
            case _:
                raise self._no_answer("it is of another kind")

    def _memory(self, words: str) -> str:
        if not any(sign in words for sign in OUT_OF_MEMORY) or math.isinf(self.options.memory):
            return words
        return f"{words}; it may use {self.options.memory:g} GiB, --memory GIB gives it more"

    def _no_answer(self, why: str) -> GoneError:
        self.gone = True
        return GoneError(
            f"{self._process.subject} wrote into the way back to rnngrad: what came is no answer "
            f"({why})"
        )


def _parts(returns: str | None) -> list[str]:
    """The names in ``--returns``."""
    if returns is None:
        return []
    names = [name.strip() for name in returns.split(",")]
    if not all(names):
        raise UsageError(f"--returns {returns}: a name is empty; - skips a part")
    twice = sorted({name for name in names if names.count(name) > 1} - {"-", "_"})
    if twice:
        raise UsageError(f"--returns {returns}: names {twice[0]} twice")
    return names


def _arrays(
    problem: Problem | Batch | Bidirectional, before_weights: str
) -> Iterator[tuple[str, Any]]:
    """What a function is called with; ``c_0`` and its like where the state has more parts. Of a
    batch inputs and targets have its axis, filled up with 0, starts are (B, H), and ``lengths``
    (B,) are for a function that names them."""
    from rnngrad.cli.checks.student_child import FIRST
    from rnngrad.net.bidirectional import Bidirectional, start_of
    from rnngrad.net.problem import REVERSE, Problem

    if isinstance(problem, Bidirectional):
        yield from _arrays(problem.net, before_weights)
        for part in problem.net.cell.parts:
            start = problem.net.starts[part + REVERSE]
            yield start_of(part + REVERSE), start
        return
    if not isinstance(problem, Problem):
        yield from _of_batch(problem, before_weights)
        return
    for name, values in problem.weights.items():
        yield before_weights + name, values
    dense = problem.dense
    if dense is not None:
        yield before_weights + "W_in", dense.W
        yield before_weights + "b_in", dense.b
    yield "inputs", problem.x if dense is None else dense.x
    if problem.targets is not None:
        yield "targets", problem.targets
    yield FIRST, problem.h_0
    for index, part in enumerate(problem.cell.parts[1:], start=1):
        yield f"{part}_0", problem.start(index)


def _of_batch(batch: Batch, before_weights: str) -> Iterator[tuple[str, Any]]:
    import numpy as np

    from rnngrad.cli.checks.student_child import LENGTHS
    from rnngrad.net.batch import BidirectionalBatch

    sequences = batch.each if isinstance(batch, BidirectionalBatch) else batch.sequences
    each = [dict(_arrays(one, before_weights)) for one in sequences]
    for name, first in each[0].items():
        if name.startswith(before_weights):
            yield name, first
        elif name not in ("inputs", "targets"):
            yield name, np.stack([arrays[name] for arrays in each])
        else:
            whole = np.zeros((batch.size, batch.steps, first.shape[1]))
            for rows, arrays in zip(whole, each, strict=True):
                rows[: len(arrays[name])] = arrays[name]
            yield name, whole if batch.axis == "first" else whole.swapaxes(0, 1).copy()
    yield LENGTHS, np.array(batch.lengths, dtype=np.float64)


def _printable(words: str) -> str:
    """Not too long, each line without what a terminal would act on, or takes no part of."""
    return printable(words[:LONGEST_WORDS])
