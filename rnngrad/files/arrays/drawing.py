"""Initialisers and random sequences: the only random numbers of rnngrad.

Every name draws its own stream, seeded by (seed, name), so adding a parameter to a spec leaves the
values of the others as they were.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache, partial
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from rnngrad.arithmetic.arrays import Array
from rnngrad.errors import SpecError
from rnngrad.memory import allowed, in_words

LARGEST_ARRAY = 2**33
"""Bytes that a single array may take."""

if TYPE_CHECKING:
    from numpy.random import Generator  # takes 10 ms to import; a spec may draw nothing

Options: TypeAlias = Mapping[str, float]
Stream: TypeAlias = "Callable[[], Generator]"
"""Makes the stream of random numbers when the first is wanted."""

Drawer: TypeAlias = "Callable[[Stream, tuple[int, ...], int, Options], Array]"
"""(stream, shape, fan_in, options) -> the array of that shape"""


class DrawingError(SpecError):
    """An array that cannot be drawn: ``name`` says which, ``reason`` why."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__([f"{name} {reason}"])
        self.name = name
        self.reason = reason


class Option(NamedTuple):
    """A number that an initialiser takes.

    ``default`` None stands for one worked out from the shape; ``required`` has no default at all.
    ``least`` is the smallest value that makes sense.
    """

    meaning: str
    default: float | None = None
    required: bool = False
    least: float | None = None


class Filling(NamedTuple):
    """A way to fill an array: an initialiser or a random sequence.

    ``matrix_only`` ones make no sense for a bias; ``random`` ones depend on the seed; ``by_gate``
    ones fill the rows of each gate on their own.
    """

    name: str
    meaning: str
    draw: Drawer
    options: Mapping[str, Option] = MappingProxyType({})
    matrix_only: bool = False
    random: bool = True
    by_gate: bool = False


def generator(seed: int, name: str) -> Generator:
    """The stream of ``name`` under ``seed``, any integer; name first, so that no two can meet."""
    letters = name.encode()
    words = [len(letters), *letters, int(seed < 0), abs(seed)]
    return np.random.default_rng(np.random.SeedSequence(words))


def _symmetric(stream: Stream, shape: tuple[int, ...], bound: float) -> Array:
    """Uniform on [−bound, bound)."""
    return bound * (2.0 * stream().random(shape) - 1.0)


def _normal(stream: Stream, shape: tuple[int, ...], fan_in: int, options: Options) -> Array:
    return options["std"] * stream().standard_normal(shape)


def _gaussian(stream: Stream, shape: tuple[int, ...], fan_in: int, options: Options) -> Array:
    return options["gain"] / math.sqrt(fan_in) * stream().standard_normal(shape)


def _uniform(stream: Stream, shape: tuple[int, ...], fan_in: int, options: Options) -> Array:
    return _symmetric(stream, shape, options.get("bound", 1.0 / math.sqrt(fan_in)))


def _xavier_uniform(stream: Stream, shape: tuple[int, ...], fan_in: int, options: Options) -> Array:
    """Uniform within gain·√(6/(fan_in + fan_out)); Glorot, Bengio, AISTATS (2010), equation 16."""
    return _symmetric(stream, shape, options["gain"] * math.sqrt(6.0 / (fan_in + shape[0])))


def _xavier_normal(stream: Stream, shape: tuple[int, ...], fan_in: int, options: Options) -> Array:
    """std = gain·√(2/(fan_in + fan_out)); Glorot, Bengio, AISTATS (2010), equation 12."""
    return options["gain"] * math.sqrt(2.0 / (fan_in + shape[0])) * stream().standard_normal(shape)


def _orthogonal(stream: Stream, shape: tuple[int, ...], fan_in: int, options: Options) -> Array:
    """Q of the QR of a normal matrix, R's diagonal made positive, so that Q is Haar distributed.

    Rectangular: orthonormal rows or columns, whichever are fewer. Source: Mezzadri, Notices of the
    AMS 54 (2007), section 5; Saxe, McClelland, Ganguli, ICLR (2014).
    """
    tall = stream().standard_normal((max(shape), min(shape)))
    q, r = np.linalg.qr(tall)
    q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
    return options["gain"] * (q if shape[0] >= shape[1] else q.T)


def _identity(stream: Stream, shape: tuple[int, ...], fan_in: int, options: Options) -> Array:
    return options["gain"] * np.eye(shape[0], shape[1])


def _zeros(stream: Stream, shape: tuple[int, ...], fan_in: int, options: Options) -> Array:
    return np.zeros(shape)


def _constant(stream: Stream, shape: tuple[int, ...], fan_in: int, options: Options) -> Array:
    return np.full(shape, options["value"], dtype=np.float64)


_GAIN = {"gain": Option("factor on the whole matrix", 1.0)}

_INITIALISERS = (
    Filling("normal", "normal numbers of standard deviation std", _normal,
            {"std": Option("standard deviation", 1.0, least=0.0)}),
    Filling("gaussian", "normal numbers of standard deviation gain/√fan_in", _gaussian,
            {"gain": Option("times 1/√fan_in is the standard deviation", 1.0)}),
    Filling("uniform", "uniform numbers between −bound and bound", _uniform,
            {"bound": Option("largest size of a number; 1/√fan_in by default", least=0.0)}),
    Filling("xavier_uniform", "Glorot's uniform numbers, within gain·√(6/(fan_in + fan_out))",
            _xavier_uniform, _GAIN, matrix_only=True),
    Filling("xavier_normal", "Glorot's normal numbers, of std gain·√(2/(fan_in + fan_out))",
            _xavier_normal, _GAIN, matrix_only=True),
    Filling("orthogonal", "gain times a random orthogonal matrix, gate by gate", _orthogonal, _GAIN,
            matrix_only=True, by_gate=True),
    Filling("identity", "gain times the identity, gate by gate", _identity, _GAIN,
            matrix_only=True, random=False, by_gate=True),
    Filling("zeros", "all numbers 0", _zeros, random=False),
    Filling("constant", "all numbers value", _constant,
            {"value": Option("the number", required=True)}, random=False),
)  # fmt: skip

INITIALISERS: Mapping[str, Filling] = MappingProxyType({r.name: r for r in _INITIALISERS})
"""name -> record: the one place to add an initialiser of weights."""


def _normal_steps(stream: Stream, shape: tuple[int, ...], fan_in: int, options: Options) -> Array:
    return options["scale"] * stream().standard_normal(shape)


def _uniform_steps(stream: Stream, shape: tuple[int, ...], fan_in: int, options: Options) -> Array:
    return _symmetric(stream, shape, options["scale"])


def _one_hot(stream: Stream, shape: tuple[int, ...], fan_in: int, options: Options) -> Array:
    rows = np.zeros(shape)
    rows[np.arange(shape[0]), stream().integers(0, shape[1], size=shape[0])] = 1.0
    return rows


def _bernoulli(stream: Stream, shape: tuple[int, ...], fan_in: int, options: Options) -> Array:
    return stream().integers(0, 2, size=shape).astype(np.float64)


_SCALE = {"scale": Option("factor on every number", 1.0, least=0.0)}

_SEQUENCES = (
    Filling("normal", "normal numbers of standard deviation scale", _normal_steps, _SCALE),
    Filling("uniform", "uniform numbers between −scale and scale", _uniform_steps, _SCALE),
    Filling("one_hot", "one 1 in each row, the rest 0", _one_hot),
    Filling("bernoulli", "0 or 1, evenly", _bernoulli),
)

SEQUENCES: Mapping[str, Filling] = MappingProxyType({r.name: r for r in _SEQUENCES})
"""name -> record: the one place to add a random sequence."""


class Draw(NamedTuple):
    """An array still to be filled; ``of`` is "init" or "random", the table that ``kind`` is in.
    ``gates`` says how many blocks of rows a matrix has, ``steps`` is the T of a sequence, where it
    is given, ``sequences`` the B of a batch, whose ``shape`` then begins with B; ``shape`` and
    ``fan_in`` are known once the sizes are."""

    of: str
    kind: str
    options: Mapping[str, float]
    shape: tuple[int, ...] = ()
    fan_in: int = 1
    gates: int = 1
    steps: int | None = None
    sequences: int | None = None

    @property
    def filling(self) -> Filling:
        """The record of the table."""
        return (INITIALISERS if self.of == "init" else SEQUENCES)[self.kind]


def too_large(shape: tuple[int, ...]) -> str:
    """Why an array of this shape is refused, or the empty string."""
    size = 8.0
    for length in shape:
        size *= length
    if size <= min(LARGEST_ARRAY, allowed()):
        return ""
    sides = "×".join(map(str, shape)) if len(shape) > 1 else f"{shape[0]} numbers long"
    if size > LARGEST_ARRAY:
        return f"would be {sides} and take {gibibytes(size)}; an array may take at most 8 GiB"
    taken = f"take {in_words(size)}, and may take {in_words(allowed())}"
    return f"would be {sides} and {taken}; --max-memory SIZE allows more"


def gibibytes(size: float) -> str:
    """``14.9 GiB``; powers of ten where there are a million of them or more."""
    return f"{size / 2**30:,.1f} GiB" if size < 2.0**50 else f"{size / 2**30:.0e} GiB"


def _filled(draw: Draw, stream: Stream) -> Array:
    """All at once, or gate by gate, one after the other from one stream."""
    if draw.gates == 1 or not draw.filling.by_gate:
        return draw.filling.draw(stream, draw.shape, draw.fan_in, draw.options)
    shape = (draw.shape[0] // draw.gates, *draw.shape[1:])
    gates = [draw.filling.draw(stream, shape, draw.fan_in, draw.options) for _ in range(draw.gates)]
    return np.concatenate(gates)


def drawn(name: str, draw: Draw, seed: int) -> Array:
    """The array of ``name`` under ``seed``, of ``draw.shape``; raises DrawingError. Each sequence
    of a batch has a stream of its own, the first that of a single sequence."""
    if draw.sequences is not None:
        one = draw._replace(sequences=None, shape=draw.shape[1:])
        names = (name if not k else f"{name}.{k + 1}" for k in range(draw.sequences))
        return np.stack([drawn(own, one, seed) for own in names])
    try:
        with np.errstate(all="ignore"):
            array = np.asarray(_filled(draw, cache(partial(generator, seed, name))))
    except MemoryError:
        sides = "×".join(map(str, draw.shape))
        raise DrawingError(name, f"is {sides}, and there is not enough memory for it") from None
    if not np.isfinite(array).all():
        raise DrawingError(name, f"overflows: {draw.kind} with {dict(draw.options)} is not finite")
    return array
