"""What a built release holds: ``python .ci/release_contents.py FOLDER`` of its sdist and wheel."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from email import message_from_string
from pathlib import Path

TOP = {
    ".ci", ".gitignore", ".zensical.toml", "CHANGELOG.md", "LICENSE", "PKG-INFO", "README.md",
    "SECURITY.md", "docs", "pyproject.toml", "rnngrad", "sample_configs", "tests",
}  # fmt: skip
"""What stands in an sdist."""
REQUIRED = ("Name", "Version", "Summary", "License-Expression", "Requires-Python", "Requires-Dist")


def main() -> None:
    """Ends with 1, and words, where a file is not what it must be."""
    folder = Path(sys.argv[1])
    wrong = [*_sdist(next(folder.glob("*.tar.gz"))), *_wheel(next(folder.glob("*.whl")))]
    if wrong or len(list(folder.iterdir())) != 2:
        sys.exit("\n".join(wrong) or "an sdist and a wheel were expected, and nothing else")


def _tracked() -> set[str]:
    """What the project's own history knows."""
    return set(subprocess.check_output(["git", "ls-files"], text=True).splitlines())


def _sdist(path: Path) -> list[str]:
    with tarfile.open(path) as archive:
        names = [
            member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()
        ]
        odd = [m.name for m in archive.getmembers() if not (m.isfile() or m.isdir())]
    strange = sorted(set(names) - _tracked() - {"PKG-INFO"})
    beside = sorted({name.partition("/")[0] for name in names} - TOP)
    return [f"{path.name} holds {name}" for name in (*odd, *strange, *beside)]


def _wheel(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        told = next(name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = message_from_string(archive.read(told).decode())
    package = {name for name in _tracked() if name.startswith("rnngrad/")}
    mine = {name for name in names if not name.startswith(told.partition("/")[0])}
    found = [f"{path.name} holds {name}" for name in sorted(mine - package)]
    found += [f"{path.name} lacks {name}" for name in sorted(package - mine)]
    found += [f"{path.name}: no {key} in its metadata" for key in REQUIRED if key not in metadata]
    if metadata.get("Description-Content-Type") != "text/markdown" or not metadata.get_payload():
        found.append(f"{path.name}: the README is not its description")
    return found


if __name__ == "__main__":
    main()
