"""The process in which a student's function runs; ``student.py`` is on the other side.

Nothing here is a guard against malice: what the function does to this process it does to itself,
and what comes back are arrays, which the other side reads strictly and compares.
"""

from __future__ import annotations

import importlib.util
import inspect
import linecache
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.machinery import SourceFileLoader
from io import TextIOWrapper
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from rnngrad.cli.checks.messages import MOST_ARRAYS, Arrays, is_name, packed, unpacked
from rnngrad.cli.parent import end_with_parent
from rnngrad.errors import did_you_mean
from rnngrad.net.given_arrays import real

MODULE = "rnngrad_student"
FIRST = "h_0"
LENGTHS = "lengths"
"""What a function may name besides: the steps of each sequence of a batch."""

"""What the start of the state's first part is called on its way here."""

WEIGHT = "weights "
"""Before a weight's name in a request."""
MOST_NUMBERS = 2**27
"""That a function may return: a gibibyte of float64."""
SKIPPED = ("-", "_", "loss")
"""What ``--returns`` calls a part that is no array to be checked."""

Function = Callable[..., Any]


class _FaultError(Exception):
    """What the student's code did wrong, in words with its own line."""


class _MissingError(Exception):
    """There is no such function."""


def main(down: str, up: str, path: str, name: str, returns: str, memory: str) -> None:
    """Load the function, call it on what comes ``down`` one by one, write what it gives ``up``."""
    for end in (down, up):
        os.set_inheritable(int(end), False)
    answers, requests = os.fdopen(int(up), "wb"), os.fdopen(int(down), "rb")
    _send(answers, packed("ready"))
    parts = returns.split(",") if returns else []
    file = Path(path)
    function: Function = _not_loaded
    while requests.peek(1):
        request = unpacked(requests.read)
        if request.kind == "load":
            _settle(float(memory), file)
            try:
                function = _load(file, name)
            except _MissingError as missing:
                _send(answers, packed("missing", words=str(missing)))
            except _FaultError as fault:
                _send(answers, packed("fault", words=str(fault)))
            else:
                _send(answers, packed("loaded", takes=_starts_taken(function)))
        else:
            _send(answers, _answer(function, file, name, request.arrays, parts))


def _send(answers: BinaryIO, message: list[bytes]) -> None:
    """A message, and before it whatever Python still holds of what was printed."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        if stream is not None and not stream.closed:
            with suppress(OSError, ValueError):
                stream.flush()
    answers.writelines(message)
    answers.flush()


def _settle(memory: float, path: Path) -> None:
    """What the student's code finds: limits, streams, its folder to import from."""
    _limit(memory)
    for stream in (sys.stdout, sys.stderr):
        assert isinstance(stream, TextIOWrapper)
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    sys.argv = [str(path)]
    sys.path.insert(0, str(path.resolve().parent))
    warnings.simplefilter("default")


def _limit(memory: float) -> None:
    """So many GiB more than now, no core file, and an end with the process that started it."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if np.isfinite(memory):
        most = _size() + int(memory * 2**30)
        with suppress(ValueError, OSError):  # the system's own limit is lower, or there is none
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
    end_with_parent()


def _size() -> int:
    """The bytes of addresses that are in use; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


# ---------------------------------------------------------------------------- the function


def _not_loaded(*_: object) -> None:
    raise _FaultError("there is no function")


def _load(path: Path, name: str) -> Function:
    spec = importlib.util.spec_from_file_location(MODULE, path.resolve(), loader=_loader(path))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE] = module
    with _guarded(path):
        spec.loader.exec_module(module)
    named = sorted(n for n, value in vars(module).items() if _own_function(n, value))
    listed = f"; it has {', '.join(named)}" if named else ""
    if not name:
        raise _MissingError(f"say which function, {path}:FUNCTION{listed}")
    function = getattr(module, name, None)
    if function is None:
        raise _MissingError(f"has no function '{name}'{did_you_mean(name, named) or listed}")
    if not callable(function):
        raise _MissingError(f"'{name}' is a {type(function).__name__}, not a function")
    return function  # type: ignore[no-any-return]


def _loader(path: Path) -> SourceFileLoader | None:
    """Python's own, but for a file with the mark of UTF-16 or UTF-32."""
    with path.open("rb") as file:
        mark = file.read(4)
    if mark[:2] not in (b"\xff\xfe", b"\xfe\xff") and mark != b"\x00\x00\xfe\xff":
        return None
    from rnngrad.files.opening import PythonLoader  # its imports take 57 ms that few files need

    return PythonLoader(MODULE, str(path.resolve()))


def _own_function(name: str, value: object) -> bool:
    return callable(value) and getattr(value, "__module__", "") == MODULE and name[0] != "_"


def _starts_taken(function: Function) -> list[str]:
    """The parameters that may be the start of a part of the state, such as c_0, and ``lengths``."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    names = [p.name for p in parameters if p.kind in by_name]
    return [
        name for name in names if name.removesuffix("_reverse").endswith("_0") or name == LENGTHS
    ]


def _answer(
    function: Function, path: Path, name: str, given: Arrays, parts: list[str]
) -> list[bytes]:
    """FUNCTION(weights, inputs, targets, h_0); for a cell whose state has more parts, c_0=… as well
    where the function has a parameter of that name."""
    weights = {k.removeprefix(WEIGHT): v for k, v in given.items() if k.startswith(WEIGHT)}
    before = {id(array): (array.shape, array.tobytes()) for array in given.values()}
    others = (given["inputs"], given.get("targets"), given[FIRST])
    named = {key: given[key] for key in _starts_taken(function) if key in given and key != FIRST}
    passed = dict(weights)
    try:
        with _guarded(path):
            result = function(passed, *others, **named)
            arrays, unfit = _arrays(result, f"{path.name}: {name}", parts)
    except _FaultError as fault:
        return packed("fault", words=str(fault))
    changed = [
        key.removeprefix(WEIGHT)
        for key, array in given.items()
        if (array.shape, array.tobytes()) != before[id(array)]
        or (key.startswith(WEIGHT) and passed.get(key.removeprefix(WEIGHT)) is not array)
    ]
    return packed("answer", arrays, changed=changed, unfit=unfit)


def _arrays(result: object, who: str, parts: list[str]) -> tuple[Arrays, dict[str, str]]:
    """The arrays that were returned, and why what is none is none."""
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    unfit: dict[str, str] = {}
    named = _named(result, who, parts)
    if len(named) > MOST_ARRAYS:
        raise _FaultError(f"{who} returned {len(named):,} arrays, may return {MOST_ARRAYS:,}")
    for name, value in named.items():
        if not is_name(name):
            raise _FaultError(f"{who} returned {name[:40]!r}, which is no name of an array")
        try:
            arrays[name] = real(value)
        except (TypeError, ValueError, RuntimeError) as error:
            unfit[name] = str(error)
    size = sum(array.size for array in arrays.values())
    if size > MOST_NUMBERS:
        raise _FaultError(f"{who} returned {size:,} numbers, may return {MOST_NUMBERS:,}")
    return arrays, unfit


def _named(result: object, who: str, parts: list[str]) -> dict[str, Any]:
    """What was returned, by name: a dict has names, a tuple those of ``--returns``."""
    if isinstance(result, Mapping):
        return {str(name): value for name, value in result.items()}
    if not isinstance(result, tuple | list):
        what = "nothing" if result is None else f"a {type(result).__name__}"
        raise _FaultError(
            f"{who} returned {what}, must return a dict of arrays, such as {{'dL_dW_hh': ...}}"
        )
    what = f"a {type(result).__name__} of {len(result)}"
    if not parts:
        raise _FaultError(
            f"{who} returned {what}, without names: must return a dict of arrays, such as "
            "{'dL_dW_hh': ...}; or say what is in it, --returns NAME,NAME,... (- skips one)"
        )
    if len(parts) != len(result):
        raise _FaultError(f"{who} returned {what}, but --returns names {len(parts)}")
    return {name: value for name, value in zip(parts, result, strict=True) if name not in SKIPPED}


# ---------------------------------------------------------------------------- its faults


@contextmanager
def _guarded(path: Path) -> Iterator[None]:
    """The student's code fails in words."""
    try:
        yield
    except _FaultError:
        raise
    except BaseException as error:
        raise _FaultError(_in_words(error, path)) from error


def _in_words(error: BaseException, path: Path) -> str:
    """``student.py:12 in backward: ZeroDivisionError: division by zero``, and the line itself."""
    what = f"{type(error).__name__}: {_message(error)}".removesuffix(": ")
    own = str(path.resolve())
    if isinstance(error, SyntaxError) and error.filename == own:
        return _placed(path, error.lineno, "", f"{type(error).__name__}: {error.msg}")
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == own]
    if not frames:
        return f"{path.name}: {what}"
    return _placed(path, frames[-1].lineno, frames[-1].name, what)


def _message(error: BaseException) -> str:
    """What it says; an exception may fail at that too."""
    with suppress(Exception, SystemExit):
        return str(error)
    return "its message raises an error of its own"


def _placed(path: Path, line: int | None, function: str, what: str) -> str:
    source = linecache.getline(str(path.resolve()), line or 0).strip()
    inside = f" in {function}" if function and function != "<module>" else ""
    quoted = f", at `{source}`" if source else ""
    return f"{path.name}:{line}{inside}: {what}{quoted}"
