"""What a result was made of; with the version, this is all that it depends on."""

from __future__ import annotations

from typing import NamedTuple

from rnngrad.net.batch import Batch
from rnngrad.net.bidirectional import Bidirectional
from rnngrad.net.fingerprint import fingerprint
from rnngrad.net.problem import Problem


class Provenance(NamedTuple):
    """A spec by its name, its seed, and the hash of its content."""

    name: str
    seed: int
    hash: str


def provenance(problem: Problem | Batch | Bidirectional) -> Provenance:
    """What a result of this problem carries."""
    one = problem if isinstance(problem, Problem) else problem.net
    return Provenance(one.name, one.seed, fingerprint(problem))
