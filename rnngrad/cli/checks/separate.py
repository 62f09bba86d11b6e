"""A Python process that is not trusted: started, heard within a time, ended with all it started.

It has a session of its own, no standard input, and three pipes: what it is sent, what it answers,
and what it prints, which goes to our standard error as far as LONGEST_OUTPUT. Needs nothing that is
slow to import, so that it can start while we import NumPy.
"""

from __future__ import annotations

import codecs
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from rnngrad.errors import printable

LONGEST_OUTPUT = 100_000
"""Bytes of what it prints that are shown."""
MOST_PROCESSES = 256
"""That it may have at once: a loop that forks has as many within a moment."""
TICK = 0.05
"""Seconds between two looks at whether it is still there."""
CHUNK, PIPE = 1 << 16, 1 << 20

BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from importlib import import_module; import_module(sys.argv[2]).main(*sys.argv[3:])"
)
SET_CHILD_SUBREAPER = 36  # linux/prctl.h
CRASHES = ("SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT", "SIGTRAP", "SIGSYS")


class FaultError(Exception):
    """What the other side did wrong, in words."""


class GoneError(FaultError):
    """The process is gone, or answers no more."""


class LateError(GoneError):
    """Its time is over."""


class Separate:
    """``module.main(down, up, *arguments)`` in a process of its own, with our ``sys.path``."""

    def __init__(self, module: str, arguments: Sequence[str]) -> None:
        self.subject = "it"
        self._before = set(_children(os.getpid()))
        self._came, self._to_send = bytearray(), deque[memoryview]()
        self._shown, self._decoder = 0, codecs.getincrementaldecoder("utf-8")("replace")
        self._deadline, self._seconds, self._looked = 0.0, 0.0, 0.0
        down, self._down = os.pipe()
        self._up, up = os.pipe()
        self._out, out = os.pipe()
        paths = json.dumps(sys.path)
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-B", "-c", BOOT, paths, module, str(down), str(up), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            pass_fds=(down, up),
            start_new_session=True,
        )
        for end in (down, up, out):
            os.close(end)
        self._selector = selectors.DefaultSelector()
        for end in (self._up, self._out):
            os.set_blocking(end, False)
            self._selector.register(end, selectors.EVENT_READ)
        os.set_blocking(self._down, False)
        _adopt_orphans(True)

    def send(self, parts: Iterable[bytes]) -> None:
        """Put these bytes on their way; they leave while we read."""
        if not self._to_send:
            self._selector.register(self._down, selectors.EVENT_WRITE)
        self._to_send.extend(memoryview(part) for part in parts if part)

    def allow(self, seconds: float) -> None:
        """From now on it has so long to answer."""
        self._seconds, self._deadline = seconds, time.monotonic() + seconds

    def read(self, count: int) -> bytes:
        """The next bytes of its answers. Raises GoneError where they do not come in time."""
        while len(self._came) < count:
            self._wait()
        data = bytes(self._came[:count])
        del self._came[:count]
        return data

    def catch_up(self) -> None:
        """Show what it has printed until now: no pipe holds more, and it may print for ever."""
        for _ in range(PIPE // CHUNK):
            if not self._print():
                break

    def close(self) -> None:
        """End it and whatever it started; its last words are shown."""
        if self._selector.get_map() is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._end_the_rest()
        self.catch_up()
        self._selector.close()
        for end in (self._down, self._up, self._out):
            os.close(end)
        _adopt_orphans(False)

    # ------------------------------------------------------------------------ waiting

    def _wait(self) -> None:
        now = time.monotonic()
        if now >= self._deadline:
            raise LateError(f"{self.subject} took more than {self._seconds:g} s and was stopped")
        if now >= self._looked + TICK:
            self._looked = now
            if len(list(islice(self._family(), MOST_PROCESSES + 1))) > MOST_PROCESSES:
                raise GoneError(f"{self.subject} started more than {MOST_PROCESSES} processes")
        ready = {key.fd for key, _ in self._selector.select(min(TICK, self._deadline - now))}
        if self._down in ready:
            self._push()
        if self._out in ready:
            self._print()
        came = self._up in ready and self._receive()
        if not came and (self._process.poll() is not None or not self._open(self._up)):
            if self._receive():  # its last words came in between
                return
            raise GoneError(self._how_it_ended())

    def _open(self, end: int) -> bool:
        return end in self._selector.get_map()

    def _read(self, end: int) -> bytes:
        """What there is; empty where there is nothing, now or for ever."""
        if not self._open(end):
            return b""
        try:
            data = os.read(end, CHUNK)
        except BlockingIOError:
            return b""
        if not data:
            self._selector.unregister(end)
        return data

    def _receive(self) -> bool:
        data = self._read(self._up)
        self._came += data
        return bool(data)

    def _push(self) -> None:
        try:
            written = os.write(self._down, self._to_send[0][:CHUNK])
        except BrokenPipeError:
            self._to_send.clear()
        else:
            self._to_send[0] = self._to_send[0][written:]
            if not self._to_send[0]:
                self._to_send.popleft()
        if not self._to_send:
            self._selector.unregister(self._down)

    def _print(self) -> bool:
        data = self._read(self._out)
        room = LONGEST_OUTPUT - self._shown
        self._shown += len(data)
        if room > 0:
            _show(self._decoder.decode(data[:room]))
            if len(data) > room:
                _show(f"\nnote: the first {LONGEST_OUTPUT:,} bytes of what it prints, no more\n")
        return bool(data)

    def _how_it_ended(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(TICK)
        status = self._process.returncode
        if status is None:
            return f"{self.subject} closed the way back to rnngrad"
        if status >= 0:
            return f"{self.subject} ended the process, with status {status}"
        name = signal.Signals(-status).name if -status in set(signal.Signals) else f"{-status}"
        how = "crashed in C" if name in CRASHES else "was killed"
        return f"{self.subject} {how} (signal {name})"

    # ------------------------------------------------------------------------ its processes

    def _family(self) -> Iterator[int]:
        """The processes that came from it, orphans among them."""
        waiting = [pid for pid in _children(os.getpid()) if pid not in self._before]
        while waiting:
            pid = waiting.pop()
            yield pid
            waiting.extend(_children(pid))

    def _end_the_rest(self) -> None:
        """Those that left its session become our own children as their parents go."""
        until, some = time.monotonic() + 10, True
        while some and time.monotonic() < until:
            some = False
            for pid in self._family():
                some = True
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
                with suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)


def _children(pid: int) -> Iterator[int]:
    """The processes that this one has; none where the system does not tell."""
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                yield from map(int, (thread / "children").read_text(encoding="ascii").split())


def _adopt_orphans(wanted: bool) -> None:
    """Whether a process whose parent has gone becomes our child rather than init's."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(SET_CHILD_SUBREAPER, int(wanted), 0, 0, 0)


def _show(text: str) -> None:
    """On our standard error, in whatever signs it can show; a terminal acts on none of them."""
    text = printable(text.replace("\r", "\n"))
    if sys.stderr is None or not text:
        return
    encoding = sys.stderr.encoding or "utf-8"
    with suppress(OSError, ValueError):
        sys.stderr.write(text.encode(encoding, "backslashreplace").decode(encoding))
        sys.stderr.flush()
