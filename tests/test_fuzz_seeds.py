"""What fuzzing starts from, and what it once found: no target finds anything in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import fuzz

ROOT = Path(fuzz.__file__).parent.parent


@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")  # JAX's, where a test imported it
@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_nothing_is_found_any_more(name: str) -> None:
    target = fuzz.TARGETS[name]
    inputs = [*target.seeds(), *(path.read_bytes() for path in fuzz.kept(name))]
    assert inputs
    run = target.prepare()
    for data in inputs:
        run(data[: target.longest])  # what is imported is no memory of the input's
        fuzz.judged(run, data[: target.longest], memory=True)


def test_what_a_target_must_not_do_is_a_finding() -> None:
    def takes_memory(data: bytes) -> None:
        assert len(bytes(fuzz.FREE + 11 * len(data))) > 0

    def takes_time(data: bytes) -> None:
        begun = fuzz.time.process_time()
        while fuzz.time.process_time() - begun < 1.1:
            pass

    with pytest.raises(fuzz.FindingError, match="memory"):
        fuzz.judged(takes_memory, b"x", memory=True)
    with pytest.raises(fuzz.FindingError, match="slow"):
        fuzz.judged(takes_time, b"x", memory=False)
    with pytest.raises(fuzz.FindingError, match="ZeroDivisionError"):
        fuzz.judged(lambda data: 1 / len(data), b"", memory=False)
    fuzz.judged(len, b"", memory=True)


def test_the_command_without_atheris_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "atheris.py").write_text("raise ImportError")
    done = subprocess.run(
        [sys.executable, fuzz.__file__, "scales", "--seconds", "1"], capture_output=True, text=True,
        check=False, env={"PYTHONPATH": f"{tmp_path}:{ROOT}", "PATH": ""},
    )  # fmt: skip
    assert done.returncode == 2
    assert "pip install -e '.[fuzz]'" in done.stderr
