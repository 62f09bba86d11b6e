"""An entry of an array in the net's words: ``[7, 0]`` of an lstm's dL_dW_xh with H = 5 is "gate f,
unit 2, from input 0".

Steps are those of the paper, as ``derive`` prints them (h_0 is of step 0, x_1 of step 1); units,
inputs, outputs and layers are counted from 0, as NumPy and the names ``W_xh.0``, ``W_xh.1`` do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rnngrad.algebra.equations import X
from rnngrad.algebra.step_graph import Matrix, before
from rnngrad.analyses.checking.comparing.verdicts import Checked
from rnngrad.analyses.derivation.quantities import Quantity, of_start, records
from rnngrad.net.cells import Cell
from rnngrad.net.problem import Problem


def with_places(
    problem: Problem, checked: Iterable[Checked], known: Mapping[str, Quantity] | None = None
) -> list[Checked]:
    """The verdicts, each with the words for its worst entry; ``known`` are the problem's records,
    where somebody has them."""
    known = records(problem) if known is None else known
    return [
        entry._replace(worst_entry=_place(problem, known, entry.name, entry.worst_index or ()))
        for entry in checked
    ]


def place(problem: Problem, name: str, index: Sequence[int]) -> str:
    """The words for an index of a quantity; nothing for the index () of a single number."""
    return _place(problem, records(problem), name, index)


def _place(problem: Problem, known: Mapping[str, Quantity], name: str, index: Sequence[int]) -> str:
    """Of an index that ends early, the words for what is there."""
    if not index:
        return ""
    if name in _DENSE:
        return _joined(_DENSE[name], index)
    if name == "log10_chain":
        return f"from step {problem.steps} back to step {index[0]}"
    if name in _PATHS:
        return _of_a_path(problem, name, index)
    starts = (of_start(part) for part in problem.cell.parts)
    record = known.get(name) or next((r for r in starts if r.name == name), None)
    if record is None:
        return ""
    if record.parameter is not None:
        return _of_a_parameter(problem, record.parameter, index)
    words, rest = list[str](), index
    if record.first_step is not None:
        words, rest = [f"step {index[0] + record.first_step}"], index[1:]
    if rest and name == "dht_dhprev":
        words.append(" by ".join(_of_the_state(problem, at) for at in rest))
    elif rest:
        words += _within_a_step(problem, record, rest)
    return ", ".join(words)


_DENSE = {"dL_dW_in": ("unit {} of W_in", "from input {}"), "dL_db_in": ("unit {} of W_in",)}
_PATHS = ("log10_paths", "dLt_dhk", "dLt_dak")


def _of_a_path(problem: Problem, name: str, index: Sequence[int]) -> str:
    """[t − 1, k]: from L_t back to step k; of ``dLt_dak`` [t − 1, k − 1]."""
    words = f"from L_{index[0] + 1}"
    if index[1:]:
        words += f" back to step {index[1] + (name == 'dLt_dak')}"
    if index[2:] and name == "dLt_dhk":
        words += f", {_of_the_state(problem, index[2])}"
    elif index[2:]:
        words += f", {'unit' if problem.single_rnn else 'entry'} {index[2]}"
    return words


def _within_a_step(problem: Problem, record: Quantity, index: Sequence[int]) -> list[str]:
    if record.of_rnn:  # ∂⁺h_t/∂W
        of = ("unit", "from input" if record.dims[-1] == "I" else "from unit")
        return [f"{word} {at}" for word, at in zip(of, index, strict=False)]
    if record.part is None and record.dims[-1] in _LETTERS:
        return [f"{_LETTERS[record.dims[-1]]} {index[0]}"]
    part = 0 if record.part is None else problem.cell.parts.index(record.part)
    for number, layer in enumerate(problem.layers):
        columns = layer.parts[part]
        if columns.start <= index[0] < columns.stop:
            unit = f"unit {index[0] - columns.start}"
            return [f"layer {number}", unit] if problem.depth > 1 else [unit]
    return []


_LETTERS = {"O": "output", "I": "input"}


def _of_the_state(problem: Problem, at: int) -> str:
    """``c unit 1``, in a stack ``c unit 1 of layer 0``, for an entry of s."""
    for number, layer in enumerate(problem.layers):
        for part, columns in zip(problem.cell.parts, layer.state, strict=True):
            if columns.start <= at < columns.stop:
                unit = f"{part} unit {at - columns.start}"
                return f"{unit} of layer {number}" if problem.depth > 1 else unit
    return f"entry {at}"


# ---------------------------------------------------------------------------- parameters


def gates_of(problem: Problem, parameter: str) -> tuple[str, ...]:
    """The gates whose rows a parameter holds one block after the other; none for any other."""
    name = parameter.partition(".")[0]
    return problem.cell.gates if len(problem.cell.blocks.get(name, ())) > 1 else ()


def of_a_row(problem: Problem, parameter: str, row: int) -> str:
    """``gate f, unit 2``: a row of a parameter, or an entry of a vector."""
    return _of_a_parameter(problem, parameter, (row,))


def _of_a_parameter(problem: Problem, parameter: str, index: Sequence[int]) -> str:
    if parameter in _READOUT:
        return _joined(_READOUT[parameter], index)
    name, _, number = parameter.partition(".")
    words, at = [f"layer {number}"] if number else [], list(index)
    gates = gates_of(problem, parameter)
    if gates:
        size = len(problem.weights[parameter]) // len(gates)
        words.append(f"gate {gates[at[0] // size]}")
        at[0] %= size
    words.append(_joined(_axes(problem.cell, name, int(number or 0)), at))
    return ", ".join(words)


_READOUT = {"W_hy": ("output {}", "from unit {}"), "b_y": ("output {}",)}


def _joined(axes: Sequence[str], index: Sequence[int]) -> str:
    return ", ".join(word.format(at) for word, at in zip(axes, index, strict=False))


def _axes(cell: Cell, name: str, number: int) -> tuple[str, ...]:
    """What an index means along each axis of a parameter, as the equations use it."""
    blocks = cell.blocks.get(name, (name,))
    letters = cell.equations.parameters[blocks[0]]
    uses = [matrix for matrix in cell.step.matrices if matrix.parameter in blocks]
    plain = [matrix for matrix in uses if not matrix.transposed]
    if uses and not plain:  # Wᵀ alone: its columns are what the product is added to
        return _from(cell, uses, number), _into(cell, letters[1], [use.target for use in uses])
    targets = [matrix.target for matrix in plain]
    targets += [use.target for use in cell.step.uses if use.parameter in blocks]
    into = _into(cell, letters[0], targets, "row" if len(letters) > 1 else "entry")
    return into, *(_from(cell, plain, number) for _ in letters[1:])


def _into(cell: Cell, letter: str, targets: Sequence[str], otherwise: str = "row") -> str:
    """``unit {}`` where there is one for each unit, else by the name of what has that size."""
    if letter == cell.letters[0]:
        return "unit {}"
    named = {_named(cell, target) for target in targets}
    name = named.pop() if len(named) == 1 else None
    return f"{otherwise} {{}}" if name is None else f"unit {{}} of {name}"


def _from(cell: Cell, matrices: Sequence[Matrix], number: int) -> str:
    """``from input {}``, ``from unit {}``, by what the matrix multiplies."""
    sources = {matrix.source for matrix in matrices}
    if sources == {X}:
        return f"from unit {{}} of layer {number - 1}" if number else "from input {}"
    if sources == {before(cell.parts[0])}:
        return "from unit {}"
    name = _named(cell, sources.pop()) if len(sources) == 1 else None
    return "column {}" if name is None else f"from unit {{}} of {name}"


def _named(cell: Cell, key: str) -> str | None:
    """The name of the equations behind a key of the graph (``a.f``, ``c⁻``), if one is."""
    name = key.removeprefix("a.").removesuffix("⁻")
    known = cell.equations.sizes
    bare = name.rstrip("0123456789")
    return name if name in known else bare if bare in known else None
