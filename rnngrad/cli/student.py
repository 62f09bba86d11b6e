"""A student's function, FILE.py:FUNCTION: loaded, called, and what it does wrong in words.

It is code and runs with the rights of whoever names it on the command line. What it prints goes to
standard error, whichever way it prints; it is given copies, so that it cannot spoil ours. It runs
in this process, where a fork would hang in the threads of torch or jax: ``os._exit`` is caught, but
nothing keeps a signal or a crash in C from ending us.
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
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np

from rnngrad.errors import UsageError, did_you_mean
from rnngrad.spec.incoming import PythonLoader, why_no_file

if TYPE_CHECKING:
    from rnngrad.core.arrays import Array
    from rnngrad.core.problem import Problem

MODULE = "rnngrad_student"


class FaultError(Exception):
    """What the student's code did wrong, in words with its own line."""


class Returned(NamedTuple):
    """What the function gave back, and the inputs that it changed on the way."""

    arrays: Mapping[str, Any]
    changed: tuple[str, ...]


class Student(NamedTuple):
    """A function that was named on the command line."""

    path: Path
    name: str
    function: Callable[..., Any]

    @property
    def takes_c_0(self) -> bool:
        """Whether it has a parameter of that name."""
        try:
            found = inspect.signature(self.function).parameters.get("c_0")
        except (TypeError, ValueError):
            return False
        return found is not None and found.kind in (
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            inspect.Parameter.KEYWORD_ONLY,
        )

    def __call__(self, problem: Problem) -> Returned:
        """FUNCTION(weights, inputs, targets, h_0) on copies; for a cell that has a c, c_0=… as well
        where the function has a parameter of that name. Raises FaultError."""
        inputs = _copies(problem)
        given = [inputs[name] for name in ("weights", "inputs", "targets", "h_0")]
        named = {"c_0": inputs["c_0"]} if "c_0" in inputs and self.takes_c_0 else {}
        with _guarded(self.path):
            result = self.function(*given, **named)
        if not isinstance(result, Mapping):
            what = "nothing" if result is None else f"a {type(result).__name__}"
            raise FaultError(
                f"{self.path.name}: {self.name} returned {what}, must return a dict of arrays, "
                "such as {'dL_dW_hh': ...}"
            )
        arrays = {str(name): value for name, value in result.items()}
        return Returned(arrays, tuple(_changed(problem, inputs)))


def is_function(source: str) -> bool:
    """Whether a source names a function: FILE.py:FUNCTION, or FILE.py that lacks it."""
    return source.endswith(".py") or ".py:" in source


def load_student(source: str) -> Student:
    """The function behind FILE.py:FUNCTION.

    Raises UsageError where there is no such file or function, FaultError where the file itself
    fails.
    """
    file, _, name = source.rpartition(":") if ".py:" in source else (source, "", "")
    path = Path(file)
    if why := why_no_file(path):
        raise UsageError(f"{file}: {why}")
    module = _module(path)
    named = sorted(n for n, value in vars(module).items() if _own_function(n, value))
    if not name:
        listed = f"; it has {', '.join(named)}" if named else ""
        raise UsageError(f"{file}: say which function, {file}:FUNCTION{listed}")
    function = getattr(module, name, None)
    if function is None:
        hint = did_you_mean(name, named) or (f"; it has {', '.join(named)}" if named else "")
        raise UsageError(f"{file}: has no function '{name}'{hint}")
    if not callable(function):
        raise UsageError(f"{file}: '{name}' is a {type(function).__name__}, not a function")
    return Student(path, name, function)


def _own_function(name: str, value: object) -> bool:
    return callable(value) and getattr(value, "__module__", "") == MODULE and name[0] != "_"


def _module(path: Path) -> ModuleType:
    """The file, run as a module; files beside it can be imported by it."""
    loader = PythonLoader(MODULE, str(path.resolve()))
    spec = importlib.util.spec_from_file_location(MODULE, path.resolve(), loader=loader)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE] = module
    with _guarded(path):
        spec.loader.exec_module(module)
    return module


@contextmanager
def _guarded(path: Path) -> Iterator[None]:
    """The student's code: prints to standard error, imports from its folder, fails in words."""
    folder, written = str(path.resolve().parent), sys.dont_write_bytecode
    sys.path.insert(0, folder)
    sys.dont_write_bytecode = True
    try:
        with (
            _no_way_out(),
            _stdout_spared(),
            redirect_stdout(sys.stderr),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("default")
            yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise FaultError(_in_words(error, path)) from error
    finally:
        sys.dont_write_bytecode = written
        if folder in sys.path:
            sys.path.remove(folder)


@contextmanager
def _no_way_out() -> Iterator[None]:
    """``os._exit`` raises in this process, and does what it did in those that are forked off."""
    leave, here = os._exit, os.getpid()

    def _exit(status: int) -> NoReturn:
        if os.getpid() != here:
            leave(status)
        raise SystemExit(f"the function ended the process, with status {status}")

    vars(os)["_exit"] = _exit
    try:
        yield
    finally:
        vars(os)["_exit"] = leave


@contextmanager
def _stdout_spared() -> Iterator[None]:
    """File descriptor 1 leads to standard error: ``os.write``, ``os.system`` and C write there."""
    try:
        ours = os.dup(1)
    except OSError:
        yield
        return
    _flush()
    try:
        with suppress(OSError):
            os.dup2(2, 1)
        yield
    finally:
        _flush()
        os.dup2(ours, 1)
        os.close(ours)


def _flush() -> None:
    """What Python still holds goes where it was meant to go."""
    for stream in (sys.stdout, sys.__stdout__):
        if stream is not None and not stream.closed:
            with suppress(OSError, ValueError):
                stream.flush()


def _in_words(error: BaseException, path: Path) -> str:
    """``student.py:12 in backward: ZeroDivisionError: division by zero``, and the line itself."""
    what = f"{type(error).__name__}: {error}".removesuffix(": ")
    own = str(path.resolve())
    if isinstance(error, SyntaxError) and error.filename == own:
        return _placed(path, error.lineno, "", f"{type(error).__name__}: {error.msg}")
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == own]
    if not frames:
        return f"{path.name}: {what}"
    return _placed(path, frames[-1].lineno, frames[-1].name, what)


def _placed(path: Path, line: int | None, function: str, what: str) -> str:
    source = linecache.getline(str(path.resolve()), line or 0).strip()
    inside = f" in {function}" if function and function != "<module>" else ""
    quoted = f", at `{source}`" if source else ""
    return f"{path.name}:{line}{inside}: {what}{quoted}"


def _copies(problem: Problem) -> dict[str, Any]:
    """Arrays of the student's own, that may be written to; ``c_0`` where the cell has a c."""
    copies = {
        "weights": {name: values.copy() for name, values in problem.weights.items()},
        "inputs": problem.x.copy(),
        "targets": None if problem.targets is None else problem.targets.copy(),
        "h_0": problem.h_0.copy(),
    }
    if len(problem.cell.parts) > 1:
        copies["c_0"] = _c_0(problem).copy()
    return copies


def _c_0(problem: Problem) -> Array:
    return np.zeros_like(problem.h_0) if problem.c_0 is None else problem.c_0


def _changed(problem: Problem, inputs: Mapping[str, Any]) -> Iterator[str]:
    """The names of the inputs that are not what they were."""
    given = {**problem.weights, "inputs": problem.x, "targets": problem.targets, "h_0": problem.h_0}
    if "c_0" in inputs:
        given["c_0"] = _c_0(problem)
    now = {**inputs["weights"], **{k: v for k, v in inputs.items() if k != "weights"}}
    for name, values in given.items():
        if values is not None and not _same(now.get(name), values):
            yield name


def _same(now: object, before: np.ndarray[Any, Any]) -> bool:
    return isinstance(now, np.ndarray) and np.array_equal(now, before, equal_nan=True)
