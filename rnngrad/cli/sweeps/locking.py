"""An advisory lock on an open file, which ends with the process that holds it, however that ends:
a crash leaves nothing behind that blocks the next run.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import BinaryIO

BEYOND = 2**40
"""Where Windows, which locks bytes rather than files, has one locked: past any row."""


def locked(path: Path) -> BinaryIO | None:
    """The file opened for appending and locked, made where there is none; None where another
    process holds it. A file that was replaced under its name meanwhile is opened again."""
    while True:
        file = path.open("ab", buffering=0)
        if not lock(file):
            file.close()
            return None
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return file
        file.close()


if sys.platform == "win32":
    import msvcrt

    def lock(file: BinaryIO) -> bool:
        """Whether the file is now this process's alone."""
        file.seek(BEYOND)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

else:
    import fcntl

    def lock(file: BinaryIO) -> bool:
        """Whether the file is now this process's alone; True on a file system without locks."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True
