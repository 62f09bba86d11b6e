"""Headless Chromium, driven over its DevTools pipe: no library, no port.

Source: Chrome DevTools Protocol, https://chromedevtools.github.io/devtools-protocol/; with
``--remote-debugging-pipe`` commands go in by file descriptor 3 and answers come out by 4, each JSON
ended by a NUL.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from base64 import b64decode
from pathlib import Path
from typing import Any, Self

PATIENCE = 30.0

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--no-first-run",
    "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip

START = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""A program whose descriptors 3 and 4 are the pipe's."""


def chromium() -> str | None:
    """Where it is, if it is."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


class Browser:
    """One tab. ``events``: (method, parameters) as they came."""

    def __init__(self, program: str) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        commands, self._in = os.pipe()
        self._out, answers = os.pipe()
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (commands, answers)]
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, *map(str, ends), program, *FLAGS,
             f"--user-data-dir={self.folder.name}", "about:blank"],
            pass_fds=ends, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for end in (commands, answers, *ends):
            os.close(end)
        self._count, self._read, self._session = 0, b"", ""
        targets = self.ask("Target.getTargets")["targetInfos"]
        page = next(one["targetId"] for one in targets if one["type"] == "page")
        attached = self.ask("Target.attachToTarget", targetId=page, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        self.ask("Emulation.setFocusEmulationEnabled", enabled=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE)
        os.close(self._in)
        os.close(self._out)
        self.folder.cleanup()

    # ------------------------------------------------------------------ protocol

    def ask(self, method: str, **parameters: object) -> dict[str, Any]:
        """The answer to a command."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        message |= {"sessionId": self._session} if self._session else {}
        os.write(self._in, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._count:
                assert "error" not in answer, (method, answer["error"])
                return dict(answer["result"])
            self.events.append((answer.get("method", ""), answer.get("params", {})))

    def _next(self) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE
        while b"\0" not in self._read:
            ready, _, _ = select.select([self._out], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "the browser does not answer"
            came = os.read(self._out, 1 << 20)
            assert came, "the browser has ended"
            self._read += came
        message, _, self._read = self._read.partition(b"\0")
        return dict(json.loads(message))

    # ------------------------------------------------------------------ what a test does

    def open(self, page: Path) -> None:
        """The page, loaded."""
        self.events.clear()
        self.ask("Page.navigate", url=page.resolve().as_uri())
        while not any(method == "Page.loadEventFired" for method, _ in self.events):
            answer = self._next()
            self.events.append((answer.get("method", ""), answer.get("params", {})))

    def run(self, code: str) -> Any:
        """The value of an expression in the page."""
        found = self.ask("Runtime.evaluate", expression=code, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def press(self, key: str) -> None:
        """A key, as from a keyboard."""
        codes = {"Tab": 9, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
        for kind in ("keyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key,
                     windowsVirtualKeyCode=codes[key])  # fmt: skip

    def point(self, x: float, y: float) -> None:
        """The pointer, moved there."""
        self.ask("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def look(self, width: int, height: int, *, dark: bool = False, script: bool = True) -> None:
        """A window of this size, its colours, and whether scripts run in what is opened next."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height,
                 deviceScaleFactor=1, mobile=width < 500)  # fmt: skip
        self.ask("Emulation.setScriptExecutionDisabled", value=not script)

    def picture(self) -> bytes:
        """The whole page as a PNG."""
        found = self.ask("Page.captureScreenshot", captureBeyondViewport=True)
        return b64decode(found["data"])

    def printed(self) -> bytes:
        """The page as a PDF, as it asks to be printed."""
        found = self.ask("Page.printToPDF", preferCSSPageSize=True, printBackground=False)
        return b64decode(found["data"])

    @property
    def complaints(self) -> list[object]:
        """What went wrong: errors of scripts, and what the policy refused."""
        kinds = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")
        return [parameters for method, parameters in self.events if method in kinds]

    @property
    def requests(self) -> list[str]:
        """What was asked for, from anywhere, besides what the page holds itself."""
        return [
            parameters["request"]["url"]
            for method, parameters in self.events
            if method == "Network.requestWillBeSent"
            and not parameters["request"]["url"].startswith("data:")
        ]
