"""``--set key=value``: another value for one key of a spec."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any

from rnngrad.errors import SpecError
from rnngrad.files.spec_errors import Override
from rnngrad.files.specification.checkpoints import changed_at, files
from rnngrad.files.specification.sources import ARRAYS, FORMS
from rnngrad.files.text import cut, dotted, placed, shown
from rnngrad.files.yaml_text import Steps, parse, present

LABEL = "--set"
FILE: Steps = ("weights", "file")


def override(
    data: dict[str, Any], argument: str, before: Sequence[Override] = ()
) -> tuple[dict[str, Any], Override]:
    """``data`` with the value of ``key=value`` put in; ``data`` itself stays as it is.

    ``weights.file`` takes the place of the file wherever else it stands, but for what the overrides
    ``before`` it gave. An array has one form: ``inputs.file=x.npy`` takes the place of numbers, of
    random numbers, and of all their keys but those that the overrides ``before`` it gave.

    Dots lead into mappings and lists: ``weights.W_hh=[[1, 2], [3, 4]]``, ``inputs.0=0.5``. The
    value is YAML. Raises SpecError with one message.
    """
    keys, sign, value = argument.partition("=")
    if not sign or not keys.strip():
        raise _refused(argument, 0, "must be key=value, such as activation=relu")
    if not value.strip():
        raise _refused(argument, len(keys) + 1, f"'{cut(keys)}' is given no value")
    names = keys.split(".")
    starts = [sum(len(name) + 1 for name in names[:i]) for i in range(len(names))]
    if not all(name.strip() for name in names):
        empty = next(i for i, name in enumerate(names) if not name.strip())
        raise _refused(argument, starts[empty], "a key is missing beside the dot")
    document = parse(" " * (len(keys) + 1) + value, LABEL, quote=argument)
    columns = tuple(starts)
    names = [name.strip() for name in names]
    data = _of_one_form(data, names, {one.path for one in before})
    changed, path = _changed(data, argument, names, columns, document.data)
    if path != FILE or not present(data, FILE) or not isinstance(document.data, str):
        return changed, Override(path, columns, document)
    old, given = data["weights"]["file"], {one.path for one in before}
    others = [way for way in files(data, old) if way != FILE and way not in given]
    for way in others:
        changed = changed_at(changed, list(way), document.data)
    return changed, Override(path, columns, document, tuple(dotted(way[:-1]) for way in others))


def _refused(argument: str, column: int, message: str) -> SpecError:
    return SpecError([placed(LABEL, 0, column, message, argument.split("\n")[0])])


def _of_one_form(data: dict[str, Any], names: list[str], given: Set[Steps]) -> dict[str, Any]:
    """``data`` ready for an array to take the form that the last name tells."""
    *path, form = names
    if form not in FORMS or not _is_array(path):
        return data
    inner: Any = data
    way: list[str | int] = []
    for name in path:
        index = isinstance(inner, list) and name.isdecimal() and len(name) < 10
        step = int(name) if index else name
        if not present(inner, (step,)):
            return data
        way.append(step)
        inner = inner[step]
    if isinstance(inner, dict) and form in inner:
        return data
    keys = inner if isinstance(inner, dict) else {}
    kept = {key: value for key, value in keys.items() if (*way, key) in given}
    changed: dict[str, Any] = changed_at(data, way, kept)
    return changed


def _is_array(path: list[str]) -> bool:
    """inputs, weights.W_hh, weights.layers.0.W_hh, …"""
    if path[:2] == ["weights", "layers"]:
        return len(path) == 4
    return len(path) == 2 if path[:1] == ["weights"] else len(path) == 1 and path[0] in ARRAYS


def _changed(
    data: dict[str, Any], argument: str, names: list[str], columns: tuple[int, ...], value: Any
) -> tuple[dict[str, Any], Steps]:
    """A copy of ``data`` along the path, with ``value`` at its end; and the path."""
    root = copy = dict(data)
    here: Any = copy
    path: list[str | int] = []
    for depth, name in enumerate(names):
        step = _step(here, name, path, argument, columns[depth])
        path.append(step)
        if depth == len(names) - 1:
            here[step] = value
        else:
            inner = here.get(step) if isinstance(here, dict) else here[step]
            here[step] = _copied(inner, path, argument, columns[depth + 1])
            here = here[step]
    return root, tuple(path)


def _copied(inner: Any, path: list[str | int], argument: str, column: int) -> Any:
    if inner is None:
        return {}
    if isinstance(inner, (dict, list)):
        return inner.copy()
    raise _refused(argument, column, f"{dotted(path)} is {shown(inner)}, with no keys inside")


def _step(here: Any, name: str, path: list[str | int], argument: str, column: int) -> str | int:
    """The name as a key of a mapping, or as an index, from 0, of a list."""
    if isinstance(here, dict):
        return name
    if name.isdecimal() and len(name) < 10 and int(name) < len(here):
        return int(name)
    last = f"indices 0 to {len(here) - 1}" if here else "no items"
    raise _refused(argument, column, f"{dotted(path)} is a list with {last}, not {shown(name)}")
