"""Mutation testing: is there a test that goes red when a line of rnngrad is wrong?

    pip install mutmut coverage            beside the package's own [test]
    python .ci/mutants.py --map            which test runs which line, of each its first case
    python .ci/mutants.py --map tests/net/test_activations.py       of every case of some tests
    python .ci/mutants.py --package chains --sample 100 --seed 1 [2 …] [--record]
    python .ci/mutants.py --package chains --sample 100 --tests tests/chains/test_lags.py

The mutants are mutmut's (3.8): its operators on every function and method, those with a decorator
too. Of all mutants of a package so many are drawn with each seed. mutmut's own runner would take
the whole suite in hand; here the tests are collected once, and for each mutant a fork of this
process puts the mutant's code into the function and runs, until one fails, first the tests that run
its line, the fastest first, then those that run its file, for ``BUDGET`` seconds of CPU in all.
A test that takes ten times its time, and ten seconds, counts as failed. In the end all tests
that killed one are run without a mutant; what fails there has killed nothing.

The map is only advice: where it is out of date a mutant survives that a test would have killed. So
a score is a lower bound. ``.ci/mutants.yaml`` lists the mutants that no test can see, with reasons;
they are not counted. ``--record`` writes the row of the stress table; ``--tests`` tries the
survivors again, where a test was written. What was killed is noted in
``.mutants/``, and stays so as long as its file is the same: tests are added, not taken away. Ctrl-C
ends a run early, and what was tried until then is a sample, too.
"""

# ruff: noqa: T201

from __future__ import annotations

import argparse
import contextlib
import difflib
import functools
import gc
import hashlib
import importlib
import json
import math
import os
import random
import re
import resource
import signal
import time
import types
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import libcst
import pytest
import yaml
from _pytest.runner import runtestprotocol
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.file_mutation import MutationVisitor
from mutmut.mutation.mutators import mutation_operators
from mutmut.mutation.pragma_handling import IgnoredCode

from stress import Row, record

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / ".mutants"
MAP = WORK / "map.json"
TRIED = WORK / "tried.jsonl"
EXPLAINED = ROOT / ".ci" / "mutants.yaml"

PACKAGES = {
    "chains": ("rnngrad/chains", ("chains", "net", "analyses")),
    "algebra": ("rnngrad/algebra", ("grading", "files", "net", "analyses")),
    "net": ("rnngrad/net", ("net", "files")),
    "checking": ("rnngrad/analyses/checking", ("checking",)),
    "mistakes": ("rnngrad/analyses/mistakes", ("checking", "analyses")),
    "arithmetic": ("rnngrad/arithmetic", ("net", "chains", "exponents")),
    "exponents": ("rnngrad/exponents", ("exponents", "analyses")),
}
"""Package -> where it is, and the rooms of tests/ that are to see its mutants; tests of the command
line are in none, since they start processes."""

NOT = ["tests/checking/test_hostile_functions.py", "tests/checking/test_cut_short.py"]
NOT += ["tests/net/test_gated_jax.py"]
"""Tests of processes and of JAX, which start threads."""

LONG = 2.0
"""Seconds of CPU beyond which the first case of a test is not one of the fast tests."""

BUDGET = 8.0
"""Seconds of CPU for all tests of one mutant."""

MEMORY = 2**33
"""Bytes that a mutant may ask for."""

TARGET = 0.9

DEAD = ("killed", "timed out")


# -- the map: line -> tests ------------------------------------------------------------------------


class _TooLong(BaseException):
    """Of a test that is not fast; no Exception, so that no test takes it for its own."""


class Mapping:
    """Runs tests under coverage, a context a test; the first case of each, or ``every`` case."""

    def __init__(self, coverage: Any, every: bool) -> None:
        self.coverage, self.every = coverage, every
        self.seconds: dict[str, float] = {}
        self.failed: set[str] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Iterator[None]:
        yield
        if self.every:
            return
        items[:] = {_test(item): item for item in reversed(items)}.values()
        items.reverse()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        signal.signal(signal.SIGVTALRM, self._stop)
        signal.setitimer(signal.ITIMER_VIRTUAL, LONG)
        self.coverage.switch_context(_test(item))
        start = time.process_time()
        yield
        seconds = round(time.process_time() - start, 3)
        self.seconds[_test(item)] = max(seconds, self.seconds.get(_test(item), 0.0))
        self.coverage.switch_context("")
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)

    @staticmethod
    def _stop(*_: object) -> None:
        raise _TooLong

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.add(report.nodeid.partition("[")[0])


def _test(item: pytest.Item) -> str:
    return item.nodeid.partition("[")[0]


def write_map(paths: list[str]) -> None:
    """Notes the tests of some paths anew; of all rooms by default, their first cases alone;
    the text of a line stands for it, wherever it goes."""
    import coverage

    within = [f"{ROOT}/{where}/*" for where, _ in PACKAGES.values()]
    watching = coverage.Coverage(data_file=None, config_file=False, include=within)
    plugin = Mapping(watching, bool(paths))
    rooms = {room: f"tests/{room}" for _, some in PACKAGES.values() for room in some}
    paths = paths or list(rooms.values())
    watching.start()
    pytest.main(["-q", "--tb=no", "-p", "no:cacheprovider", *_without(), *paths], [plugin])
    watching.stop()
    old = read_map() if MAP.exists() else {"seconds": {}, "lines": {}}
    seconds = {test: s for test, s in old["seconds"].items() if not test.startswith(tuple(paths))}
    lines: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for file, texts in old["lines"].items():
        for text, tests in texts.items():
            lines[file][text] |= seconds.keys() & set(tests)
    seconds |= {test: s for test, s in plugin.seconds.items() if test not in plugin.failed}
    for file in watching.get_data().measured_files():
        source = Path(file).read_text(encoding="utf-8").splitlines()
        for number, tests in watching.get_data().contexts_by_lineno(file).items():
            if number > len(source):  # of code that a test makes in the module's name
                continue
            text = source[number - 1].strip()
            lines[str(Path(file).relative_to(ROOT))][text] |= seconds.keys() & set(tests)
    WORK.mkdir(exist_ok=True)
    found = {file: {text: sorted(t) for text, t in texts.items()} for file, texts in lines.items()}
    MAP.write_text(json.dumps({"seconds": seconds, "lines": found}), encoding="utf-8")
    print(f"{len(seconds)} fast tests; {len(plugin.failed)} are slow or fail and are left out")


def read_map() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(MAP.read_text(encoding="utf-8"))
    return found


def _without() -> list[str]:
    return [f"--ignore={path}" for path in NOT]


# -- the mutants -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mutant:
    """One mutant: the changed text before and after, and the file's whole new text."""

    file: str
    line: int
    function: str
    was: str
    now: str
    code: str
    texts: tuple[str, ...]

    @property
    def key(self) -> str:
        """The same as long as the file is."""
        return hashlib.sha256(f"{self.file}\n{self.code}".encode()).hexdigest()[:16]


class _Everywhere(MutationVisitor):
    """mutmut's mutants, in functions with a decorator too: no trampoline is set up here."""

    def _skip_node_and_children(self, node: libcst.CSTNode) -> bool:
        if isinstance(node, libcst.FunctionDef) and node.decorators:
            return False
        return super()._skip_node_and_children(node)


def drawn(package: str, sample: int, seed: int) -> tuple[int, list[Mutant]]:
    """How many mutants a package has, and so many of them."""
    found = []
    for path in sorted((ROOT / PACKAGES[package][0]).rglob("*.py")):
        tree = MetadataWrapper(libcst.parse_module(path.read_text(encoding="utf-8")))
        visitor = _Everywhere(mutation_operators, IgnoredCode(set(), set(), set()))
        tree.visit(visitor)
        positions = tree.resolve(PositionProvider)
        found += [
            (path, tree.module, positions, one)
            for one in visitor.mutations
            if isinstance(one.contained_by_top_level_function, libcst.FunctionDef)
        ]
    some = random.Random(seed).sample(range(len(found)), min(sample, len(found)))
    return len(found), [_mutant(*found[i]) for i in some]


def _mutant(path: Path, module: libcst.Module, positions: Any, one: Any) -> Mutant:
    code = module.deep_replace(one.original_node, one.mutated_node).code  # type: ignore[arg-type]
    changes = difflib.ndiff(module.code.splitlines(), code.splitlines())
    lines = [text for text in changes if text[0] in "-+"]
    outer = one.contained_by_top_level_function
    return Mutant(
        str(path.relative_to(ROOT)),
        positions[next(iter(outer.decorators), outer)].start.line,
        outer.name.value,
        " ".join(text[1:].strip() for text in lines if text[0] == "-"),
        " ".join(text[1:].strip() for text in lines if text[0] == "+"),
        code,
        tuple(text[1:].strip() for text in lines if text[0] == "-"),
    )


LAZY = functools.cached_property


class Loaded:
    """The functions of rnngrad in this process, whoever holds them, and what keeps results."""

    def __init__(self, files: set[str]) -> None:
        for file in files:
            importlib.import_module(file.removesuffix(".py").replace("/", "."))
        self.functions: dict[tuple[str, str, int], list[types.FunctionType]] = defaultdict(list)
        self.caches: list[Any] = []
        self.kept: list[tuple[dict[str, Any], str]] = []
        for one in gc.get_objects():
            if type(one) is types.FunctionType:
                code = one.__code__
                self.functions[code.co_filename, code.co_name, code.co_firstlineno].append(one)
            elif type(one) is functools._lru_cache_wrapper and one.__module__.startswith("rnngrad"):
                self.caches.append(one)
            elif str(type(one).__module__).startswith("rnngrad") and hasattr(one, "__dict__"):
                kept = [name for name in vars(one) if type(getattr(type(one), name, None)) is LAZY]
                self.kept += [(vars(one), name) for name in kept]

    def put_in(self, mutant: Mutant) -> bool:
        """Puts the mutant's code into the function; False where it is the same."""
        file = str(ROOT / mutant.file)
        held = self.functions[file, mutant.function, mutant.line]
        new = _outer(compile(mutant.code, file, "exec"), mutant)
        if not held or new is None:
            raise LookupError(f"{mutant.file}:{mutant.line}: {mutant.function} is not loaded")
        for cache in self.caches:
            cache.cache_clear()
        for values, name in self.kept:
            del values[name]
        if new != held[0].__code__:
            for one in held:
                one.__code__ = new
            return True
        names: dict[str, Any] = {"__name__": held[0].__module__}  # a default differs, or nothing
        exec(compile(mutant.code, file, "exec"), names)
        made = next(
            o
            for o in gc.get_objects()
            if type(o) is types.FunctionType and o.__globals__ is names and _is(o.__code__, mutant)
        )
        given, old = ((o.__defaults__, o.__kwdefaults__) for o in (made, held[0]))
        for one in held:
            one.__defaults__, one.__kwdefaults__ = given
        return given != old


def _outer(code: types.CodeType, mutant: Mutant) -> types.CodeType | None:
    """The code of the mutant's function, or method."""
    for one in code.co_consts:
        if not isinstance(one, types.CodeType):
            continue
        if found := one if _is(one, mutant) else _outer(one, mutant):
            return found
    return None


def _is(code: types.CodeType, mutant: Mutant) -> bool:
    return (code.co_name, code.co_firstlineno) == (mutant.function, mutant.line)


# -- the runs --------------------------------------------------------------------------------------


Tell = Callable[[str], None]


class Runs:
    """Takes pytest's loop: the tests are collected once, and every mutant has a fork."""

    def __init__(self, mutants: list[Mutant], rooms: tuple[str, ...]) -> None:
        self.mutants, self.rooms, self.map = mutants, rooms, read_map()
        self.found: list[tuple[Mutant, str, str]] = []

    def files(self) -> list[str]:
        """The files with a test that runs a mutant's file."""
        lines = (self.map["lines"].get(file, {}) for file in {one.file for one in self.mutants})
        tests = {test for texts in lines for some in texts.values() for test in some}
        files = {test.partition("::")[0] for test in tests}
        return sorted(file for file in files if file.split("/")[1] in self.rooms)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.items: dict[str, list[pytest.Item]] = defaultdict(list)
        for item in session.items:
            self.items[_test(item)].append(item)
        self.loaded = Loaded({one.file for one in self.mutants})
        gc.collect()
        gc.freeze()  # so that a fork copies little
        with contextlib.suppress(KeyboardInterrupt):  # what was tried is a sample, too
            for count, mutant in enumerate(self.mutants, 1):
                state, test = in_a_fork(functools.partial(self._tried, mutant))
                self.found.append((mutant, state, test))
                print(f"{count:4} {state:9} {mutant.file}:{mutant.function} {test}", flush=True)
                if state in ("survived", "not run"):
                    print(f"     was {mutant.was}\n     now {mutant.now}", flush=True)
        killers = sorted({test for *_, test in self.found if test})
        sound = {
            test
            for test in killers
            if in_a_fork(functools.partial(self._alone, test))[0] == "passed"
        }
        for i, (mutant, _, test) in enumerate(self.found):
            if test and test not in sound:
                self.found[i] = (mutant, "survived", f"{test} fails without it")
        with TRIED.open("a", encoding="utf-8") as notes:
            for mutant, state, test in self.found:
                notes.write(json.dumps([mutant.key, state, test]) + "\n")
        return True

    def _tried(self, mutant: Mutant, tell: Tell) -> str:
        try:
            if not self.loaded.put_in(mutant):
                return "same code"
        except (LookupError, ValueError) as error:  # not loaded; other closure
            tell(str(error))
            return "not run"
        for item in self._in_order(mutant):
            if time.process_time() > BUDGET:
                break
            tell(item.nodeid)
            if not self._passes(item):
                return "killed"
        tell("")
        return "survived"

    def _alone(self, nodeid: str, tell: Tell) -> str:
        item = next(one for one in self.items[nodeid.partition("[")[0]] if one.nodeid == nodeid)
        return "passed" if self._passes(item) else "failed"

    def _passes(self, item: pytest.Item) -> bool:
        limit = max(10.0, 10 * self.map["seconds"].get(_test(item), 1.0))
        signal.setitimer(signal.ITIMER_PROF, limit)  # which ends the fork
        return not any(report.failed for report in runtestprotocol(item, log=False, nextitem=None))

    def _in_order(self, mutant: Mutant) -> Iterator[pytest.Item]:
        """First a case of each test that runs the lines, the fastest first, and its other cases;
        then those of tests that the map does not know, and of those that run the file."""
        texts = self.map["lines"].get(mutant.file, {})
        near = {test for text in mutant.texts for test in texts.get(text, ())}
        new = self.items.keys() - self.map["seconds"].keys()
        file = {test for tests in texts.values() for test in tests}
        done: set[str] = set()
        for group in (near, new, file):
            tests = sorted(group & self.items.keys() - done, key=self._seconds)
            done |= group
            for first in (True, False):
                for test in tests:
                    yield from self.items[test][:1] if first else self.items[test][1:]

    def _seconds(self, test: str) -> tuple[float, str]:
        return self.map["seconds"].get(test, 0.1), test


def in_a_fork(work: Callable[[Tell], str]) -> tuple[str, str]:
    """What the work comes to, and the last it told of."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))

        def tell(text: str) -> None:
            os.write(writing, f"{text}\n".encode())

        state = "not run"
        try:
            state = work(tell)
        except Exception as error:  # noqa: BLE001
            tell(f"{type(error).__name__}: {error}")
        finally:
            os.write(writing, f"={state}".encode())
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    *lines, last = told.split("\n")
    return (last[1:] if last else "timed out"), (lines[-1] if lines else "")


# -- what came of it -------------------------------------------------------------------------------


def a_guard(mutant: Mutant) -> bool:
    """``strict=True`` of zip taken away: nothing that is right ever meets it."""
    was, now = (re.sub(r"[\s,]*(strict=\w+)?[\s,]*\)", ")", x) for x in (mutant.was, mutant.now))
    return "strict=True" in mutant.was and was == now


def explained() -> dict[tuple[str, str, str], str]:
    """(file, was, now) -> why no test can see it."""
    rows = yaml.safe_load(EXPLAINED.read_text(encoding="utf-8"))
    return {(row["file"], row["was"], row["now"]): row["why"] for row in rows}


def interval(share: float, count: int) -> tuple[float, float]:
    """95 %, after Wilson (1927): of all mutants, from a sample."""
    z = 1.96
    middle = share + z**2 / (2 * count)
    half = z * math.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2)
    return (middle - half) / (1 + z**2 / count), (middle + half) / (1 + z**2 / count)


def noted() -> list[list[str]]:
    """What became of mutants in earlier runs."""
    lines = TRIED.read_text(encoding="utf-8").splitlines() if TRIED.exists() else []
    return [json.loads(line) for line in lines]


def tried(package: str, sample: int, seed: int, tests: list[str]) -> Row:
    """One sample, its survivors printed; the row of the stress table. With ``tests``, what survived
    is tried again, against these alone, and nothing else is."""
    count, mutants = drawn(package, sample, seed)
    print(f"{package}, seed {seed}: {len(mutants)} of {count} mutants", flush=True)
    before = {key: (state, test) for key, state, test in noted()}
    found = [(one, *before[one.key]) for one in mutants if before.get(one.key, ("",))[0] in DEAD]
    rest = [one for one in mutants if before.get(one.key, ("",))[0] not in DEAD]
    runs = Runs([one for one in rest if not tests or one.key in before], PACKAGES[package][1])
    if runs.mutants:
        where = tests or runs.files()
        pytest.main(["-q", "-s", "--tb=no", "-p", "no:cacheprovider", *where], [runs])
    known = explained()
    seen = [one for one in found + runs.found if one[1] in (*DEAD, "survived")]
    dead = [one for one in seen if one[1] != "survived"]
    late = sum(state == "timed out" for _, state, _ in dead)
    alive = [one for one, state, _ in seen if state == "survived"]
    told = [one for one in alive if (one.file, one.was, one.now) in known or a_guard(one)]
    open_ = [one for one in alive if one not in told]
    for one in open_:
        row = {"file": one.file, "was": one.was, "now": one.now, "why": "?"}
        print(yaml.safe_dump([row], sort_keys=False, allow_unicode=True, width=1000), end="")
    counted = len(dead) + len(open_)
    low, high = interval(len(dead) / counted, counted)
    figure = f"{len(dead)} of {counted} killed ({len(dead) / counted:.0%})"
    note = f"a sample of {count}, so {low:.0%} to {high:.0%} of all (95 %)"
    note += f"; {late} by time" if late else ""
    note += f"; {len(told)} that no test can see" if told else ""
    print(f"{package}, seed {seed}: {figure}; {note}")
    return Row("mutants", f"{package}, seed {seed}", figure, len(dead) / counted >= TARGET, note)


def main() -> None:
    parser = argparse.ArgumentParser(description="Mutation testing, see the module's docstring.")
    parser.add_argument("--map", nargs="*", metavar="PATH", help="note what runs what, and stop")
    parser.add_argument("--package", choices=list(PACKAGES))
    parser.add_argument("--sample", type=int, default=100)
    parser.add_argument("--seed", type=int, nargs="+", default=[1])
    parser.add_argument("--tests", nargs="+", default=[], help="try survivors again, against these")
    parser.add_argument("--record", action="store_true", help="write the stress table's record")
    given = parser.parse_args()
    os.chdir(ROOT)
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    signal.signal(signal.SIGINT, signal.default_int_handler)  # of a job in the background, too
    if given.map is not None:
        write_map(given.map)
        return
    for seed in given.seed:
        row = tried(given.package, given.sample, seed, given.tests)
        of = f"--package {given.package} --sample {given.sample} --seed {seed}"
        if given.record:
            record(f"mutants-{given.package}-{seed}", f"python .ci/mutants.py {of}", [row])


if __name__ == "__main__":
    main()
