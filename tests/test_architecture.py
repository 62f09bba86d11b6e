"""The arrows between the rooms: who may import whom, and that the public names stay as they are."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import rnngrad

PACKAGE = Path(rnngrad.__file__).parent
TESTS = Path(__file__).parent
MAY_IMPORT = {
    "errors": set(),
    "arguments": {"errors"},
    "progress": set(),
    "version": set(),
    "arithmetic": {"errors"},
    "algebra": {"arithmetic", "errors"},
    "net": {"algebra", "arithmetic", "errors"},
    "chains": {"algebra", "arithmetic", "net", "progress"},
    "exponents": {"algebra", "arithmetic", "chains", "errors", "net", "progress"},
    "cells": {"algebra", "errors", "net"},
    "files": {"algebra", "arithmetic", "cells", "errors", "net"},
    "analyses": {
        "algebra", "arithmetic", "cells", "chains", "errors", "exponents", "net", "progress",
        "version",
    },
    "views": {
        "algebra", "analyses", "arguments", "arithmetic", "cells", "chains", "errors", "exponents",
        "net", "version",
    },
    "cli": {
        "analyses", "arithmetic", "cells", "errors", "files", "net", "progress", "version", "views",
    },
}  # fmt: skip
FILES = [path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE]


@cache
def imported(path: Path) -> set[str]:
    """Every module that a file imports, at its top or inside a function."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module or ""} | {f"{node.module}.{a.name}" for a in node.names}
    return names


@pytest.mark.cases(None)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_run_one_way(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0]
    ours = {name.split(".")[1] for name in imported(path) if name.startswith("rnngrad.")}
    assert ours - {room} <= MAY_IMPORT[room]


def test_no_module_imports_itself_by_way_of_others() -> None:
    """For types alone and within functions too: what needs each other stands together."""
    names = {
        path: ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in FILES
    }
    modules = {name.removesuffix(".__init__"): path for path, name in names.items()}
    needs = {name: {n for n in imported(path) if n in modules} for name, path in modules.items()}
    while leaves := {name for name, others in needs.items() if not others - {name}}:
        needs = {n: others - leaves for n, others in needs.items() if n not in leaves}
    assert not {name: sorted(others) for name, others in needs.items()}


@pytest.mark.parametrize(
    ("library", "home"),
    [
        ("yaml", ("files/yaml_text.py", "cells/__init__.py")),
        ("typer", "cli/"),
        ("rich", ("views/formats/to_rich.py", "cli/progress.py")),
        ("matplotlib", ("views/pictures/by_matplotlib/", "views/pictures/plotting.py")),
    ],
)
def test_a_library_has_one_home(library: str, home: str | tuple[str, ...]) -> None:
    users = [
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if any(name.split(".")[0] == library for name in imported(path))
    ]
    assert users
    assert all(user.startswith(home) for user in users)


def test_random_numbers_of_a_net_are_drawn_in_one_place() -> None:
    """The other two draw the test vectors of certificates, which are no part of any net."""
    drawing = {p for p in PACKAGE.rglob("*.py") if "default_rng" in p.read_text(encoding="utf-8")}
    places = {p.relative_to(PACKAGE).as_posix() for p in drawing}
    assert places == {
        "files/arrays/drawing.py",
        "chains/leading_norms.py",
        "chains/whole_product.py",
    }


def test_public_names() -> None:
    assert rnngrad.__all__ == sorted(rnngrad.__all__)
    for name in rnngrad.__all__:
        assert getattr(rnngrad, name) is not None
    assert dir(rnngrad) == rnngrad.__all__
    with pytest.raises(AttributeError, match="no attribute 'gradient'"):
        rnngrad.gradient  # noqa: B018


def test_help_waits_for_nothing_slow() -> None:
    slow = {"numpy", "yaml", "matplotlib", "rnngrad.net", "rnngrad.files"}
    code = f"import rnngrad.cli.app, sys; print(*({slow!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


def test_what_needs_live_pytorch_is_marked() -> None:
    """``.ci/run`` runs what is marked once more, with PyTorch."""
    for path in TESTS.rglob("test_*.py"):
        text = path.read_text(encoding="utf-8")
        assert text.count('pytest.importorskip("torch"') == text.count("pytest.mark.torch"), path


PIPED = """
import sys
from rnngrad.cli.main import main
sys.argv[1:] = ["derive", sys.argv[1]]
try:
    main()
except SystemExit as done:
    assert done.code == 0
    print(*sys.modules, sep="\\n", file=sys.stderr)
"""

NOT_FOR_THE_SHEET = (
    "json", "numpy.random",
    "rnngrad.analyses.checking", "rnngrad.analyses.grading", "rnngrad.analyses.sweep.sweep",
    "rnngrad.files.models", "rnngrad.cli.checks.student",
)  # fmt: skip


def test_derive_of_the_sheet_waits_for_nothing_it_does_not_use() -> None:
    sheet = PACKAGE.parent / "sample_configs" / "exercise_sheet_7.yaml"
    done = subprocess.run(
        [sys.executable, "-c", PIPED, str(sheet)], check=True, capture_output=True, text=True
    )
    assert set(done.stderr.split()) & set(NOT_FOR_THE_SHEET) == set()
