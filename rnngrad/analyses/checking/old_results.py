"""An older result of rnngrad's against what it computes now: what has changed, in words and for
programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from rnngrad.analyses.checking.comparing.verdicts import Checked
from rnngrad.arithmetic.arrays import finite_or_none
from rnngrad.errors import escaped
from rnngrad.net.batch import Batch
from rnngrad.net.bidirectional import Bidirectional
from rnngrad.net.fingerprint import fingerprint
from rnngrad.net.problem import Problem
from rnngrad.version import __version__


class Changes(NamedTuple):
    """``data``: the old ``version`` and ``hash`` of the spec, whether it is the ``same_spec`` (None
    where the file does not tell), and the ``first_difference``: the first quantity whose numbers
    are not the very same."""

    data: Mapping[str, object]

    @property
    def words(self) -> Iterator[str]:
        """A line each."""
        then, same = self.data["version"], self.data["same_spec"]
        yield (
            f"made by this version, {__version__}"
            if then == __version__
            else f"made by rnngrad {escaped(str(then))}; this is {__version__}"
        )
        yield {
            None: "whether it is of the same spec is not told",
            True: "the spec is the same, number for number",
            False: "the spec is another: its equations or its numbers have changed",
        }[same if isinstance(same, bool) else None]
        first = self.data["first_difference"]
        if isinstance(first, Mapping):
            error = first["max_rel_error"]
            size = "" if error is None else f", by {error:.1e}"
            yield f"the first quantity that differs: {first['name']}{size}"
        else:
            yield "every number in it is the very same"


def changes(
    made: Mapping[str, object], problem: Problem | Batch | Bidirectional, checked: Sequence[Checked]
) -> Changes:
    """What has changed since ``made``: the version, the name, the hash that an old result tells."""
    told, now = made.get("hash"), fingerprint(problem)
    differing = (e for e in checked if e.max_rel_error is None or e.max_rel_error > 0)
    first = next(differing, None)
    return Changes({
        "version": made.get("version"),
        "hash": told,
        "same_spec": None if told is None else told == now,
        "first_difference": None if first is None else {
            "name": first.name, "max_rel_error": finite_or_none(first.max_rel_error),
        },
    })  # fmt: skip
